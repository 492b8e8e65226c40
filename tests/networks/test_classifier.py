"""`load` and `choose`: which weights are meant, their classes' names, and both networks from one file."""

import json

import numpy as np
import pytest
from paths import ROOT
from writers import TINY, arrays_of, write_published_layout

from vggfcn.checkpoints.formats import detection
from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.errors import LabelError, WeightsError
from vggfcn.networks import registry
from vggfcn.networks.classifier import choose, load
from vggfcn.networks.registry import KnownWeights


@pytest.fixture
def tiny_file(tmp_path):
    return write_published_layout(tmp_path / "w.h5", ((name, *pair) for name, pair in arrays_of().items()))


def test_bundled_weights_have_their_own_class_names():
    classifier = load("mnist-lenet5")
    assert classifier.weights == "mnist-lenet5"
    assert classifier.architecture.name == "lenet5"
    assert [classifier.labels[index] for index in range(10)] == list("0123456789")


def test_names_and_groups_come_from_files(tiny_file, tmp_path):
    (tmp_path / "labels.txt").write_text("\n".join("abcdefg"))
    (tmp_path / "groups.json").write_text(json.dumps({"vowels": ["a", "e"]}))
    classifier = load(tiny_file, tmp_path / "labels.txt", tmp_path / "groups.json")
    assert classifier.architecture == TINY
    assert classifier.labels[4] == "e"
    assert classifier.labels.find("vowels").members == (0, 4)


def test_names_that_are_not_as_many_as_the_classes_are_refused(tiny_file, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(LabelError, match="expected 7 class names"):
        load(tiny_file, tmp_path / "labels.txt")


def test_weights_without_a_head_are_refused(tmp_path):
    layers = [(name, *pair) for name, pair in arrays_of().items() if name.startswith("block")]
    with pytest.raises(WeightsError, match='fc1, fc2, predictions missing; this looks like a "notop" file'):
        load(write_published_layout(tmp_path / "notop.h5", layers))


def test_one_opening_gives_both_networks(tiny_file, monkeypatch):
    opened = []
    detect = detection._reader
    monkeypatch.setattr(detection, "_reader", lambda path, start: opened.append(path.name) or detect(path, start))
    classifier = load(tiny_file)
    kernel, _ = classifier.build("dense").get_layer("fc1").get_weights()
    converted, _ = classifier.build("conv").get_layer("fc1").get_weights()
    assert opened == ["w.h5"]
    np.testing.assert_array_equal(converted.reshape(kernel.shape), kernel)


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """Where a file of eight bytes would be known as "imagenet"."""
    for name in ("VGGFCN_CACHE", "KERAS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    known = KnownWeights("w.h5", "vgg16", FileFormat.KERAS_HDF5, 7, "none", "http://127.0.0.1:9", 8)
    monkeypatch.setitem(registry.REGISTRY, "imagenet", known)
    path = tmp_path / "KERAS_HOME" / "models" / "w.h5"
    path.parent.mkdir(parents=True)
    return path


def test_auto_means_imagenet_if_its_file_is_there_and_whole(imagenet):
    assert choose("auto")[0] == "scene-digits"
    assert "large files are downloaded only if you ask" in choose("auto")[1]
    imagenet.write_bytes(b"seven b")
    assert choose("auto")[0] == "scene-digits"
    imagenet.write_bytes(b"eight by")
    assert choose("auto") == ("imagenet", f"found at {imagenet}")


def test_what_is_named_is_used():
    assert choose("some.h5") == ("some.h5", "as asked")
    assert load(ROOT / "weights" / "mnist-lenet5.h5").architecture == load("mnist-lenet5").architecture
