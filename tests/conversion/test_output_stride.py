"""`with_output_stride`: the finer map contains the coarse one, and the cells in between are right too."""

import functools
import itertools
import re
import runpy

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import randomize
from paths import ROOT
from pixels import check_box, layers_of, positive

import vggfcn
from vggfcn.conversion.output_stride import with_output_stride
from vggfcn.errors import GeometryError
from vggfcn.maps.geometry import receptive_field

layers = keras.layers
TOLERANCE = 1e-5


def image_for(model, height, width, seed=1):
    shape = (2, height, width, model.inputs[0].shape[-1])
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check_holds_the_coarse_map(model, finer, sizes):
    """At [::k, ::k], at borders too; the finer map has no more cells than k times as many."""
    coarse, fine = (vggfcn.receptive_field(one).stride for one in (model, finer))
    steps = coarse[0] // fine[0], coarse[1] // fine[1]
    for size in sizes:
        image = image_for(model, *size)
        expected, found = np.asarray(model(image, training=False)), np.asarray(finer(image, training=False))
        part = found[:, :: steps[0], :: steps[1]]
        assert part.shape == expected.shape
        assert np.abs(part - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())
        if steps[0] > 1 and expected.shape[1] > 1:
            assert np.abs(found[:, 1 :: steps[0]][:, : expected.shape[1] - 1] - found[:, :: steps[0]][:, 1:]).max() > 0


def vgg_like():
    x = image = keras.Input((None, None, 3))
    for block in range(3):
        x = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"conv{block}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.Dropout(0.5)(layers.Conv2D(6, 2, activation="relu", name="fc1")(x))
    return keras.Model(image, layers.Conv2D(3, 1, name="predictions")(x), name="vgg_like")


def resnet_like(padding="same"):
    """Strides on convolutions and their short cuts, batch normalisation, SAME padding at strides."""
    x = image = keras.Input((None, None, 3))
    x = layers.MaxPooling2D(3, 2, "same", name="pool")(layers.Conv2D(4, 7, 2, "same", name="stem")(x))
    for stage in range(2):
        short = layers.Conv2D(4, 1, 2, name=f"short{stage}")(x)
        x = layers.Conv2D(4, 3, 2, "same", name=f"a{stage}")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"norm{stage}")(x))
        x = layers.ReLU()(layers.Add(name=f"add{stage}")([short, layers.Conv2D(4, 3, padding="same")(x)]))
    return keras.Model(image, layers.AveragePooling2D(2, 1)(x), name="resnet_like")


def with_pads():
    return layers_of(
        layers.ZeroPadding2D(((0, 1), (0, 1))), layers.Conv2D(4, 3, 2), layers.ZeroPadding2D(((1, 2), (0, 1))),
        layers.DepthwiseConv2D(3, 2), layers.Cropping2D(((1, 0), (0, 1))), layers.SeparableConv2D(3, 3, padding="same"),
        shape=(None, None, 3),
    )  # fmt: skip


def mixed_branches():
    """Branches that have other numbers of phases: a pool without padding beside a convolution with."""
    image = keras.Input((None, None, 3))
    x = layers.Concatenate(name="join")([layers.MaxPooling2D(2)(image), layers.Conv2D(4, 3, 2, "same")(image)])
    return keras.Model(image, layers.Conv2D(3, 3, padding="same")(layers.AveragePooling2D(2)(x)))


def nested():
    inner, image = keras.Input((None, None, 4)), keras.Input((None, None, 3))
    block = keras.Model(inner, layers.Conv2D(4, 3, 2, "same", name="conv")(inner), name="block")
    return keras.Model(image, block(block(layers.Conv2D(4, 3, 2, "same", name="conv")(image))))


def shared():
    """One layer that is called before and behind a stride."""
    image = keras.Input((None, None, 3))
    conv, pool = layers.Conv2D(3, 3, padding="same", name="conv"), layers.MaxPooling2D(2, name="pool")
    return keras.Model(image, conv(pool(conv(pool(conv(image))))))


