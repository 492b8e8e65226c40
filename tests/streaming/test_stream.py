"""A network run over rows as they come: held against the same network on the whole image."""

import dataclasses
import functools
import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import randomize
from pixels import layers_of, positive
from streams import NETWORKS, WEIGHTS, branches, check, image_for, nested, whole, without_compiling
from writers import MICRO, TINY

import vggfcn
from vggfcn.engines.openvino import Step as OpenVINOStep
from vggfcn.errors import GeometryError
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.streaming.flat_graph import FlatGraph
from vggfcn.streaming.stream import Stream

layers = keras.layers


@functools.cache
def micro(weights):
    """VGG16 as narrow as it can be."""
    return WEIGHTS[weights](vggfcn.build(MICRO, weights=None, preprocess=False))


@functools.cache
def network(name):
    """One model for all its tests; each gives it weights of its own."""
    return NETWORKS[name]()


@pytest.fixture
def eagerly():
    with without_compiling():
        yield


@pytest.mark.parametrize(
    ("height", "width", "block_rows"), [(224, 224, 64), (301, 257, 32), (415, 230, 96), (415, 230, 512)]
)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_vgg(eagerly, weights, height, width, block_rows):
    check(micro(weights), image_for(micro(weights), height, width), block_rows=block_rows)


def test_compiled_steps_give_the_very_same_numbers():
    model = vggfcn.build(TINY, weights=None)
    image = np.random.default_rng(4).integers(0, 256, (613, 231, 3), np.uint8)
    compiled = Stream(model, image.shape[:2], 128).run(lambda start, stop: image[start:stop])
    np.testing.assert_array_equal(np.concatenate([logits for _, logits in compiled]), whole(model, image))


def middle_steps(monkeypatch):
    """A list that grows when OpenVINO runs a step."""
    step, taken = OpenVINOStep.__call__, []
    monkeypatch.setattr(OpenVINOStep, "__call__", lambda *given: taken.append(1) or step(*given))
    return taken


@pytest.mark.parametrize("build", [lambda: vggfcn.build(TINY, weights=None), lambda: randomize(branches())])
def test_openvino_takes_the_steps_in_the_middle(build, monkeypatch):
    model = build()
    stride = receptive_field(model).rows.stride
    image = image_for(model, 20 * stride + 229, 231)
    ready = Stream(model, image.shape[:2], 2 * stride, engine="openvino")
    taken = middle_steps(monkeypatch)
    found = np.concatenate([rows for _, rows in ready.run(lambda start, stop: image[start:stop])])
    assert len(taken) >= 5
    expected = whole(model, image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_openvino_takes_up_a_stream_where_another_left_it():
    model = randomize(branches())
    image = image_for(model, 80, 31)
    parts = list(Stream(model, image.shape[:2], 8, engine="openvino").steps(lambda *rows: image[slice(*rows)]))
    again = Stream(model, image.shape[:2], 8, engine="openvino")
    for number in (1, 4, len(parts) - 1):
        after = dataclasses.replace(
            parts[number - 1], state={k: np.asarray(v) for k, v in parts[number - 1].state.items()}
        )
        rest = list(again.steps(lambda *rows: image[slice(*rows)], after))
        assert len(rest) == len(parts) - number
        np.testing.assert_array_equal(rest[-1].logits, parts[-1].logits)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine: expected 'tensorflow' or 'openvino', got 'auto'"):
        Stream(micro("random"), (300, 300), 32, engine="auto")


@pytest.mark.parametrize(("name", "head"), [("lenet5", "conv"), ("alexnet", None)])
def test_other_networks_of_the_project(eagerly, name, head):
    model = randomize(vggfcn.build(name, weights=None, head=head))
    field = receptive_field(model).rows
    for more in (0, 1, 3 * field.stride - 1):
        check(model, image_for(model, field.window + more, field.window + 5), block_rows=field.stride)


def test_efficientnet(eagerly):
    model = vggfcn.build("efficientnet-lite0", weights=None, classes=2)
    check(model, image_for(model, 237, 224), block_rows=128)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_height(eagerly, name, weights):
    model = WEIGHTS[weights](network(name))
    stride = receptive_field(model).rows.stride
    for height in range(18, 18 + max(stride, 3)):
        check(model, image_for(model, height, 21), block_rows=stride)
    check(model, image_for(model, 41, 20), block_rows=3 * stride)


def random_network(draw):
    """Up to five layers with strides, pools, dilation, crops and branches."""
    image = x = keras.Input((None, None, 2))
    kinds = ["conv", "depthwise", "separable", "transposed", "max", "average", "pad", "crop", "add", "concatenate"]
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(kinds))
        kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
        stride, padding = draw(st.integers(1, 2)), draw(st.sampled_from(["same", "valid"]))
        dilation = draw(st.integers(1, 2)) if stride == 1 else 1
        if kind in ("max", "average"):
            x = (layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D)(kernel, stride, padding)(x)
        elif kind == "depthwise":
            x = layers.DepthwiseConv2D(kernel, stride, padding)(x)
        elif kind == "transposed":
            x = layers.Conv2DTranspose(2, kernel, padding=padding)(x)
        elif kind == "pad":
            x = layers.Conv2D(2, 3)(layers.ZeroPadding2D(((2, 1), (0, 3)))(x))
        elif kind == "crop":
            x = layers.Cropping2D(((2, 0), (0, 1)))(x)
        elif kind == "separable":
            x = layers.SeparableConv2D(2, kernel, stride, padding)(x)
        else:
            y = layers.Conv2D(x.shape[-1], kernel, stride, "same", dilation_rate=dilation, activation="relu")(x)
            meet = {"add": layers.Add, "concatenate": layers.Concatenate}.get(kind)
            x = meet()([y, layers.AveragePooling2D(3, stride, "same")(x)]) if meet else y
    return WEIGHTS[draw(st.sampled_from(sorted(WEIGHTS)))](keras.Model(image, x))


