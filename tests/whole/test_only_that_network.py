"""A Keras file of a network that is nearly VGG is refused, or gives the logits that Keras itself predicts.

A tiny VGG16 is changed in one way after another. What decides is Keras's own `predict`, not the reader.
"""

import keras
import numpy as np
import pytest
from writers import TINY

import vggfcn
from vggfcn.errors import WeightsError

layers = keras.layers
IMAGE = np.random.default_rng(7).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
POOL = {"pool_size": 2, "strides": 2}
SUFFIXES = [".keras", ".h5", ".weights.h5"]


def vgg(last="softmax"):
    """The layers of the network as (class, options)."""
    rows = []
    for spec in TINY.trunk:
        if hasattr(spec, "filters"):
            options = {"filters": spec.filters, "kernel_size": 3, "padding": "same", "activation": "relu"}
            rows.append((layers.Conv2D, {**options, "name": spec.name}))
        else:
            rows.append((layers.MaxPooling2D, POOL))
    rows.append((layers.Flatten, {}))
    for spec in TINY.head:
        activation = last if spec is TINY.head[-1] else "relu"
        rows.append((layers.Dense, {"units": spec.units, "activation": activation, "name": spec.name}))
    return rows


def chain(rows, size=224):
    return keras.Sequential([keras.Input((size, size, 3)), *(make(**options) for make, options in rows)])


def where(rows, name):
    """The place of a layer by its name; "pool2" is the second pool, "flatten" the flattening."""
    if name.startswith("pool"):
        return [index for index, (make, _) in enumerate(rows) if make is layers.MaxPooling2D][int(name[4:]) - 1]
    if name == "flatten":
        return next(index for index, (make, _) in enumerate(rows) if make is layers.Flatten)
    return next(index for index, (_, options) in enumerate(rows) if options.get("name") == name)


def changed(name, **options):
    """One layer with other options."""

    def make():
        rows = vgg()
        kind, before = rows[where(rows, name)]
        rows[where(rows, name)] = (kind, {**before, **options})
        return chain(rows)

    return make


def after(name, kind, **options):
    """One layer more."""

    def make():
        rows = vgg()
        rows.insert(where(rows, name) + 1, (kind, options))
        return chain(rows)

    return make


def before_all(*added):
    return lambda: chain([*added, *vgg()])


def instead(name, kind, **options):
    """Another layer in the place of one, under its name if it has one."""

    def make():
        rows = vgg()
        index = where(rows, name)
        named = {"name": rows[index][1]["name"]} if "name" in rows[index][1] else {}
        rows[index] = (kind, {**options, **named})
        return chain(rows)

    return make


def without(name):
    def make():
        rows = vgg()
        del rows[where(rows, name)]
        return chain(rows)

    return make


def swapped(one, other):
    def make():
        rows = vgg()
        i, j = where(rows, one), where(rows, other)
        rows[i], rows[j] = rows[j], rows[i]
        return chain(rows)

    return make


def strided():
    """The convolution before the first pool strides, and the pool is gone: all shapes stay."""
    rows = vgg()
    index = where(rows, "block1_conv2")
    rows[index][1]["strides"] = 2
    del rows[index + 1]
    return chain(rows)


def functional(change=None, extra=()):
    """The network as a functional model; `change` is what happens after the layer block2_conv2."""
    inputs = x = keras.Input((224, 224, 3))
    for kind, options in vgg():
        x = kind(**options)(x)
        if options.get("name") == "block2_conv2" and change:
            x = change(x)
        if kind is layers.Flatten:
            x = layers.Dropout(0.5)(x, training="training" in extra)
    outputs = [x, layers.Dense(2, name="second")(x)] if "outputs" in extra else x
    return keras.Model(inputs, outputs)


def nested(trunk=None, head=None):
    """The trunk as a layer of its own, as people use the models of keras.applications."""
    rows = vgg()
    cut = where(rows, "flatten")
    inner = chain(trunk(rows[:cut]) if trunk else rows[:cut])
    outer = [make(**options) for make, options in (head(rows[cut:]) if head else rows[cut:])]
    return keras.Sequential([keras.Input((224, 224, 3)), inner, *outer])


def pooled_on_average(rows):
    return [(layers.AveragePooling2D if kind is layers.MaxPooling2D else kind, options) for kind, options in rows]


def twice_the_same():
    """One layer is called twice."""
    conv = layers.Conv2D(4, 3, padding="same", activation="relu", name="block2_conv2")
    return functional(lambda x: conv(conv(x)) if x.shape[-1] == 4 else x)


def half_precision():
    rows = vgg()
    rows[4][1]["dtype"] = "mixed_float16"
    return chain(rows)


