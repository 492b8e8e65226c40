"""Engines: the same results as the Keras model, for all shapes, with the weights of the moment; and what is kept."""

import concurrent.futures
import gc
import os
import subprocess
import sys
import types
import weakref

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import assert_same, noise, small
from writers import MICRO, TINY

import vggfcn
from vggfcn.engines import cache as engine_cache
from vggfcn.engines import engine as engines
from vggfcn.engines import tensorflow as engine_tensorflow
from vggfcn.engines.engine import engine_of
from vggfcn.errors import EngineError

BOTH = pytest.mark.parametrize("name", ["tensorflow", "openvino"])
layers = keras.layers


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VGGFCN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines"


@pytest.fixture(scope="module")
def tiny():
    return networks.randomize(vggfcn.build(TINY, weights=None))


@BOTH
@pytest.mark.parametrize("shape", [(1, 224, 224), (3, 225, 301), (1, 417, 260), (2, 224, 224)], ids=str)
def test_the_same_for_all_shapes_and_dtypes(tiny, name, shape):
    engine = engine_of(tiny, name)
    assert engine.name == name
    batch = noise(*shape, 3)
    assert_same(engine(batch), tiny(batch))
    whole = batch.astype(np.uint8)
    assert_same(engine(whole), tiny(whole.astype(np.float32)))
    assert_same(engine(batch.astype(np.float64)[:, ::-1]), tiny(batch[:, ::-1]))


def depthwise():
    return keras.Sequential(
        [
            keras.Input((None, None, 4)),
            layers.Conv2D(8, 3, strides=2, padding="same", groups=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6),
            layers.DepthwiseConv2D(5, padding="same"),
            layers.SeparableConv2D(6, 3, activation="silu"),
            layers.Conv2DTranspose(3, 2),
        ]
    )


NETWORKS = {
    "VGG16 as small as can be": (lambda: vggfcn.build(MICRO, weights=None), (1, 240, 260, 3)),
    "LeNet-5 with its table": (lambda: vggfcn.build("lenet5", weights=None), (2, 40, 50, 1)),
    "the original network": (lambda: vggfcn.build(MICRO, weights=None, head="dense"), (2, 224, 224, 3)),
    "a finer output stride": (
        lambda: vggfcn.with_output_stride(vggfcn.build(MICRO, weights=None), 8), (1, 251, 262, 3),
    ),
    "depthwise, grouped, separable and transposed": (depthwise, (2, 33, 38, 4)),
    "branches": (networks.residual, (2, 16, 16, 3)),
    "nested models": (networks.nested, (2, 12, 12, 3)),
    "operations of keras.ops": (networks.operations, (2, 14, 14, 3)),
    "squeeze and excite": (networks.squeeze_and_excite, (2, 16, 16, 3)),
    "vectors": (lambda: keras.Sequential([keras.Input((9,)), layers.Dense(4), layers.Softmax()]), (5, 9)),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_for_all_networks(kind, name):
    build, shape = NETWORKS[kind]
    model = networks.randomize(build())
    batch = noise(*shape)
    assert_same(engines.compile(model, name)(batch), model(batch), 1e-4)


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(10, 14), st.integers(10, 14)), st.sampled_from(["valid", "same"]), st.integers(1, 2),
)  # fmt: skip
def test_convolutions_as_products_are_convolutions(kernel, dilation, size, padding, groups):
    strides = 1 if max(dilation) > 1 else 2 - groups // 2
    layer = layers.Conv2D(6, kernel, strides, padding, dilation_rate=dilation, groups=groups)
    model = networks.randomize(keras.Sequential([keras.Input((None, None, 4)), layer]))
    batch = noise(2, *size, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_tensorflow, "LARGE", 1)
        engine = engines.compile(model, "tensorflow")
    assert_same(engine(batch), model(batch))