def check_random(data):
    model = random_network(data.draw)
    height, width = data.draw(st.integers(24, 45)), data.draw(st.integers(24, 45))
    image = image_for(model, height, width)
    block_rows = receptive_field(model).rows.stride * data.draw(st.integers(1, 3))
    columns = data.draw(st.one_of(st.none(), st.integers(8, width)))
    try:
        check(model, image, block_rows=block_rows, strip_columns=columns)
    except (ValueError, GeometryError) as refusal:
        assert any(text in str(refusal) for text in ("use a larger image", "strip_columns: expected at least"))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_random_networks(data):
    with without_compiling():
        check_random(data)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_many_random_networks(data):
    with without_compiling():
        check_random(data)


def counting(made):
    """Stream's layers, each adding the rows that it makes to its count."""

    def count(name, layer):
        def run(rows, views):
            result = layer(rows, views)
            made[name] = made.get(name, 0) + result.shape[1]
            return result

        return run

    return count


COUNTED = {
    "VGG": (lambda: micro("random"), (256, 224)),
    "branches": (branches, (32, 24)),
    "nested models": (nested, (33, 24)),
    "pools with SAME padding": (NETWORKS["pools with SAME padding"], (29, 24)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_each_row_of_each_layer_is_computed_once(eagerly, name):
    build, size = COUNTED[name]
    model = build()
    ready = Stream(model, size, receptive_field(model).rows.stride)
    made = {}
    names = [call.path for call in ready.network.calls]
    ready._runners = [counting(made)(*pair) for pair in zip(enumerate(names), ready._runners, strict=True)]
    image = image_for(model, *size)
    asked = []
    list(ready.run(lambda start, stop: asked.append((start, stop)) or image[start:stop]))
    assert asked[0][0] == 0
    assert asked[-1][1] == size[0]
    assert all(one[1] == other[0] for one, other in itertools.pairwise(asked))
    # Every Keras tensor's height, from Keras itself.
    rows = [keras.Model(model.inputs, layer.output).compute_output_shape((1, *size, model.inputs[0].shape[-1]))[1]
            for layer in model.layers if layer.name in names]  # fmt: skip
    assert [count for (_, name), count in made.items() if "/" not in name] == rows


@pytest.mark.parametrize("block_rows", [0, 48, -32, 32.0])
def test_block_rows_are_multiples_of_the_stride(block_rows):
    with pytest.raises(ValueError, match=rf"expected a multiple of the model's stride, 32, got {block_rows}"):
        Stream(micro("random"), (224, 224), block_rows)


def test_rows_of_another_shape_are_refused():
    model = layers_of(layers.Conv2D(2, 3))
    with pytest.raises(ValueError, match=r"rows 0 to 6: expected an array of shape \(6, 9, 2\), got \(6, 8, 2\)"):
        list(Stream(model, (12, 9), 6).run(lambda start, stop: np.zeros((stop - start, 8, 2))))


def test_and_these_checks_can_fail(eagerly, monkeypatch):
    """Rows that are read one too high."""
    model = positive(NETWORKS["a stride and SAME padding"]())
    image = image_for(model, 30, 30)
    check(model, image, block_rows=4)
    plan = FlatGraph.plan

    def shifted(network, **arguments):
        right = plan(network, **arguments)
        slides = right.links[-1].kernel
        wrong = dataclasses.replace(slides, before=slides.before + 1, after=slides.after - 1)
        return dataclasses.replace(right, links=(*right.links[:-1], dataclasses.replace(right.links[-1], kernel=wrong)))

    monkeypatch.setattr(FlatGraph, "plan", shifted)
    with pytest.raises(AssertionError):
        check(model, image, block_rows=4)
