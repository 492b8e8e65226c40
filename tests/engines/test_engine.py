"""`compile`: every engine gives the Keras model's results, for all shapes and with the current weights."""

import concurrent.futures
import gc
import os
import subprocess
import sys
import weakref

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from small_models import assert_same, noise, small
from writers import MICRO

import vggfcn
from vggfcn.engines.engine import engine_of
from vggfcn.errors import EngineError

BOTH = pytest.mark.parametrize("name", ["tensorflow", "openvino"])
layers = keras.layers


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
    assert_same(vggfcn.compile(model, name)(batch), model(batch), 1e-4)


def train(model):
    model.compile("sgd", "mse")
    model.fit(noise(2, 8, 8, 3), np.ones((2, 2, 2, 4)), verbose=0)


# Each is made to the same network, one after the other.
CHANGES = {
    "a weight assigned": lambda model: model.layers[-1].kernel.assign(model.layers[-1].kernel * 2),
    "a weight added to": lambda model: model.layers[-1].kernel.value.assign_add(np.ones((3, 3, 16, 4), np.float32)),
    "one number of a weight": lambda model: model.layers[-1].kernel.value[1, 1, 5, 2].assign(7.0),
    "one number of a small weight": lambda model: model.layers[-1].bias.value[1].assign(7.0),
    "all weights set": lambda model: model.set_weights([weight * 1.5 for weight in model.get_weights()]),
    "a step of training": train,
}


@pytest.fixture(scope="module", params=["tensorflow", "openvino"])
def compiled(request):
    """A network and an engine that was compiled before its weights change."""
    model = small()
    return model, vggfcn.compile(model, request.param)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_count_at_once(compiled, change):
    (model, engine), batch = compiled, noise(1, 9, 11, 3)
    before = engine(batch)
    CHANGES[change](model)
    assert np.abs(engine(batch) - before).max() > 1e-3
    assert_same(engine(batch), model(batch))


@BOTH
def test_an_engine_may_be_called_from_several_threads(tiny, name):
    engine = engine_of(tiny, name)
    batches = [noise(1, 224 + 8 * i, 240, 3) for i in range(6)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for batch, found in zip(batches, pool.map(engine, batches), strict=True):
            assert_same(found, tiny(batch))


def half():
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3, dtype="mixed_float16")])


def test_other_precisions_are_left_to_tensorflow():
    model = half()
    with pytest.raises(EngineError, match=r"float32, and .* in float16; use engine='tensorflow'"):
        vggfcn.compile(model, "openvino")
    engine = vggfcn.compile(model)
    assert engine.name == "tensorflow"
    assert "float16" in repr(engine)
    batch = noise(1, 8, 8, 3)
    assert_same(engine(batch), model(batch), 1e-3)


REFUSED = {
    "an unknown engine": ({"engine": "onnx"}, "engine: expected 'auto', 'tensorflow', 'openvino', got 'onnx'"),
    "no threads": ({"threads": 0}, "threads: expected a positive integer or None, got 0"),
    "TensorFlow's threads": ({"engine": "tensorflow", "threads": 1}, "tf.config.threading"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_refused(case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        vggfcn.compile(small(), **arguments)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (networks.several_outputs, "with one input and one output, got 3 outputs"),
        (networks.image_and_vector, "with one input and one output, got 2 inputs"),
        (lambda: keras.Sequential([layers.Dense(2)]), "got a Sequential with unknown inputs"),
    ],
    ids=["several outputs", "several inputs", "not built"],
)
def test_models_without_one_input_and_one_output_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        vggfcn.compile(build())


@BOTH
@pytest.mark.parametrize(
    "shape",
    [
        (224, 224, 3),
        (1, 224, 224, 1),
        (0, 224, 224, 3),
        (1, 0, 224, 3),
        (1, 180, 224, 3),
        (1, 20, 20, 3),
        (1, 223, 300, 3),
    ],
    ids=["one image", "grey", "no image", "no pixels", "too small", "much too small", "one pixel too small"],
)
def test_wrong_batches_are_refused(tiny, name, shape):
    with pytest.raises(
        ValueError, match=r"batch: expected shape \(any, any, any, 3\), at least one image, large enough"
    ):
        engine_of(tiny, name)(np.zeros(shape, np.float32))


ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, vggfcn
from writers import TINY
engine = vggfcn.compile(vggfcn.build(TINY, weights=None), "openvino")
assert engine(np.ones((1, 224, 224, 3))).shape == (1, 1, 1, 7)
for size in ((180, 224), (223, 300), (20, 20)):
    try:
        print(engine(np.zeros((1, *size, 3))))
    except ValueError:
        print("refused")
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot keep a process to one core")
def test_an_image_that_is_too_small_is_refused_on_one_core(cache):
    """There OpenVINO itself gives what it last computed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ONE_CORE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 3


def test_without_openvino_auto_is_tensorflow_and_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # As if it were not installed.
    message = 'openvino is not installed; get it with: pip install "vggfcn[openvino]"'
    engine = vggfcn.compile(small())
    assert (engine.name, engine.note) == ("tensorflow", message)
    assert repr(engine).startswith("<Engine tensorflow: sequential")
    assert repr(engine).endswith(f"({message})>")
    with pytest.raises(EngineError) as refusal:
        vggfcn.compile(small(), "openvino")
    assert str(refusal.value) == message


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
