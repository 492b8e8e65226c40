"""The TensorFlow engine: large kernels as matrix products give the convolution's sums."""

import keras
import networks
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import assert_same, noise

import vggfcn
from vggfcn.engines import tensorflow as tensorflow_engine

layers = keras.layers


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
        patch.setattr(tensorflow_engine, "LARGE", 1)
        engine = vggfcn.compile(model, "tensorflow")
    assert_same(engine(batch), model(batch))


def test_only_large_kernels_are_computed_as_products():
    sizes = {"large": (4, 1024), "large, of one cell": (1, 4096), "small": (3, 8)}
    convolutions = [layers.Conv2D(filters, kernel, name=name.replace(", ", "_").replace(" ", "_"))
                    for name, (kernel, filters) in sizes.items()]  # fmt: skip
    model = networks.randomize(keras.Sequential([keras.Input((None, None, 256)), *convolutions]))
    engine = vggfcn.compile(model, "tensorflow")
    operations = engine._run.function.graph.get_operations()
    kernels = [tuple(operation.inputs[1].shape) for operation in operations if operation.type == "Conv2D"]
    assert kernels == [(1, 1, 1024, 4096), (3, 3, 4096, 8)]
    batch = noise(1, 8, 9, 256)
    assert_same(engine(batch), model(batch))
    assert not any("convolution_op" in vars(layer) for layer in model.layers)