NETWORKS = {
    "VGG's layout": vgg_like,
    "ResNet's layout": resnet_like,
    "zeros and crops": with_pads,
    "nested models": nested,
    "a layer called several times": shared,
    "average pools with SAME padding": lambda: layers_of(
        layers.AveragePooling2D(3, 2, "same"), layers.AveragePooling2D(3, 2, "same"),
        layers.AveragePooling2D(3, 1, "same"),
        shape=(None, None, 3),
    ),
    "max pools with SAME padding": lambda: layers_of(
        layers.MaxPooling2D(3, 2, "same"), layers.MaxPooling2D((2, 3), 2, "same"), layers.MaxPooling2D(4, 1, "same"),
        shape=(None, None, 3),
    ),
    "wide strides": lambda: layers_of(
        layers.Conv2D(4, 5, 4, "same"), layers.Conv2D(4, 2, 2, "same"), layers.MaxPooling2D(3, 4, "same"),
        shape=(None, None, 3),
    ),
    "kernels of even size": lambda: layers_of(
        layers.Conv2D(4, 2, 2, "same"), layers.Conv2D(4, 4, padding="same"), layers.Conv2D(4, (2, 3), padding="same"),
        shape=(None, None, 3),
    ),
    "dilation": lambda: layers_of(
        layers.Conv2D(4, 2, 2), layers.Conv2D(4, 3, dilation_rate=2, padding="same"), layers.Conv2D(4, 2, 2, "same"),
        shape=(None, None, 3),
    ),
    "rows and columns apart": lambda: layers_of(
        layers.Conv2D(4, 3, (2, 1), "same"), layers.MaxPooling2D((1, 3), (1, 2), "same"), layers.Conv2D(3, 3, (2, 4)),
        shape=(None, None, 3),
    ),
    "groups": lambda: layers_of(
        layers.Conv2D(4, 3, 2), layers.MaxPooling2D(3, 2), layers.Conv2D(4, 3, groups=2, padding="same"),
        shape=(None, None, 3),
    ),
}  # fmt: skip


@functools.cache
def network(name):
    """One of them with random weights, built once for all tests."""
    return randomize(NETWORKS[name]())


@functools.cache
def finer_network(name, stride):
    return with_output_stride(network(name), stride)


@functools.cache
def positive_finer_network(name):
    return positive(with_output_stride(NETWORKS[name](), 2))


