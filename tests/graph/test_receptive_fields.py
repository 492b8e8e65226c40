"""`receptive_field` against published tables, and against the rows and columns of pixels that change a cell."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import OwnLayer, squeeze_and_excite
from pixels import check_box, clipped, layers_of, positive, seen

import vggfcn
from vggfcn.errors import ConversionError, GeometryError
from vggfcn.maps.geometry import Geometry, ReceptiveField
from vggfcn.networks.catalogue import ARCHITECTURES
from vggfcn.networks.spec import DenseSpec

layers = keras.layers


def figures(model, **arguments):
    geometry = vggfcn.receptive_field(model, **arguments)
    assert geometry.rows == geometry.columns
    return geometry.rows.size, geometry.rows.stride, geometry.rows.padding


def up_to(model, layer):
    return keras.Model(model.inputs, model.get_layer(layer).output)


# RECEPTIVE_FIELD_TABLE.md of google-research/receptive_field lists these for TF-Slim's networks, where they have the
# same layers as Keras's: (network, Keras's name of the end-point, size, stride, padding).
VGG = [
    ("VGG16", "block1_pool", 6, 2, 2),
    ("VGG16", "block2_pool", 16, 4, 6),
    ("VGG16", "block3_conv2", 32, 4, 14),
    ("VGG16", "block4_pool", 100, 16, 42),
    ("VGG16", "block5_pool", 212, 32, 90),
]
OTHERS = [
    # inception_v3, Mixed_5b, 6a, 6e, 7a, 7b and 7c; inception_resnet_v2, Conv2d_7b_1x1.
    ("InceptionV3", "mixed0", 63, 8, 18),
    ("InceptionV3", "mixed3", 159, 16, 58),
    ("InceptionV3", "mixed7", 927, 16, 442),
    ("InceptionV3", "mixed8", 1055, 32, 490),
    ("InceptionV3", "mixed10", 1311, 32, 618),
    ("InceptionResNetV2", "conv_7b", 3039, 32, 1482),
    # mobilenet_v1 at 224: Keras always pads as TF-Slim does even sizes.
    ("MobileNet", "conv_pw_13", 315, 32, 126),
    # resnet_v1_50 and resnet_v2_50 at 321: Keras always pads the first pool as TF-Slim does odd sizes. Their blocks
    # end with the stride that Keras's begin with, or the other way round, so only the last end-point is the same.
    ("ResNet50", "conv5_block3_out", 483, 32, 241),
    ("ResNet50V2", "post_relu", 483, 32, 241),
]


@pytest.fixture(scope="module")
def applications():
    models = {}

    def get(name):
        if name not in models:
            models[name] = getattr(keras.applications, name)(include_top=False, weights=None)
        return models[name]

    return get


@pytest.mark.parametrize(("name", "layer", "size", "stride", "padding"), VGG)
def test_published_figures_of_vgg16(applications, name, layer, size, stride, padding):
    assert figures(up_to(applications(name), layer)) == (size, stride, padding)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer", "size", "stride", "padding"), OTHERS)
def test_published_figures_of_others(applications, name, layer, size, stride, padding):
    assert figures(up_to(applications(name), layer)) == (size, stride, padding)


# alexnet_v2's end-points, and mobilenet_v1's at two resolutions.
@pytest.mark.parametrize(
    ("layer", "size", "stride", "padding"),
    [("conv1", 11, 4, 0), ("pool1", 19, 8, 0), ("conv2", 51, 8, 16), ("conv5", 163, 16, 64), ("pool5", 195, 32, 64)],
)
def test_published_figures_of_alexnet(layer, size, stride, padding):
    assert figures(up_to(vggfcn.build("alexnet", weights=None, head=None), layer)) == (size, stride, padding)


@pytest.mark.parametrize(("resolution", "padding"), [(224, 126), (321, 157), (None, 126)])
def test_published_figures_of_mobilenet_with_same_padding_depend_on_the_resolution(resolution, padding):
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    depthwise = [layers.DepthwiseConv2D(3, stride, "same") for stride in strides]
    model = layers_of(layers.Conv2D(2, 3, 2, "same"), *depthwise)
    size = None if resolution is None else (resolution, resolution)
    assert figures(model, size=size) == (315, 32, padding)


@pytest.mark.parametrize("name", ["alexnet", "lenet5", "vgg16"])
def test_built_networks_are_as_their_specs_say(name):
    architecture = ARCHITECTURES[name]
    # Its receptive field does not depend on widths, and VGG16's head alone has 500 MB.
    narrow = dataclasses.replace(architecture, head=tuple(DenseSpec(layer.name, 2) for layer in architecture.head))
    field = vggfcn.receptive_field(vggfcn.build(narrow, weights=None))
    expected = architecture.receptive_field
    assert field == Geometry(expected, expected)
    assert (field.size, field.stride, field.padding) == (
        (expected.size,) * 2,
        (expected.stride,) * 2,
        (expected.padding,) * 2,
    )


def test_a_converted_network():
    classifier = keras.applications.MobileNet(input_shape=(64, 64, 3), alpha=0.25, weights=None, classes=3)
    field = vggfcn.receptive_field(vggfcn.convert(classifier, check=False)).rows
    # The pool over the last 2 x 2 cells makes it 32 wider. Padding: 126 before, and 1 + 2 + 4 + 8 + 16 more after.
    assert field == ReceptiveField(315 + 32, 32, 126, extra_padding_after=31)
    assert field.window == 64


def branches():
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(2, 3, 2, "same")(image)
    wide = layers.Conv2D(2, (3, 5), padding="same", dilation_rate=2)(x)
    shifted = layers.Cropping2D(((4, 0), (0, 1)))(layers.ZeroPadding2D(((0, 4), (1, 0)))(x))
    return keras.Model(image, layers.Concatenate()([layers.Add()([wide, shifted]), x]))


def nested():
    inner, image = keras.Input((None, None, 2)), keras.Input((None, None, 2))
    block = keras.Model(inner, layers.Add()([inner, layers.DepthwiseConv2D(3, padding="same")(inner)]), name="block")
    return keras.Model(image, layers.MaxPooling2D(3, 2)(block(block(image))))


def operations():
    image = keras.Input((None, None, 2))
    x = keras.ops.pad(image * 2.0 + 1.0, ((0, 0), (2, 0), (0, 1), (0, 0)))
    return keras.Model(image, keras.ops.relu(layers.Conv2D(2, 3)(x)) / 3.0)


def channels_apart():
    """Slices, stacks and reductions of channels do not change what a cell sees."""
    image = keras.Input((None, None, 2))
    x = keras.ops.stack([image[..., i] for i in (1, 0)], axis=-1)
    x = layers.Concatenate()([x[..., ::-1], keras.ops.mean(x, axis=-1, keepdims=True), keras.ops.take(x, [1], axis=-1)])
    return keras.Model(image, layers.Conv2D(2, 3, 2)(keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 0)))))


NETWORKS = {
    "operations on channels": channels_apart,
    "a stride and SAME padding": lambda: layers_of(layers.Conv2D(2, 3, 2, "same"), layers.Conv2D(2, 2, 2, "same")),
    "pools with SAME padding": lambda: layers_of(
        layers.MaxPooling2D(3, 2, "same"), layers.AveragePooling2D(3, 2, "same")
    ),
    "wide strides": lambda: layers_of(layers.Conv2D(2, 5, 4, "same"), layers.Conv2D(2, 2, 3, "same")),
    "pools without": lambda: layers_of(layers.MaxPooling2D(3, 2), layers.AveragePooling2D((2, 3), (2, 1))),
    "rows and columns apart": lambda: layers_of(
        layers.Conv2D(2, (3, 1), padding="same"), layers.Conv2D(2, (2, 5), strides=(1, 2))
    ),
    "dilation": lambda: layers_of(layers.Conv2D(2, 2, dilation_rate=3, padding="same"), layers.Conv2D(2, 2, 2, "same")),
    "separable": lambda: layers_of(layers.SeparableConv2D(2, 3, 2, "same"), layers.DepthwiseConv2D(2)),
    "transposed": lambda: layers_of(layers.Conv2DTranspose(2, 3), layers.Conv2DTranspose(2, 4, padding="same")),
    "zeros and crops": lambda: layers_of(
        layers.ZeroPadding2D(((3, 1), (0, 2))), layers.Conv2D(2, 3, 2), layers.Cropping2D(((1, 0), (2, 1)))
    ),
    "branches": branches,
    "nested models": nested,
    "operations of keras.ops": operations,
    "a dense layer on a map": lambda: layers_of(layers.Conv2D(2, 3), layers.Dense(2), layers.BatchNormalization()),
}  # fmt: skip


@functools.cache
def network(name):
    """One of them with positive weights, built once for all sizes."""
    return positive(NETWORKS[name]())


def holed(name):
    """Whether dilation or a stride wider than its kernel leaves pixels in the box unread."""
    return name in ("wide strides", "dilation", "branches")


@pytest.mark.parametrize("size", [(24, 24), (23, 25), (22, 27), (29, 21)])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_row_and_column_inside_changes_the_cell_and_none_outside_does(name, size):
    model = network(name)
    geometry = vggfcn.receptive_field(model, size=size)
    if not holed(name):
        check_box(model, geometry, *size)
    cell = tuple(side // 2 for side in model.compute_output_shape((1, *size, 2))[1:3])
    for found, field, index, length in zip(
        seen(model, *size, cell), (geometry.rows, geometry.columns), cell, size, strict=True
    ):
        inside = clipped(field.span(index), length)
        assert set(found) <= set(inside)
        assert (found[0], found[-1]) == (inside[0], inside[-1])


def test_and_that_check_can_fail():
    model = network("a stride and SAME padding")
    check_box(model, vggfcn.receptive_field(model, size=(23, 23)), 23, 23)
    with pytest.raises(AssertionError):
        check_box(model, vggfcn.receptive_field(model), 23, 23)


@pytest.mark.parametrize("size", [(24, 24), (48, 72)])
def test_without_a_size_those_are_meant_that_are_multiples_of_the_stride(size):
    for name in ("a stride and SAME padding", "pools with SAME padding", "wide strides"):
        model = network(name)
        assert vggfcn.receptive_field(model) == vggfcn.receptive_field(model, size=size)


def test_same_padding_of_even_and_odd_sizes():
    model = layers_of(layers.Conv2D(1, 3, 2, "same"))
    assert vggfcn.receptive_field(model, size=(8, 9)) == Geometry(ReceptiveField(3, 2, 0, 1), ReceptiveField(3, 2, 1))
    fixed = layers_of(layers.Conv2D(1, 3, 2, "same"), shape=(8, 9, 2))
    assert vggfcn.receptive_field(fixed) == vggfcn.receptive_field(model, size=(8, 9))


def test_channels_first():
    model = layers_of(
        layers.Conv2D(2, (3, 5), data_format="channels_first"),
        layers.BatchNormalization(axis=1),
        layers.Permute((2, 3, 1)),
        layers.Conv2D(2, 2, data_format="channels_last"),
        shape=(2, None, None),
    )
    assert vggfcn.receptive_field(model).size == (4, 6)


def different_strides():
    image = keras.Input((None, None, 2))
    return keras.Model(image, layers.Add(name="join")([image, layers.Conv2D(2, 3, 2, "same")(image)]))


def two_outputs():
    image = keras.Input((None, None, 2))
    return keras.Model(image, [image, layers.Conv2D(2, 3)(image)], name="two")


def nested_refusal():
    inner, image = keras.Input((None, None, 2)), keras.Input((None, None, 2))
    return keras.Model(image, keras.Model(inner, layers.UpSampling2D(2, name="up")(inner), name="block")(image))


REFUSED = {
    "squeeze and excite": (
        squeeze_and_excite,
        "squeeze (GlobalAveragePooling2D): its receptive field cannot be computed",
    ),
    "a head": (
        lambda: layers_of(layers.Flatten(name="flat"), shape=(8, 8, 2)),
        "flat (Flatten): its receptive field cannot be computed",
    ),
    "different strides": (different_strides, "join (Add): merges maps of different strides, 1 x 1 and 2 x 2"),
    "two outputs": (two_outputs, "two: expected one input and one output, got 1 and 2"),
    "upsampling in a nested model": (nested_refusal, "block/up (UpSampling2D): its receptive field cannot be computed"),
    "a transposed convolution with a stride": (
        lambda: layers_of(layers.Conv2DTranspose(2, 3, 2, name="up")),
        "up (Conv2DTranspose): neighbouring cells see areas of different shape",
    ),
    "normalisation over space": (
        lambda: layers_of(layers.LayerNormalization(axis=(1, 2, 3), name="norm"), shape=(8, 8, 2)),
        "norm (LayerNormalization): its receptive field cannot be computed",
    ),
    "a custom layer": (
        lambda: layers_of(OwnLayer(name="own")),
        "own (OwnLayer): its receptive field cannot be computed",
    ),
    "vectors": (lambda: layers_of(layers.Dense(2), shape=(4,)), "expected images, got an input of shape (None, 4)"),
    "a turned map": (
        lambda: layers_of(layers.Permute((2, 1, 3), name="turn")),
        "turn (Permute): moves rows or columns to other axes",
    ),
    "one row taken out": (
        lambda: keras.Model(image := keras.Input((None, None, 2)), image[:, 1:]),
        "(GetItem): selects rows or columns",
    ),
    "a map that is scaled by one of its columns": (
        lambda: keras.Model(image := keras.Input((None, None, 2)), image * keras.ops.sum(image[0, :, 0, 0])),
        "(Sum): selects rows or columns",
    ),
    "one image of the batch": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), image[0]),
        "(GetItem): selects rows or columns",
    ),
    "one row by its number": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), image[:, 0]),
        "(GetItem): selects rows or columns",
    ),
    "a convolution over channels that were taken for columns": (
        lambda: keras.Model(
            image := keras.Input((8, 8, 2)), layers.Conv2D(2, 1, name="conv")(keras.ops.expand_dims(image[..., 0], 1))
        ),
        "conv (Conv2D): slides along other axes than rows and columns",
    ),
    "an axis before the rows": (
        lambda: keras.Model(
            image := keras.Input((8, 8, 2)), layers.Conv3D(2, 1, name="conv")(keras.ops.expand_dims(image, 1))
        ),
        "conv (Conv3D): its receptive field cannot be computed",
    ),
    "softmax along the columns": (
        lambda: layers_of(
            layers.Conv2D(2, 3, data_format="channels_first"),
            layers.Activation("softmax", name="scores"),
            shape=(2, 8, 8),
        ),
        "scores (Activation): has an activation along the columns, not the channels",
    ),
    "all axes reversed": (
        lambda: keras.Model(image := keras.Input((8, 8, 2), 8), keras.ops.transpose(image)),
        "(Transpose): moves rows or columns to other axes",
    ),
    "rows joined": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), layers.Concatenate(axis=1, name="join")([image, image])),
        "join (Concatenate): joins maps along rows or columns",
    ),
    "rows reversed": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), keras.ops.flip(image, axis=1)),
        "(Flip): its receptive field cannot be computed",
    ),
    "a mirror around the map": (
        lambda: keras.Model(
            image := keras.Input((8, 8, 2)), keras.ops.pad(image, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        ),
        "(Pad): pads with pixels from inside the image (mode reflect)",
    ),
    "several outputs": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), layers.Add()(keras.ops.split(image, 2, axis=-1))),
        "(Split): has 2 outputs",
    ),
    "a constant with more axes": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), keras.ops.add(image, np.ones((3, 1, 1, 1, 2)))),
        "(Add): its receptive field cannot be computed",
    ),
    "a weighted mean": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), keras.ops.average(image, axis=1)),
        "(Average): its receptive field cannot be computed",
    ),
    "every other row": (
        lambda: keras.Model(image := keras.Input((8, 8, 2)), keras.ops.take(image, [0, 2, 4], axis=1)),
        "(Take): selects rows or columns",
    ),
}


@pytest.mark.parametrize(("build", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_what_cannot_be_known_is_refused_by_name(build, message):
    with pytest.raises(GeometryError) as refusal:
        vggfcn.receptive_field(build())
    assert message in str(refusal.value)


def test_what_has_no_graph_is_refused():
    with pytest.raises(TypeError, match="model: expected a Keras model, got str"):
        vggfcn.receptive_field("model.keras")
    with pytest.raises(ConversionError, match="has not been built"):
        vggfcn.receptive_field(keras.Sequential([layers.Conv2D(2, 3)], name="open"))


def random_network(draw):
    """A chain of up to four layers with strides, pools, dilation and branches."""
    image = x = keras.Input((None, None, 2))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "depthwise", "max", "average", "pad", "branch"]))
        kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        stride, padding = draw(st.integers(1, 2)), draw(st.sampled_from(["same", "valid"]))
        if kind == "conv":
            dilation = draw(st.integers(1, 2)) if stride == 1 else 1
            x = layers.Conv2D(2, kernel, stride, padding, dilation_rate=dilation)(x)
        elif kind == "depthwise":
            x = layers.DepthwiseConv2D(kernel, stride, padding)(x)
        elif kind in ("max", "average"):
            pool = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
            x = pool(kernel, stride, padding)(x)
        elif kind == "pad":
            x = layers.Conv2D(2, 3)(layers.ZeroPadding2D(((1, 0), (0, 2)))(x))
        else:
            x = layers.Add()([layers.Conv2D(2, kernel, stride, "same")(x), layers.Conv2D(2, 1, stride)(x)])
    return positive(keras.Model(image, x), draw(st.integers(0, 99)))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.data())
def test_random_networks_see_nothing_outside_and_the_ends_inside(data):
    check_ends(data)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_many_random_networks_do_so(data):
    check_ends(data)


def check_ends(data):
    model = random_network(data.draw)
    size = data.draw(st.integers(24, 31)), data.draw(st.integers(24, 31))
    geometry = vggfcn.receptive_field(model, size=size)
    cells = model.compute_output_shape((1, *size, 2))[1:3]
    cell = tuple(data.draw(st.integers(0, count - 1)) for count in cells)
    for found, field, index, length in zip(
        seen(model, *size, cell), (geometry.rows, geometry.columns), cell, size, strict=True
    ):
        start, stop = field.span(index)
        assert set(found) <= set(range(start, stop))
        assert start < 0 or start in found
        assert stop > length or stop - 1 in found


def test_one_pixel_is_enough():
    """Here single pixels are changed, not whole rows and columns."""
    model = positive(branches())
    geometry = vggfcn.receptive_field(model, size=(21, 22))
    image = np.ones((21, 22, 2), np.float32)
    rows, columns = np.mgrid[0:21, 0:22].reshape(2, -1)
    images = np.repeat(image[None], len(rows) + 1, 0)
    images[np.arange(1, len(rows) + 1), rows, columns] += 1e4
    values = np.asarray(model(images))[:, 4, 5]
    changed = (values[1:] != values[0]).any(-1)
    (top, bottom), (left, right) = geometry.rows.span(4), geometry.columns.span(5)
    assert (rows[changed].min(), rows[changed].max() + 1) == (top, bottom)
    assert (columns[changed].min(), columns[changed].max() + 1) == (left, right)