def test_only_large_kernels_are_computed_as_products():
    model = vggfcn.build("alexnet", weights=None)
    kernels = [
        tuple(operation.inputs[1].shape)
        for operation in engine_of(model, "tensorflow")._run.function.graph.get_operations()
        if operation.type == "Conv2D"
    ]
    assert (6, 6, 256, 4096) not in kernels
    assert (1, 1, 4096, 4096) in kernels
    batch = noise(1, 300, 260, 3)
    assert_same(engine_of(model, "tensorflow")(batch), model(batch))
    assert "convolution_op" not in vars(model.layers[-3])


def test_a_network_is_traced_once_for_all_sizes():
    traces = []

    def seen(x):
        traces.append(x.shape)
        return x

    model = keras.Sequential([keras.Input((None, None, 3)), layers.Lambda(seen), layers.Conv2D(2, 3)])
    traces.clear()
    engine = engines.compile(model, "tensorflow")
    for size in range(8, 20):
        engine(noise(size % 3 + 1, size, 2 * size, 3))
    assert traces == [(None, None, None, 3)]


def train(model):
    model.compile("sgd", "mse")
    model.fit(noise(2, 8, 8, 3), np.ones((2, 2, 2, 4)), verbose=0)


CHANGES = {
    "a weight assigned": lambda model: model.layers[-1].kernel.assign(model.layers[-1].kernel * 2),
    "a weight added to": lambda model: model.layers[-1].kernel.value.assign_add(np.ones((3, 3, 16, 4), np.float32)),
    "one number of a weight": lambda model: model.layers[-1].kernel.value[1, 1, 5, 2].assign(7.0),
    "one number of a small weight": lambda model: model.layers[-1].bias.value[1].assign(7.0),
    "a step of training": train,
    "all weights set": lambda model: model.set_weights([weight * 1.5 for weight in model.get_weights()]),
}


@BOTH
@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_count_at_once(name, change):
    model, batch = small(), noise(1, 9, 11, 3)
    engine = engines.compile(model, name)
    before = engine(batch)
    CHANGES[change](model)
    assert np.abs(engine(batch) - before).max() > 1e-3
    assert_same(engine(batch), model(batch))
    CHANGES[change](model)
    assert_same(engine(batch), model(batch))


def test_openvino_compiles_again_only_after_a_change():
    model, batch = small(), noise(1, 9, 11, 3)
    engine = engines.compile(model, "openvino")
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
    engine, gone = engines.compile(model, "openvino"), weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert engine._run.held.values == []
    assert_same(engine(batch), expected)


@BOTH
def test_an_engine_may_be_called_from_several_threads(tiny, name):
    engine = engine_of(tiny, name)
    batches = [noise(1, 224 + 8 * i, 240, 3) for i in range(6)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for batch, found in zip(batches, pool.map(engine, batches), strict=True):
            assert_same(found, tiny(batch))


def test_the_next_start_does_not_convert(cache, monkeypatch):
    model, batch = small(), noise(1, 9, 11, 3)
    engines.compile(model, "openvino")
    (kept,) = cache.iterdir()
    monkeypatch.setattr("vggfcn.engines.openvino._fast", lambda *_: pytest.fail("converted again"))
    same = small()  # Other names of layers.
    assert [layer.name for layer in same.layers] != [layer.name for layer in model.layers]
    assert_same(engines.compile(same, "openvino")(batch), model(batch))
    assert list(cache.iterdir()) == [kept]


def test_a_changed_weight_or_activation_is_another_network(cache):
    model, batch = small(), noise(1, 9, 11, 3)
    engines.compile(model, "openvino")
    model.layers[-1].bias.assign(model.layers[-1].bias + 1e-6)
    assert_same(engines.compile(model, "openvino")(batch), model(batch))
    assert len(list(cache.iterdir())) == 2
    model.layers[-1].activation = keras.activations.relu
    assert_same(engines.compile(model, "openvino")(batch), model(batch))
    assert len(list(cache.iterdir())) == 3


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 | 3] ^= 0x40  # The exponent, where it is a weight.
    path.write_bytes(data)


def swap_whole(folder):
    """Another file with digests to fit: what another release of OpenVINO may find."""
    (folder / "network.xml").write_text("<net/>")
    (folder / engine_cache.DIGESTS).write_text(engine_cache._digests(folder))