NONLINEAR = [
    "elu",
    "gelu",
    "leaky_relu",
    "linear",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "tanh",
    "exponential",
]
# What a file of arrays alone does not hold: nobody can see it there.
UNSEEN = {
    **{f"{name} in the trunk": changed("block3_conv2", activation=name) for name in NONLINEAR},
    **{f"{name} in the head": changed("fc1", activation=name) for name in NONLINEAR},
    **{f"{name} at the end": changed("predictions", activation=name) for name in [*NONLINEAR[1:], "relu"]},
    "swapped pools": swapped("block3_conv1", "pool2"),
    "no padding": changed("block5_conv1", padding="valid"),
    "a stride": changed("block5_conv2", strides=2),
    "dilation": changed("block4_conv1", dilation_rate=2),
    "pools of three": changed("pool2", pool_size=3, padding="same"),
    "padded pools": changed("pool3", padding="same"),
    "mixed precision": half_precision,
    "dropout that stays on": lambda: functional(extra=("training",)),
    "a skip connection by an operation": lambda: functional(lambda x: x + keras.ops.relu(x)),
}  # fmt: skip
SEEN = {
    "batch normalisation": after("block2_conv1", layers.BatchNormalization),
    "batch normalisation at the end of the trunk": after("pool5", layers.BatchNormalization),
    "layer normalisation": after("fc1", layers.LayerNormalization),
    "unit normalisation": after("fc1", layers.UnitNormalization),
    "global average pooling": instead("flatten", layers.GlobalAveragePooling2D),
    "global max pooling": instead("flatten", layers.GlobalMaxPooling2D),
    "average pooling": instead("pool4", layers.AveragePooling2D, pool_size=2),
    "a pool more": after("block3_conv1", layers.MaxPooling2D, pool_size=1),
    "a pool that keeps the size": after("block3_conv1", layers.MaxPooling2D, pool_size=3, strides=1, padding="same"),
    "a stride for a pool": strided,
    **{f"without {name}": without(name) for name in ("block1_conv2", "block5_conv3", "pool5", "fc2", "predictions")},
    "without flattening": without("flatten"),
    "a kernel of five": changed("block2_conv2", kernel_size=5),
    "groups": changed("block4_conv2", groups=2),
    "no bias": changed("block4_conv2", use_bias=False),
    "no bias in the head": changed("fc2", use_bias=False),
    "a dense layer more": after("fc2", layers.Dense, units=24, activation="relu"),
    "a dense layer more at the end": after("predictions", layers.Dense, units=7),
    "a convolution more": after("block3_conv3", layers.Conv2D, filters=8, kernel_size=1),
    "a transposed convolution": instead(
        "block3_conv2", layers.Conv2DTranspose, filters=8, kernel_size=3, padding="same"
    ),
    "a leaky ReLU": after("block3_conv2", layers.LeakyReLU),
    "ELU as a layer": after("block3_conv2", layers.ELU),
    "PReLU": after("block3_conv2", layers.PReLU, shared_axes=[1, 2]),
    "ReLU6": after("block3_conv2", layers.ReLU, max_value=6.0),
    "an activation as a layer": after("block3_conv2", layers.Activation, activation="tanh"),
    "softmax in the middle": after("fc2", layers.Softmax),
    "softmax on softmax": after("predictions", layers.Softmax),
    "rescaling in the middle": after("block1_conv1", layers.Rescaling, scale=2.0),
    "rescaling to both sides": before_all((layers.Rescaling, {"scale": -1.0})),
    "padding with zeros": before_all((layers.ZeroPadding2D, {"padding": 0})),
    "resizing": before_all((layers.Resizing, {"height": 224, "width": 224})),
    "a permutation": after("pool5", layers.Permute, dims=(2, 1, 3)),
    "a crop of nothing": after("pool5", layers.Cropping2D, cropping=0),
    "upsampling": after("pool5", layers.UpSampling2D),
    "noise": after("block1_conv1", layers.GaussianNoise, stddev=1.0),
    "random flips": before_all((layers.RandomFlip, {})),
    "a repeated vector": after("fc1", layers.Reshape, target_shape=(32,)),
    "squeeze and excite": lambda: functional(
        lambda x: layers.Multiply()([x, layers.Dense(4)(layers.GlobalAveragePooling2D(keepdims=True)(x))])
    ),
    "a skip connection": lambda: functional(lambda x: layers.Add()([x, x])),
    "two outputs": lambda: functional(extra=("outputs",)),
    "a nested trunk with batch normalisation": lambda: nested(lambda rows: [*rows, (layers.BatchNormalization, {})]),
    "a nested trunk with average pools": lambda: nested(pooled_on_average),
    "a nested trunk, pooled": lambda: nested(head=lambda rows: [(layers.GlobalAveragePooling2D, {}), *rows[1:]]),
    "another size": lambda: chain(vgg(), size=230),
}  # fmt: skip
# What changes nothing about the logits.
THE_SAME = {
    "as it is": lambda: chain(vgg()),
    "logits": lambda: chain(vgg(last=None)),
    "softmax as a layer": lambda: chain([*vgg(last=None), (layers.Softmax, {})]),
    "softmax as an activation": lambda: chain([*vgg(last=None), (layers.Activation, {"activation": "softmax"})]),
    "functional, with dropout": functional,
    "dropout": after("fc1", layers.Dropout, rate=0.5),
    "a nested trunk": nested,
}
INPUT = {
    "rescaling": ((layers.Rescaling, {"scale": 1 / 127.5, "offset": -1.0}),),
    "normalisation": ((layers.Normalization, {"mean": [1.0, 2.0, 3.0], "variance": [4.0, 9.0, 16.0]}),),
    "rescaling and normalisation": (
        (layers.Rescaling, {"scale": 1 / 255}),
        (layers.Normalization, {"mean": [0.4, 0.5, 0.6], "variance": [0.04, 0.05, 0.06]}),
    ),
}