SIZES = [(64, 64), (65, 67), (50, 79), (63, 66)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_coarse_map_is_in_the_finer_one(name):
    model = network(name)
    for stride in (1, 2, 4, 8):
        if stride < min(vggfcn.receptive_field(model).stride):
            check_holds_the_coarse_map(model, finer_network(name, stride), SIZES)


def test_branches_with_other_numbers_of_phases():
    model = randomize(mixed_branches())
    check_holds_the_coarse_map(model, with_output_stride(model, 1), [(24, 24), (26, 30)])
    check_holds_the_coarse_map(model, with_output_stride(model, 2), [(24, 24), (26, 30)])


@pytest.mark.parametrize("name", NETWORKS)
def test_it_sees_what_the_coarse_one_sees(name):
    for size in (None, (65, 67)):
        coarse = vggfcn.receptive_field(network(name), size=size)
        finer = vggfcn.receptive_field(finer_network(name, 1), size=size)
        assert (finer.size, finer.padding) == (coarse.size, coarse.padding)
        assert finer.stride == (1, 1)


@pytest.mark.parametrize("size", [(116, 119), (121, 118)])
@pytest.mark.parametrize("name", ["VGG's layout", "ResNet's layout", "max pools with SAME padding"])
def test_and_so_say_its_pixels(name, size):
    """In the middle; at a border a phase may see less, where padding stands for a cell that it would read."""
    model = positive_finer_network(name)
    geometry = vggfcn.receptive_field(model, size=size)
    cell = geometry.rows.cell_at(size[0] / 2, size[0]), geometry.columns.cell_at(size[1] / 2, size[1])
    (top, bottom), (left, right) = geometry.rows.span(cell[0]), geometry.columns.span(cell[1])
    assert (min(top, left) > 0, bottom < size[0], right < size[1]) == (True, True, True)
    check_box(model, geometry, *size, {cell, (cell[0] + 1, cell[1] + 1)})


def test_vgg16s_layout_at_every_stride(small_file):
    model = vggfcn.build(weights=small_file)
    for stride in (1, 2, 4, 8, 16):
        finer = with_output_stride(model, stride)
        check_holds_the_coarse_map(model, finer, [(257, 270)])
        assert vggfcn.receptive_field(finer).rows == receptive_field([(404, stride, 90)])


def test_the_page_says_how_many_operations_it_takes():
    root = ROOT
    count = runpy.run_path(str(root / "benchmarks" / "output_stride.py"))["operations"]
    model = vggfcn.build(weights="scene-digits")
    rows = re.findall(r"^\| (\d+) \| .* \| ([\d.]+) \|$", (root / "docs" / "geometry.md").read_text(), re.M)
    assert [int(stride) for stride, _ in rows] == [32, 16, 8, 4]
    for stride, ratio in rows:
        assert f"{count(with_output_stride(model, int(stride))) / count(model):.1f}" == ratio


@pytest.mark.parametrize("stride", [1, 2])
def test_every_window_of_lenet5(stride):
    """Nothing is padded: every cell is the original network on its own window."""
    original, model = (vggfcn.build(weights="mnist-lenet5", head=head) for head in ("dense", "conv"))
    finer = with_output_stride(model, stride)
    image = np.random.default_rng(0).uniform(0, 255, (1, 43, 51, 1)).astype(np.float32)
    scores = np.asarray(finer(image))[0]
    places = list(itertools.product(range(0, 43 - 31, stride), range(0, 51 - 31, stride)))
    expected = np.asarray(original(np.stack([image[0, y : y + 32, x : x + 32] for y, x in places])))
    assert scores.shape == (len(range(0, 12, stride)), len(range(0, 20, stride)), 10)
    assert np.abs(scores.reshape(expected.shape) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["VGG's layout", "ResNet's layout", "average pools with SAME padding"])
def test_is_saved_and_loaded_with_stock_keras(name, tmp_path):
    model, finer = network(name), finer_network(name, 2)
    finer.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    image = image_for(model, 65, 70)
    np.testing.assert_array_equal(again(image), finer(image))
    assert vggfcn.receptive_field(again, size=(65, 70)) == vggfcn.receptive_field(finer, size=(65, 70))
    assert [variable.shape for variable in again.weights] == [variable.shape for variable in model.weights]


def test_the_model_is_left_as_it_is_and_its_weights_are_copied_or_shared():
    model = randomize(vgg_like())
    before = [np.array(variable) for variable in model.weights], model.to_json()
    finer, twin = with_output_stride(model, 2), with_output_stride(model, 2, share_weights=True)
    for variable in finer.weights:
        variable.assign(variable + 1)
    assert model.to_json() == before[1]
    for variable, value in zip(model.weights, before[0], strict=True):
        np.testing.assert_array_equal(variable, value)
    assert all(mine is own for mine, own in zip(twin.weights, model.weights, strict=True))
    assert {layer.name for layer in model.layers if layer.weights} <= {layer.name for layer in finer.layers}


def test_half_precision_stays():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = randomize(resnet_like())
    finally:
        keras.config.set_dtype_policy("float32")
    finer = with_output_stride(model, 4)
    image = image_for(model, 65, 70)
    coarse, fine = np.asarray(model(image)), np.asarray(finer(image))
    assert fine.dtype == coarse.dtype
    np.testing.assert_allclose(fine[:, ::4, ::4], coarse, atol=2e-2)


def test_the_models_own_stride_is_the_model():
    model = vgg_like()
    assert with_output_stride(model, 8) is model


@pytest.mark.parametrize("stride", [0, 3, 16, -1, 2.0])
def test_strides_that_do_not_divide_are_refused(stride):
    with pytest.raises(
        ValueError, match=r"output_stride: expected one of 1, 2, 4, 8 for a network whose cells are 8 x 8"
    ):
        with_output_stride(vgg_like(), stride)


def first_a_stride(*after, shape=(None, None, 3), data_format=None):
    return layers_of(layers.Conv2D(4, 3, 2, name="stem", data_format=data_format), *after, shape=shape)


def finer_already():
    return with_output_stride(resnet_like(), 4)


REFUSED = {
    "a transposed convolution": (
        lambda: first_a_stride(layers.Conv2DTranspose(3, 3, name="up")), 1,
        "up (Conv2DTranspose): reads neighbouring cells after a removed stride",
    ),
    "channels first": (
        lambda: first_a_stride(shape=(3, None, None), data_format="channels_first"), 1,
        "stem (Conv2D): works on channels first; build the network channels last",
    ),
    "strides that do not follow each other": (
        lambda: layers_of(layers.MaxPooling2D(3, 3), layers.Conv2D(4, 3, 2, name="conv"), shape=(None, None, 3)), 2,
        "conv (Conv2D): would need a stride and dilation at the same time",
    ),
    "what is finer already": (finer_already, 2, "crops or pads the map with keras.ops; if the network was made finer"),
    "what has no geometry": (
        lambda: first_a_stride(layers.UpSampling2D(2, name="up")), 1,
        "up (UpSampling2D): its receptive field cannot be computed",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("build", "stride", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_what_cannot_be_made_finer_is_refused_by_name(build, stride, message):
    with pytest.raises(GeometryError) as refusal:
        with_output_stride(build(), stride)
    assert message in str(refusal.value)


def random_network(draw, paddings):
    """A chain of up to four layers with strides, pools, dilation and branches."""
    x = image = keras.Input((None, None, 2))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "depthwise", "max", "average", "branch"]))
        kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        stride, padding = draw(st.sampled_from([1, 2, 2, 4])), draw(st.sampled_from(paddings))
        if kind == "conv":
            dilation = draw(st.integers(1, 2)) if stride == 1 else 1
            x = layers.Conv2D(2, kernel, stride, padding, dilation_rate=dilation, activation="relu")(x)
        elif kind == "depthwise":
            x = layers.DepthwiseConv2D(kernel, stride, padding)(x)
        elif kind in ("max", "average"):
            pool = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
            x = pool(kernel, stride, padding)(x)
        else:
            x = layers.Add()(
                [layers.Conv2D(2, kernel, stride, padding)(x), layers.MaxPooling2D(kernel, stride, padding)(x)]
            )
    return randomize(keras.Model(image, x), draw(st.integers(0, 99)))


def divisor(draw, model):
    strides = vggfcn.receptive_field(model).stride
    return draw(st.sampled_from([2**power for power in range(9) if strides[0] % 2**power == 0]))


def large_enough(draw, model):
    """A size with at least one cell; on smaller ones Keras's own layers give what happens to be in memory."""
    field = vggfcn.receptive_field(model)
    return tuple(max(1, axis.window) + draw(st.integers(0, 40)) for axis in (field.rows, field.columns))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.data())
