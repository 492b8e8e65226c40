"""A network run over rows as they come, and in strips: held against the same network on the whole image."""

import contextlib
import dataclasses
import functools
import itertools
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OwnLayer, attention, randomize, squeeze_and_excite
from pixels import layers_of, positive
from writers import MICRO, TINY

import vggfcn
from vggfcn.engines.openvino import Step as OpenVINOStep
from vggfcn.errors import ConversionError, GeometryError
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.streaming.flat_graph import FlatGraph
from vggfcn.streaming.memory_plan import activation_bytes
from vggfcn.streaming.stream import Stream
from vggfcn.streaming.strips import Strip, strips

layers = keras.layers
WEIGHTS = {"positive": positive, "random": randomize}


@contextlib.contextmanager
def without_compiling():
    """Steps run as they are: a compilation takes longer than such a small network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stream, "_compiled", lambda self, block: functools.partial(self._step, block))
        yield


@pytest.fixture
def eagerly():
    with without_compiling():
        yield


def image_for(model, height, width, seed=3):
    """No two neighbours alike, and no value far from 1: positive weights keep every pixel visible."""
    return np.random.default_rng(seed).uniform(0.5, 1.5, (height, width, model.inputs[0].shape[-1])).astype(np.float32)


def whole(model, image):
    return np.asarray(model(image[None], training=False))[0]


def collected(parts, shape):
    """The map put together; each cell must come exactly once."""
    found, times = np.full(shape, np.nan, np.float32), np.zeros(shape[:2], int)
    for row, column, logits in parts:
        place = slice(row, row + logits.shape[0]), slice(column, column + logits.shape[1])
        found[place] = logits
        times[place] += 1
    assert (times == 1).all()
    return found


def streamed(model, image, block_rows=128, strip_columns=None):
    """The map of the whole image, from blocks of rows in each strip."""
    shape, size = whole(model, image).shape, image.shape[:2]
    parts = strips(model, size, strip_columns) if strip_columns else [Strip(0, size[1], 0, shape[1], 0)]
    return collected((block for strip in parts for block in blocks_of(model, image, strip, block_rows)), shape)


def blocks_of(model, image, strip, block_rows):
    """First row, first column and logits of each block of a strip, without the cells that see its border."""
    pixels = image[:, strip.start : strip.stop]
    for row, logits in Stream(model, pixels.shape[:2], block_rows).run(lambda start, stop: pixels[start:stop]):
        yield row, strip.first, logits[:, strip.cut : strip.cut + strip.last - strip.first]


def check(model, image, **arguments):
    expected = whole(model, image)
    found = streamed(model, image, **arguments)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("height", "width", "block_rows"), [(224, 224, 64), (301, 257, 32), (415, 230, 96), (415, 230, 512)]
)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_vgg(eagerly, weights, height, width, block_rows):
    model = WEIGHTS[weights](vggfcn.build(MICRO, weights=None, preprocess=False))
    check(model, image_for(model, height, width), block_rows=block_rows)


def test_compiled_steps_give_the_very_same_numbers():
    model = vggfcn.build(TINY, weights=None)
    image = np.random.default_rng(4).integers(0, 256, (613, 231, 3), np.uint8)
    np.testing.assert_array_equal(streamed(model, image, block_rows=128), whole(model, image))


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
    model = vggfcn.build(MICRO, weights=None)
    image = image_for(model, 800, 231)
    parts = list(Stream(model, image.shape[:2], 64, engine="openvino").steps(lambda *rows: image[slice(*rows)]))
    again = Stream(model, image.shape[:2], 64, engine="openvino")
    for number in (1, 4, len(parts) - 1):
        after = dataclasses.replace(
            parts[number - 1], state={k: np.asarray(v) for k, v in parts[number - 1].state.items()}
        )
        rest = list(again.steps(lambda *rows: image[slice(*rows)], after))
        assert len(rest) == len(parts) - number
        np.testing.assert_array_equal(rest[-1].logits, parts[-1].logits)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine: expected 'tensorflow' or 'openvino', got 'auto'"):
        Stream(vggfcn.build(MICRO, weights=None), (300, 300), 32, engine="auto")


@pytest.mark.parametrize(("name", "head"), [("lenet5", "conv"), ("alexnet", None)])
def test_other_networks_of_the_project(eagerly, name, head):
    model = randomize(vggfcn.build(name, weights=None, head=head))
    field = receptive_field(model).rows
    for more in (0, 1, 3 * field.stride - 1):
        check(model, image_for(model, field.window + more, field.window + 5), block_rows=field.stride)


def test_efficientnet(eagerly):
    model = vggfcn.build("efficientnet-lite0", weights=None, classes=2)
    check(model, image_for(model, 237, 224), block_rows=128)


def branches():
    """Paths of different length meet, twice; one goes nowhere."""
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(3, 3, 2, "same", activation="relu")(image)
    long = layers.Conv2D(3, (5, 3), padding="same", dilation_rate=2)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Add()([x, long])
    short, pooled = layers.Conv2D(2, 1, 2)(x), layers.AveragePooling2D(3, 2, "same")(x)
    layers.Conv2D(2, 7)(x)
    return keras.Model(image, layers.Concatenate()([pooled, short, layers.MaxPooling2D(3, 2, "same")(x)]))


def nested():
    inner, image = keras.Input((None, None, 2)), keras.Input((None, None, 2))
    block = keras.Model(inner, layers.Add()([inner, layers.DepthwiseConv2D(3, padding="same")(inner)]), name="block")
    return keras.Model(image, layers.MaxPooling2D(3, 2)(block(block(image))))


def operations():
    image = keras.Input((None, None, 2))
    x = keras.ops.pad(image * 2.0 + 1.0, ((0, 0), (4, 0), (0, 1), (0, 0)), constant_values=3.0)
    x = layers.Multiply()([layers.Conv2D(2, 3)(x), np.array([2.0, 3.0], np.float32)])
    return keras.Model(image, keras.ops.relu(x) / 3.0)


def cropped():
    """Rows that padding alone fills, and rows that nobody reads."""
    return layers_of(
        layers.ZeroPadding2D(((7, 5), (2, 0))),
        layers.Conv2D(2, 3, 3),
        layers.Cropping2D(((3, 1), (0, 2))),
        layers.Conv2D(2, 2, padding="same"),
    )


def shared():
    """One layer with weights, called twice at different heights."""
    image = keras.Input((None, None, 2))
    conv = layers.Conv2D(2, 3, padding="same", activation=layers.LeakyReLU(0.2))
    return keras.Model(image, conv(layers.MaxPooling2D(2, padding="same")(conv(image))))


def finer(stride):
    def make():
        stages = (layers.Conv2D(2, 3, padding="same"), layers.MaxPooling2D(2), layers.AveragePooling2D(3, 2, "same"))
        chain = layers_of(*stages, layers.Conv2D(3, 3, 2, "same"), layers.MaxPooling2D(3, 1, "same"))
        return vggfcn.with_output_stride(randomize(chain), stride, share_weights=True)

    return make


NETWORKS = {
    "branches": branches,
    "nested models": nested,
    "operations of keras.ops": operations,
    "zeros and crops": cropped,
    "a layer called twice": shared,
    "a stride and SAME padding": lambda: layers_of(layers.Conv2D(2, 3, 2, "same"), layers.Conv2D(2, 2, 2, "same")),
    "wide strides": lambda: layers_of(layers.Conv2D(2, 5, 4, "same"), layers.Conv2D(2, 2, 3, "same")),
    "strides wider than kernels": lambda: layers_of(layers.Conv2D(2, 1, 3), layers.MaxPooling2D(1, 2, "same")),
    "pools with SAME padding": lambda: layers_of(
        layers.MaxPooling2D(3, 2, "same"), layers.AveragePooling2D(4, 1, "same")
    ),
    "pools of negative numbers": lambda: layers_of(
        layers.Rescaling(-1.0), layers.MaxPooling2D(3, 2, "same"), layers.MaxPooling2D(2, 2, "same")
    ),
    "pools without": lambda: layers_of(layers.MaxPooling2D(3, 2), layers.AveragePooling2D((2, 3), (2, 1))),
    "rows and columns apart": lambda: layers_of(
        layers.Conv2D(2, (3, 1), padding="same"), layers.Conv2D(2, (1, 4), strides=(1, 2), padding="same")
    ),
    "dilation": lambda: layers_of(layers.Conv2D(2, 2, dilation_rate=3, padding="same"), layers.Conv2D(2, 2, 2, "same")),
    "separable, grouped": lambda: layers_of(
        layers.SeparableConv2D(4, 3, 2, "same"), layers.Conv2D(2, 3, padding="same", groups=2)
    ),
    "transposed": lambda: layers_of(
        layers.Conv2DTranspose(3, (3, 2)), layers.Conv2DTranspose(2, 4, padding="same", activation="tanh")
    ),
    "normalisation, activations, a dense layer": lambda: layers_of(
        layers.Conv2D(2, 3, padding="same"), layers.BatchNormalization(), layers.PReLU(shared_axes=[1, 2]),
        layers.Dropout(0.5), layers.RandomFlip(), layers.Dense(2), layers.LayerNormalization(), layers.Softmax(),
    ),
    "output stride 4": finer(4),
    "output stride 2": finer(2),
    "output stride 1": finer(1),
}  # fmt: skip


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_height(eagerly, name, weights):
    model = WEIGHTS[weights](NETWORKS[name]())
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
        assert any(text in str(refusal) for text in ("take a larger image", "strip_columns: expected at least"))


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
    "VGG": (lambda: vggfcn.build(MICRO, weights=None), (256, 224)),
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


def test_rows_that_are_kept_are_few_whatever_the_height():
    model = vggfcn.build(MICRO, weights=None)
    stream_of = Stream(model, (1600, 224), 64)
    blocks = [scheduled.block for scheduled in stream_of.plan.schedule(stream_of.cells)]
    middle = max(set(blocks), key=blocks.count)
    assert blocks.count(middle) > 15
    assert len(set(blocks)) < 9
    # Two rows before each 3 x 3 convolution, six before fc6; pools find their pairs complete.
    kept = [rows for rows in middle.kept if rows]
    assert (kept.count(2), kept.count(6)) == (13, 1)
    assert len(kept) == 14
    assert all(view.above == view.below == 0 for views in middle.views for view in views)


def test_weights_are_the_models_own():
    conv, separable = layers.Conv2D(2, 3, padding="same"), layers.SeparableConv2D(2, 3, padding="same")
    model = layers_of(conv, separable)
    image = image_for(model, 12, 11)
    check(model, image, block_rows=4)
    ready = Stream(model, (12, 11), 4)
    for layer in (conv, separable):
        layer.set_weights([value + 1 for value in layer.get_weights()])
    found = np.concatenate([logits for _, logits in ready.run(lambda start, stop: image[start:stop])])
    np.testing.assert_allclose(found, whole(model, image), rtol=1e-5)


def test_and_these_checks_can_fail(eagerly, monkeypatch):
    """Strips that are one stride too narrow, and rows that are read one too high."""
    model = positive(NETWORKS["a stride and SAME padding"]())
    image = image_for(model, 30, 30)
    check(model, image, block_rows=4, strip_columns=16)
    exact = strips

    def narrow(*arguments):
        parts = exact(*arguments)
        last = dataclasses.replace(parts[-1], start=parts[-1].start + 4, cut=parts[-1].cut - 1)
        return [*parts[:-1], last]

    monkeypatch.setattr(sys.modules[__name__], "strips", narrow)
    with pytest.raises(AssertionError):
        check(model, image, block_rows=4, strip_columns=16)
    monkeypatch.undo()
    plan = FlatGraph.plan

    def shifted(network, **arguments):
        right = plan(network, **arguments)
        slides = right.links[-1].sliding
        wrong = dataclasses.replace(slides, before=slides.before + 1, after=slides.after - 1)
        return dataclasses.replace(
            right, links=(*right.links[:-1], dataclasses.replace(right.links[-1], sliding=wrong))
        )

    monkeypatch.setattr(FlatGraph, "plan", shifted)
    with pytest.raises(AssertionError):
        check(model, image, block_rows=4)


@pytest.mark.parametrize("width", range(60, 68))
@pytest.mark.parametrize("name", ["a stride and SAME padding", "branches", "zeros and crops", "output stride 2"])
def test_strips(eagerly, name, width):
    model = positive(NETWORKS[name]())
    stride = receptive_field(model).columns.stride
    check(model, image_for(model, 33, width), block_rows=4 * stride, strip_columns=57)
    parts = strips(model, (33, width), 57)
    assert len(parts) > 1
    for part in parts:
        assert part.stop - part.start <= 57
        assert part.start % stride == 0


def test_strips_of_vgg_are_those_of_its_geometry():
    """For cells [a, b): columns [32 a - 96, 32 b + 282), as far as there are any."""
    model = vggfcn.build(MICRO, weights=None)
    parts = strips(model, (224, 1600), 640)
    assert [(part.first, part.last) for part in parts] == [(0, 11), (11, 19), (19, 27), (27, 35), (35, 44)]
    for part in parts:
        assert part.start == max(0, 32 * part.first - 96)
        assert part.stop == min(1600, 32 * part.last + 282)


def test_strips_of_vgg(eagerly):
    model = positive(vggfcn.build(MICRO, weights=None, preprocess=False))
    check(model, image_for(model, 230, 701), block_rows=96, strip_columns=480)


def test_activation_bytes_grow_with_the_width_and_the_block():
    model = vggfcn.build(TINY, weights=None)
    one = activation_bytes(model, 512, 64)
    assert activation_bytes(model, 1024, 64) == pytest.approx(2 * one, rel=0.05)
    assert one < activation_bytes(model, 512, 128) < 2 * one


def test_activation_bytes_of_two_layers_counted_by_hand():
    model = layers_of(layers.Conv2D(3, 3), layers.Conv2D(5, 1, activation="relu"))
    # 2 rows kept of 10 x 2, before and after; 8 new ones, and the 10 that are read, twice at most; 8 of 8 x 3.
    assert activation_bytes(model, 10, 8) == 4 * (2 * 2 * 20 + 8 * 20 + 2 * 10 * 20 + 8 * 24)


def resized():
    image = keras.Input((None, None, 2))
    return keras.Model(image, layers.UpSampling2D(2, name="up")(layers.Conv2D(2, 3)(image)))


def of_two_sizes():
    image = keras.Input((None, None, 2))
    return keras.Model(image, layers.Add(name="join")([image, layers.Conv2D(2, 3)(image)]))


def of_each_row():
    image = keras.Input((16, 16, 2))
    return keras.Model(image, layers.Add(name="embed")([image, np.ones((16, 1, 2), np.float32)]))


def reflecting():
    image = keras.Input((None, None, 2))
    return keras.Model(image, keras.ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"))


REFUSED = {
    "global pooling": (squeeze_and_excite, "squeeze (GlobalAveragePooling2D): its receptive field cannot be computed"),
    "attention": (attention, "(Reshape): its receptive field cannot be computed"),
    "resizing": (resized, "up (UpSampling2D): its receptive field cannot be computed"),
    "a transposed convolution with a stride": (
        lambda: layers_of(layers.Conv2DTranspose(2, 3, 2, name="up")),
        "up (Conv2DTranspose): neighbouring cells see areas of different shape",
    ),
    "a layer of one's own": (
        lambda: layers_of(OwnLayer(name="own")), "own (OwnLayer): its receptive field cannot be computed",
    ),
    "channels first": (
        lambda: layers_of(layers.Conv2D(2, 3, data_format="channels_first", name="conv"), shape=(2, None, None)),
        "conv (Conv2D): works on channels first",
    ),
    "maps of different sizes": (of_two_sizes, "join (Add): puts together maps of different sizes, 16 x 16 and 14 x 14"),
    "a number for each row": (of_each_row, "embed (Add): has a number of its own for each row"),
    "a slope for each row": (
        lambda: layers_of(layers.PReLU(name="slopes"), shape=(16, 16, 2)),
        "slopes (PReLU): has a number of its own for each row",
    ),
    "reflection": (reflecting, "(Pad): pads with more than one number"),
    "an image that is too small": (
        lambda: layers_of(layers.Conv2D(2, 17, name="conv")),
        "conv (Conv2D): has nothing to give of a map of 16 x 16 cells; take a larger image",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_what_cannot_be_streamed_is_refused_by_name(build, message):
    with pytest.raises(GeometryError) as refusal:
        Stream(build(), (16, 16), 16)
    assert message in str(refusal.value)


@pytest.mark.parametrize("block_rows", [0, 48, -32, 32.0])
def test_block_rows_are_multiples_of_the_stride(block_rows):
    with pytest.raises(ValueError, match=rf"expected a multiple of the model's stride, 32, got {block_rows}"):
        Stream(vggfcn.build(MICRO, weights=None), (224, 224), block_rows)


def test_rows_of_another_shape_are_refused():
    model = layers_of(layers.Conv2D(2, 3))
    with pytest.raises(ValueError, match=r"rows 0 to 6: expected an array of shape \(6, 9, 2\), got \(6, 8, 2\)"):
        list(Stream(model, (12, 9), 6).run(lambda start, stop: np.zeros((stop - start, 8, 2))))


def test_strips_that_are_too_narrow_are_refused():
    with pytest.raises(ValueError, match="strip_columns: expected at least 410, as many as cell 3 needs, got 409"):
        strips(vggfcn.build(MICRO, weights=None), (224, 1600), 409)


def test_what_has_no_graph_is_refused():
    with pytest.raises(TypeError, match="model: expected a Keras model, got str"):
        Stream("model.keras", (16, 16), 16)
    with pytest.raises(ConversionError, match="has not been built"):
        Stream(keras.Sequential([layers.Conv2D(2, 3)], name="open"), (16, 16), 16)