def saved(model, path):
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


def ours(path, **options):
    return vggfcn.build(weights=path, head="dense", activation="softmax", **options).predict(IMAGE, verbose=0)


def agrees(model, path, **options):
    """Whether the file gives what Keras predicts; logits and probabilities are both compared as probabilities."""
    found = ours(path, **options)
    expected = np.asarray(model.predict(IMAGE, verbose=0), np.float64)
    if not np.isclose(expected.sum(), 1, atol=1e-3):
        expected = np.exp(expected - expected.max())
        expected /= expected.sum()
    return expected.shape == found.shape and np.abs(found - expected).max() < 1e-5 * expected.max()


def made(make, seed=3):
    """The network with random numbers, large enough for its outputs to differ."""
    keras.utils.set_random_seed(seed)
    model = make()
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name in ("kernel", "bias"):
            size = np.sqrt(2 / np.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 0.1
            scale = size / (100 if variable.shape[2:3] == (3,) else 1)
            variable.assign(rng.standard_normal(variable.shape) * scale)
    return model


pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


@pytest.mark.parametrize("name", [*SEEN, *UNSEEN])
def test_a_network_that_is_nearly_vgg_is_refused_or_right(tmp_path, name):
    model = made((SEEN | UNSEEN)[name])
    for suffix in SUFFIXES:
        path = saved(model, tmp_path / f"model{suffix}")
        if suffix == ".weights.h5" and name in UNSEEN:
            # The list above is exact: what can be seen is not in it.
            assert len(vggfcn.read_weights(path)) == 16
            continue
        try:
            right = agrees(model, path, preprocess="raw")
        except WeightsError as error:
            assert any(way in str(error) for way in ("vggfcn.load", "model.save", "shapes do not fit"))
        else:
            assert right, f"{suffix} is read, but as another network"


@pytest.mark.parametrize("name", THE_SAME)
def test_a_vgg_is_read(tmp_path, name):
    model = made(THE_SAME[name])
    for suffix in SUFFIXES:
        path = saved(model, tmp_path / f"model{suffix}")
        if suffix == ".weights.h5" and name.startswith("softmax as"):
            # Such a file does not tell where in the network an activation is.
            with pytest.raises(WeightsError, match=r"the layer (softmax|activation) without arrays"):
                vggfcn.read_weights(path)
        else:
            assert agrees(model, path, preprocess="raw")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", INPUT)
def test_preprocessing_in_the_model_is_taken_over(tmp_path, name, suffix):
    model = made(before_all(*INPUT[name]))
    path = saved(model, tmp_path / f"model{suffix}")
    assert vggfcn.read_weights(path).preprocessing_reason == "stated in the file"
    assert agrees(model, path)


@pytest.mark.parametrize("name", INPUT)
def test_preprocessing_is_missing_from_a_file_of_arrays(tmp_path, name):
    path = saved(made(before_all(*INPUT[name])), tmp_path / "model.weights.h5")
    with pytest.raises(WeightsError, match=r"the layer (rescaling|normalization).*save that: model"):
        vggfcn.read_weights(path)


PREPROCESSED = {
    "caffe": lambda image: keras.applications.vgg16.preprocess_input(image.copy()),
    "torch": lambda image: keras.applications.densenet.preprocess_input(image.copy()),
    "-1..1": lambda image: keras.applications.mobilenet_v2.preprocess_input(image.copy()),
    "0..1": lambda image: image / 255,
    "raw": lambda image: image,
    "mean=10,20,30,std=2,3,4": lambda image: (image - [10, 20, 30]) / [2, 3, 4],
    "mean=10,20,30,std=2,3,4,order=BGR": lambda image: ((image - [10, 20, 30]) / [2, 3, 4])[..., ::-1],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("caffe", "0..1") else pytest.mark.slow) for name in PREPROCESSED]
)
def test_every_preprocessing_gives_what_keras_predicts_for_preprocessed_pixels(tmp_path, name):
    """The colour order is part of the preprocessing: only then is the first kernel turned."""
    model = made(lambda: chain(vgg()), seed=4)
    expected = model.predict(PREPROCESSED[name](IMAGE), verbose=0)
    assert np.ptp(expected) > 1e-3
    for suffix in SUFFIXES:
        path = saved(model, tmp_path / f"model{suffix}")
        np.testing.assert_allclose(ours(path, preprocess=name), expected, atol=1e-5)
        unchanged = vggfcn.build(weights=path, head="dense", activation="softmax", preprocess=False)
        np.testing.assert_allclose(unchanged.predict(PREPROCESSED[name](IMAGE), verbose=0), expected, atol=1e-5)
        with pytest.raises(WeightsError, match=r"nothing says how images .*published for caffe\. "):
            vggfcn.build(weights=path)