def test_random_networks_hold_their_coarse_maps(data):
    model = random_network(data.draw, ["same", "valid"])
    finer = with_output_stride(model, divisor(data.draw, model))
    check_random(model, finer, large_enough(data.draw, model))


def check_random(model, finer, size):
    image = image_for(model, *size)
    steps = [
        a // b for a, b in zip(vggfcn.receptive_field(model).stride, vggfcn.receptive_field(finer).stride, strict=True)
    ]
    expected, found = np.asarray(model(image)), np.asarray(finer(image))[:, :: steps[0], :: steps[1]]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data())
def test_random_networks_without_padding_are_themselves_on_every_window(data):
    model = random_network(data.draw, ["valid"])
    finer = with_output_stride(model, 1)
    side = vggfcn.receptive_field(model).rows.size, vggfcn.receptive_field(model).columns.size
    image = image_for(model, side[0] + 5, side[1] + 3)[:1]
    found = np.asarray(finer(image))[0]
    assert found.shape[:2] == (6, 4)
    windows = [image[0, y : y + side[0], x : x + side[1]] for y, x in itertools.product(range(6), range(4))]
    expected = np.asarray(model(np.stack(windows))).reshape(found.shape)
    assert np.abs(found - expected).max() <= TOLERANCE * max(1, np.abs(expected).max())


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.data())
def test_many_random_networks(data):
    model = random_network(data.draw, ["same", "valid"])
    finer = with_output_stride(model, divisor(data.draw, model))
    check_random(model, finer, large_enough(data.draw, model))
