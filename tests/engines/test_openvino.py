"""The OpenVINO engine: when it compiles, what it keeps in memory, and what it stores in the cache."""

import gc
import os
import pathlib
import shutil
import subprocess
import sys
import types
import weakref

import keras
import numpy as np
import pytest
from small_models import assert_same, noise, small

import vggfcn
from vggfcn.engines import cache as cache_module
from vggfcn.engines.openvino import _in_openvino_order


def test_openvino_compiles_again_only_after_a_change():
    model, batch = small(), noise(1, 9, 11, 3)
    engine = vggfcn.compile(model, "openvino")
    compiled = engine._run.compiled
    for _ in range(3):
        engine(batch)
        model(batch)
        model.get_weights()
        assert engine._run.compiled is compiled
    model.layers[-1].bias.assign(np.ones(4))
    engine(batch)
    assert engine._run.compiled is not compiled


def test_openvino_does_not_keep_the_model_alive():
    model, batch = small(), noise(1, 9, 11, 3)
    expected = np.asarray(model(batch))
    engine, gone = vggfcn.compile(model, "openvino"), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert engine._run.snapshot.values == []
    assert_same(engine(batch), expected)


def test_threads_are_openvinos():
    engine = vggfcn.compile(small(), "openvino", threads=1)
    assert engine._run.compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert engine._run.compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_a_kernel_in_openvinos_order_is_the_transposed_one():
    kernel = np.random.default_rng(0).standard_normal((3, 2, 5, 300)).astype(np.float32)  # More filters than at a time.
    np.testing.assert_array_equal(_in_openvino_order(kernel), np.einsum("hwio->oihw", kernel))


def test_the_next_start_does_not_convert(cache, monkeypatch):
    model, batch = small(), noise(1, 9, 11, 3)
    vggfcn.compile(model, "openvino")
    (kept,) = cache.iterdir()
    monkeypatch.setattr("vggfcn.engines.openvino._with_winograd", lambda *_: pytest.fail("converted again"))
    same = small()  # Other names of layers.
    assert [layer.name for layer in same.layers] != [layer.name for layer in model.layers]
    assert_same(vggfcn.compile(same, "openvino")(batch), model(batch))
    assert list(cache.iterdir()) == [kept]


def test_a_changed_weight_or_activation_is_another_network(cache):
    model, batch = small(), noise(1, 9, 11, 3)
    vggfcn.compile(model, "openvino")
    model.layers[-1].bias.assign(model.layers[-1].bias + 1e-6)
    assert_same(vggfcn.compile(model, "openvino")(batch), model(batch))
    assert len(list(cache.iterdir())) == 2
    model.layers[-1].activation = keras.activations.relu
    assert_same(vggfcn.compile(model, "openvino")(batch), model(batch))
    assert len(list(cache.iterdir())) == 3


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 | 3] ^= 0x40  # The exponent, where it is a weight.
    path.write_bytes(data)


def swap_whole(folder):
    """Another file with matching digests, as another release of OpenVINO might find it."""
    (folder / "network.xml").write_text("<net/>")
    (folder / cache_module.DIGESTS).write_text(cache_module._digests(folder))


DAMAGES = {
    "a bit of the weights": lambda folder: flip(folder / "network.bin"),
    "a bit of the structure": lambda folder: flip(folder / "network.xml"),
    "weights cut short": lambda folder: (folder / "network.bin").write_bytes(b"1234"),
    "an empty file": lambda folder: (folder / "network.bin").write_bytes(b""),
    "no weights": lambda folder: (folder / "network.bin").unlink(),
    "no digests": lambda folder: (folder / cache_module.DIGESTS).unlink(),
    "digests that are no text": lambda folder: (folder / cache_module.DIGESTS).write_bytes(b"\xff\xfe"),
    "nothing": lambda folder: [file.unlink() for file in folder.iterdir()],
    "what OpenVINO does not understand": swap_whole,
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A network, and the folder that OpenVINO stored it in."""
    model, home = small(), tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGGFCN_CACHE", str(home))
        vggfcn.compile(model, "openvino")
    (folder,) = (home / "engines").iterdir()
    return model, folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_noticed_and_written_again(stored, cache, damage):
    model, original = stored
    whole = {file.name: file.read_bytes() for file in original.iterdir()}
    folder = pathlib.Path(shutil.copytree(original, cache / original.name))
    DAMAGES[damage](folder)
    batch = noise(1, 9, 11, 3)
    assert_same(vggfcn.compile(model, "openvino")(batch), model(batch))
    assert {file.name for file in folder.iterdir()} == set(whole)
    assert (folder / "network.bin").read_bytes() == whole["network.bin"]
    assert cache_module.find(folder.name) == folder


@pytest.mark.parametrize("why", ["no folder can be made there", "there is no room"])
def test_where_nothing_can_be_kept_the_engine_runs_all_the_same(cache, monkeypatch, why):
    if why == "there is no room":
        monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=0))
    else:
        cache.parent.mkdir(parents=True)
        cache.write_text("a file")
    model, batch = small(), noise(1, 9, 11, 3)
    assert_same(vggfcn.compile(model, "openvino")(batch), model(batch))
    assert cache.is_file() or not any(cache.iterdir())


STORE = """
from small_models import assert_same, noise, small
import vggfcn
model, batch = small(), noise(1, 9, 11, 3)
assert_same(vggfcn.compile(model, "openvino")(batch), model(batch))
"""


def start(code):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment)


@pytest.mark.slow
def test_two_processes_at_once_keep_the_network_that_every_process_finds(cache, monkeypatch):
    both = [start(STORE) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    (kept,) = cache.iterdir()
    assert cache_module.find(kept.name) == kept
    monkeypatch.setattr("vggfcn.engines.openvino._with_winograd", lambda *_: pytest.fail("converted again"))
    vggfcn.compile(small(), "openvino")