DAMAGES = {
    "a bit of the weights": lambda folder: flip(folder / "network.bin"),
    "a bit of the structure": lambda folder: flip(folder / "network.xml"),
    "weights cut short": lambda folder: (folder / "network.bin").write_bytes(b"1234"),
    "an empty file": lambda folder: (folder / "network.bin").write_bytes(b""),
    "no weights": lambda folder: (folder / "network.bin").unlink(),
    "no digests": lambda folder: (folder / engine_cache.DIGESTS).unlink(),
    "digests that are no text": lambda folder: (folder / engine_cache.DIGESTS).write_bytes(b"\xff\xfe"),
    "nothing": lambda folder: [file.unlink() for file in folder.iterdir()],
    "what OpenVINO does not understand": swap_whole,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_noticed_and_written_again(cache, damage):
    model, batch = small(), noise(1, 9, 11, 3)
    engines.compile(model, "openvino")
    (folder,) = cache.iterdir()
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    DAMAGES[damage](folder)
    assert_same(engines.compile(model, "openvino")(batch), model(batch))
    assert {file.name for file in folder.iterdir()} == set(whole)
    assert (folder / "network.bin").read_bytes() == whole["network.bin"]
    assert engine_cache.find(folder.name) == folder


@pytest.mark.parametrize("why", ["no folder can be made there", "there is no room"])
def test_where_nothing_can_be_kept_the_engine_runs_all_the_same(cache, monkeypatch, why):
    if why == "there is no room":
        monkeypatch.setattr(engine_cache.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=0))
    else:
        cache.parent.mkdir(parents=True)
        cache.write_text("a file")
    model, batch = small(), noise(1, 9, 11, 3)
    assert_same(engines.compile(model, "openvino")(batch), model(batch))
    assert cache.is_file() or not any(cache.iterdir())


TWICE = """
from small_models import assert_same, noise, small
import vggfcn
model, batch = small(), noise(1, 9, 11, 3)
assert_same(vggfcn.compile(model, "openvino")(batch), model(batch))
"""


def started(code, **arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **arguments)


@pytest.mark.slow
def test_two_processes_at_once_keep_the_network_that_every_process_finds(cache, monkeypatch):
    both = [started(TWICE) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    (kept,) = cache.iterdir()
    assert engine_cache.find(kept.name) == kept
    monkeypatch.setattr("vggfcn.engines.openvino._fast", lambda *_: pytest.fail("converted again"))
    engines.compile(small(), "openvino")


def put(key, times=None):
    path = engine_cache.keep(key, 10, lambda folder: (folder / "file").write_text(key))
    if times:
        os.utime(path, times)


def test_the_networks_last_used_are_kept(cache):
    for age in range(engine_cache.KEPT):
        put(f"network{age}", (1000 - age, 1000 - age))
    assert engine_cache.find(f"network{engine_cache.KEPT - 1}")  # the oldest, but used now
    abandoned = cache / ".unfinished-old"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    (cache / ".unfinished-new").mkdir()
    put("new")
    expected = {"new", "network0", "network1", f"network{engine_cache.KEPT - 1}", ".unfinished-new"}
    assert {path.name for path in cache.iterdir()} == expected


def half():
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, dtype="mixed_float16")])


def test_other_precisions_are_left_to_tensorflow():
    model = half()
    with pytest.raises(EngineError, match=r"float32, and .* in float16; use engine='tensorflow'"):
        engines.compile(model, "openvino")
    engine = engines.compile(model)
    assert engine.name == "tensorflow"
    assert "float16" in repr(engine)
    batch = noise(1, 8, 8, 3)
    assert_same(engine(batch), model(batch), 1e-3)


REFUSED = {
    "an unknown engine": ({"engine": "onnx"}, "engine: expected 'auto', 'tensorflow', 'openvino', got 'onnx'"),
    "no threads": ({"threads": 0}, "threads: expected a number from 1 on, or None, got 0"),
    "TensorFlow's threads": ({"engine": "tensorflow", "threads": 1}, "tf.config.threading"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_refused(case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        engines.compile(small(), **arguments)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (networks.several_outputs, "one input and one output, got 3 outputs"),
        (networks.image_and_vector, "one input and one output, got 2 inputs"),
        (lambda: keras.Sequential([layers.Dense(2)]), "got Sequential whose inputs are not known"),
    ],
    ids=["several outputs", "several inputs", "not built"],
)
def test_models_that_are_no_such_function_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        engines.compile(build())


@BOTH
@pytest.mark.parametrize(
    "shape",
    [(224, 224, 3), (1, 224, 224, 1), (0, 224, 224, 3), (1, 0, 224, 3), (1, 180, 224, 3), (1, 20, 20, 3)],
    ids=["one image", "grey", "no image", "no pixels", "too small", "much too small"],
)
def test_wrong_batches_are_refused(tiny, name, shape):
    with pytest.raises(ValueError, match=r"batch: expected at least one image, \(any, any, any, 3\), large enough"):
        engine_of(tiny, name)(np.zeros(shape, np.float32))


def test_threads_are_openvinos():
    engine = engines.compile(small(), "openvino", threads=1)
    assert engine._run.compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert engine._run.compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


WITHOUT = """
import sys; sys.modules["openvino"] = None
from small_models import small
import vggfcn
print(vggfcn.compile(small()))
try:
    vggfcn.compile(small(), "openvino")
except vggfcn.EngineError as error:
    print(error)
"""


def test_without_openvino_auto_is_tensorflow_and_says_why():
    process = started(WITHOUT, stdout=subprocess.PIPE)
    first, second = process.communicate()[0].splitlines()
    message = 'openvino is not installed; get it with: pip install "vggfcn[openvino]"'
    assert first.startswith("<Engine tensorflow: sequential")
    assert first.endswith(f"({message})>")
    assert second == message


def test_score_map_says_which_engine_ran_and_keeps_it(tiny):
    image = noise(230, 260, 3)
    expected = np.asarray(tiny(image[None]))[0]
    for name, ran in (("tensorflow", "tensorflow"), ("openvino", "openvino"), ("auto", "openvino")):
        scores = vggfcn.score_map(tiny, image, engine=name)
        assert scores.engine == ran
        assert_same(scores.logits, expected)
        assert engine_of(tiny, name) is engine_of(tiny, name)
    assert vggfcn.score_map(tiny, image).engine == "tensorflow"


@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_score_map_with_an_engine_of_ones_own(mode):
    model, image = vggfcn.build("lenet5", weights=None), noise(40, 44, 1)
    engine = engines.compile(model, "openvino")
    scores = vggfcn.score_map(model, image, mode=mode, engine=engine, flip=True)
    assert scores.engine == "openvino"
    np.testing.assert_allclose(scores.logits, vggfcn.score_map(model, image, flip=True).logits, atol=1e-4)
    assert not vars(model).get("_vggfcn_engines", {}).get("openvino")


def test_score_map_refuses_engines_of_other_networks(tiny):
    model = vggfcn.build("lenet5", weights=None)
    engine = engines.compile(model, "tensorflow")
    with pytest.raises(
        ValueError, match="from the very network that is run, vgg16_conv, got <Engine tensorflow: lenet"
    ):
        vggfcn.score_map(tiny, noise(224, 224, 3), engine=engine)
    with pytest.raises(ValueError, match="finer output stride"):
        vggfcn.score_map(model, noise(40, 40, 1), output_stride=2, engine=engine)
    with pytest.raises(ValueError, match="engine: expected 'auto', 'tensorflow', 'openvino' or an Engine, got 'fast'"):
        vggfcn.score_map(model, noise(40, 40, 1), engine="fast")


def test_kept_engines_go_with_their_model_and_are_not_saved(tmp_path):
    model = small()
    engine_of(model, "tensorflow")
    engine_of(model, "openvino")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert "_vggfcn_engines" not in vars(again)
    assert_same(engine_of(again, "openvino")(noise(1, 9, 11, 3)), model(noise(1, 9, 11, 3)))
    gone = weakref.ref(model)
    del model
    tf.keras.backend.clear_session()
    gc.collect()
    assert gone() is None
