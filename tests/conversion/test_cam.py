"""`cam`: each cell is the head, in NumPy, of the trunk's cell; the mean of the cells is the original's logit."""

import functools

import applications
import keras
import numpy as np
import pytest
from networks import noise, randomize, relative_difference, run, squeeze_and_excite

import vggfcn
from vggfcn.conversion import cam as module
from vggfcn.conversion.cam import cam
from vggfcn.errors import ConversionError

layers = keras.layers
# Small networks of keras.applications: name -> arguments of its function, and those of `convert`.
PUBLISHED = {
    "MobileNetV2": ({"input_shape": (64, 64, 3), "alpha": 0.35}, {}),
    "ResNet50": ({"input_shape": (64, 64, 3)}, {}),
    "DenseNet121": ({"input_shape": (64, 64, 3)}, {}),
    "EfficientNetB0": ({"input_shape": (64, 64, 3)}, {"keep_global": True}),
}


QUICK_FIRST = [pytest.param(name, marks=[] if name == "MobileNetV2" else pytest.mark.slow) for name in PUBLISHED]


@functools.cache
def published(name):
    """The original with statistics of noise, and its class activation map."""
    arguments, options = PUBLISHED[name]
    keras.utils.set_random_seed(0)
    original = getattr(keras.applications, name)(weights=None, classifier_activation=None, classes=5, **arguments)
    applications.settle(original)
    return original, cam(vggfcn.convert(original, check=False, **options))


def image_for(height, width, seed=1):
    return np.random.default_rng(seed).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("name", QUICK_FIRST)
def test_a_cell_is_the_head_of_the_trunks_cell(name):
    original, found = published(name)
    pool = next(
        layer
        for layer in original.layers
        if isinstance(layer, layers.GlobalAveragePooling2D)
        and not layer.keepdims
        and layer.output.shape[-1] == original.layers[-1].kernel.shape[0]
    )
    image = image_for(64, 64)
    features = np.asarray(keras.Model(original.input, pool.input)(image), np.float64)
    kernel, bias = (np.asarray(value, np.float64) for value in original.layers[-1].weights)
    cells = np.asarray(found(image))
    assert cells.shape == (1, 2, 2, 5)
    assert relative_difference(cells, features @ kernel + bias) < 1e-5
    assert np.ptp(cells, axis=(1, 2)).max() > 1e-3 * np.abs(cells).max()
    assert relative_difference(cells.mean((1, 2)), np.asarray(original(image))) < 1e-5
    assert found.compute_output_shape((1, 96, 128, 3)) == (1, 3, 4, 5)


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "DenseNet121"])
def test_its_receptive_field_is_that_of_the_trunk(name):
    found = published(name)[1]
    trunk = getattr(keras.applications, name)(
        weights=None, include_top=False, **{**PUBLISHED[name][0], "input_shape": (None, None, 3)}
    )
    field = vggfcn.receptive_field(found)
    assert field == vggfcn.receptive_field(trunk)
    assert field.stride == (32, 32)


def classifier(*after, trunk=()):
    return randomize(
        keras.Sequential(
            [
                keras.Input((24, 20, 3)),
                layers.Conv2D(6, 3, strides=2, padding="same", name="stem"),
                layers.ReLU(),
                layers.MaxPooling2D(2, name="pool"),
                layers.Conv2D(8, 3, activation="relu", name="conv"),
                *trunk,
                *after,
            ],
            name="classifier",
        )
    )


def affine():
    """Every kind of linear layer after the pooling."""
    image = keras.Input((24, 20, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(image)
    x = layers.GlobalAveragePooling2D(keepdims=True, name="gap")(x)
    x = layers.Conv2D(7, 1, name="mix")(layers.Dropout(0.5)(x))
    x = layers.BatchNormalization(name="norm")(layers.Flatten()(x))
    x = layers.Dense(4, name="fc")(layers.Rescaling(0.5, 0.25)(x))
    x = 3.0 - keras.ops.negative(x) / 2.0
    return randomize(keras.Model(image, layers.Activation("linear")(x * np.float32([1, 2, 3, 4]))))


def test_every_kind_of_linear_layer_may_follow():
    original = affine()
    image = noise(original)
    features = run(keras.Model(original.input, original.get_layer("conv").output), image)[0]
    weights = {
        name: [np.asarray(v, np.float64) for v in original.get_layer(name).weights] for name in ("mix", "norm", "fc")
    }
    x = features @ weights["mix"][0][0, 0] + weights["mix"][1]
    gamma, beta, mean, variance = weights["norm"]
    x = (x - mean) / np.sqrt(variance + original.get_layer("norm").epsilon) * gamma + beta
    x = (x * 0.5 + 0.25) @ weights["fc"][0] + weights["fc"][1]
    expected = (3 + x / 2) * [1, 2, 3, 4]
    found = run(cam(vggfcn.convert(original)), image)[0]
    assert found.shape == (1, 11, 9, 4)
    assert relative_difference(found, expected) < 1e-5
    assert relative_difference(found.mean((1, 2)), run(original, image)[0]) < 1e-5


def nested():
    """The pooling lies two models deep, alone in one; the head lies in another; the trunk is one too."""
    trunk = keras.Sequential([keras.Input((24, 20, 3)), layers.Conv2D(6, 5, 2, "same", name="conv")], name="trunk")
    pool = keras.Sequential([keras.Input((12, 10, 6)), layers.GlobalAveragePooling2D(name="gap")], name="pool")
    around = keras.Sequential([keras.Input((12, 10, 6)), layers.ReLU(name="relu"), pool], name="around")
    top = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="fc")], name="top")
    return randomize(keras.Sequential([keras.Input((24, 20, 3)), trunk, around, top], name="outer"))


def channels_first():
    image = keras.Input((3, 24, 20))
    x = layers.Permute((3, 1, 2))(layers.Permute((2, 3, 1))(image))
    x = layers.Conv2D(6, 5, 2, activation="relu", data_format="channels_first", name="conv")(x)
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    return randomize(keras.Model(image, layers.Dense(4, name="fc")(x)))


@pytest.mark.parametrize("build", [nested, channels_first])
def test_nested_models_and_channels_first(build):
    original = build()
    conv = next(layer for layer in original._flatten_layers() if layer.name == "conv")
    fc = next(layer for layer in original._flatten_layers() if layer.name == "fc")
    image = noise(original)
    if build is nested:
        features = np.maximum(run(keras.Sequential([keras.Input((24, 20, 3)), conv]), image)[0], 0)
    else:
        features = run(conv, image)[0].transpose(0, 2, 3, 1)
    found = run(cam(vggfcn.convert(original)), image)[0]
    kernel, bias = (np.asarray(value, np.float64) for value in fc.weights)
    assert relative_difference(found, features @ kernel + bias) < 1e-5
    assert relative_difference(found.mean((1, 2)), run(original, image)[0]) < 1e-5


def pooling_block_called_twice():
    """One nested model that pools is called in the trunk and in the head: it is left out of the head alone."""
    inner = keras.Input((None, None, 3))
    x = layers.AveragePooling2D(3, strides=1, name="average")(layers.ReLU()(inner))
    block = keras.Model(inner, layers.Conv2D(3, 1, name="mix")(x), name="block")
    image = keras.Input((None, None, 3))
    return randomize(keras.Model(image, block(block(image)), name="twice")), block


def test_a_model_called_twice_is_unpooled_in_the_head_alone():
    model, block = pooling_block_called_twice()
    image = noise(model, (5, 5, 3))
    kernel, bias = (np.asarray(value, np.float64) for value in block.get_layer("mix").weights)
    expected = np.maximum(run(block, image)[0], 0) @ kernel[0, 0] + bias
    found = run(cam(model), image)[0]
    assert found.shape == (1, 3, 3, 3)
    assert relative_difference(found, expected) < 1e-6


def test_whole_image_context_stays():
    original = randomize(squeeze_and_excite())
    found = cam(vggfcn.convert(original, keep_global=True))
    assert found.get_layer("squeeze").name == "squeeze"
    image = noise(original)
    features = run(keras.Model(original.input, original.get_layer("head").input), image)[0]
    kernel, bias = (np.asarray(value, np.float64) for value in original.layers[-1].weights)
    assert relative_difference(run(found, image)[0], features @ kernel + bias) < 1e-5


def test_means_of_windows_are_the_map_of_the_network_on_larger_images():
    converted = vggfcn.convert(classifier(layers.GlobalAveragePooling2D(), layers.Dense(4)))
    image = noise(converted, (41, 50, 3))
    expected, cells = run(converted, image)[0], run(cam(converted), image)[0]
    rows, columns = cells.shape[1] - expected.shape[1] + 1, cells.shape[2] - expected.shape[2] + 1
    means = [
        [cells[0, r : r + rows, c : c + columns].mean((0, 1)) for c in range(expected.shape[2])]
        for r in range(expected.shape[1])
    ]
    assert (rows, columns) == (4, 3)
    assert relative_difference(np.array(means)[None], expected) < 1e-5


def test_a_map_of_one_cell_is_the_network_itself():
    original = randomize(
        keras.Sequential(
            [
                keras.Input((9, 9, 3)),
                layers.Conv2D(5, 9, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(4),
            ]
        )
    )
    converted = vggfcn.convert(original)
    image = noise(original, (12, 11, 3))
    np.testing.assert_allclose(run(cam(converted), image)[0], run(converted, image)[0], rtol=1e-5)


@functools.cache
def small_map():
    return cam(vggfcn.convert(classifier(layers.GlobalAveragePooling2D(), layers.Dense(4))))


@pytest.mark.parametrize("stride", [1, 2])
def test_it_can_be_made_finer(stride):
    finer = vggfcn.with_output_stride(small_map(), stride)
    image = noise(finer, (45, 38, 3))
    step = 4 // stride
    assert vggfcn.receptive_field(finer).stride == (stride, stride)
    assert relative_difference(run(finer, image)[0][:, ::step, ::step], run(small_map(), image)[0]) < 1e-5


def test_it_streams_and_runs_on_engines():
    model = small_map()
    image = noise(model, (61, 47, 3))[0]
    expected = run(model, [image])[0][0]
    streamed = np.concatenate(
        [rows for _, rows in vggfcn.Stream(model, (61, 47), 16).run(lambda start, stop: image[0, start:stop])]
    )
    assert relative_difference(streamed, expected) < 1e-5
    assert relative_difference(vggfcn.compile(model, "tensorflow")(image)[0], expected) < 1e-5
    assert relative_difference(vggfcn.score_map(model, image[0]).logits, expected) < 1e-5


def test_openvino_runs_it():
    pytest.importorskip("openvino")
    model = small_map()
    image = noise(model, (61, 47, 3))[0]
    assert relative_difference(vggfcn.compile(model, "openvino")(image)[0], run(model, [image])[0][0]) < 1e-4


def test_is_saved_and_loaded_with_stock_keras(tmp_path):
    model = cam(vggfcn.convert(nested()))
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    image = noise(model, (31, 30, 3))
    np.testing.assert_array_equal(run(again, image)[0], run(model, image)[0])


def test_the_model_is_not_changed_and_its_weights_are_shared_when_asked():
    converted = vggfcn.convert(classifier(layers.GlobalAveragePooling2D(), layers.Dense(4, name="fc")))
    image = noise(converted, (31, 30, 3))
    before, config = run(converted, image)[0], converted.get_config()
    copied, shared = cam(converted), cam(converted, share_weights=True)
    assert converted.get_config() == config
    assert shared.get_layer("fc").kernel is converted.get_layer("fc").kernel
    copied.get_layer("fc").kernel.assign(copied.get_layer("fc").kernel * 2)
    np.testing.assert_array_equal(run(converted, image)[0], before)


def test_half_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        original = classifier(layers.GlobalAveragePooling2D(), layers.Dense(4, dtype="float32"))
    finally:
        keras.config.set_dtype_policy(policy)
    found = cam(vggfcn.convert(original))
    image = noise(original)
    assert found.output.dtype == "float32"
    assert relative_difference(run(found, image)[0].mean((1, 2)), run(original, image)[0]) < 1e-2


def test_the_check_finds_a_wrong_map(monkeypatch):
    """As if another layer than the pooling had been left out."""
    converted = vggfcn.convert(classifier(layers.GlobalAveragePooling2D(), layers.Dense(4)))
    cam(converted)
    right = module._Unpooled.model

    def wrong(self, *arguments):
        model, outputs = right(self, *arguments)
        kernel = model.layers[-1].kernel
        kernel.assign(kernel * 1.001)
        return model, outputs

    monkeypatch.setattr(module._Unpooled, "model", wrong)
    with pytest.raises(ConversionError, match="classifier: the mean of the class activation map is not the logit: NOT"):
        cam(converted)
    cam(converted, check=False)


def test_where_no_size_is_found_it_is_asked_for():
    """Its branches meet at odd sizes alone."""
    image = keras.Input((13, 13, 3))
    x = layers.Concatenate()(
        [layers.Conv2D(4, 1, 2)(image), layers.Conv2D(4, 2, 2, "same")(layers.ZeroPadding2D(((0, 1), (0, 1)))(image))]
    )
    model = vggfcn.convert(
        randomize(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="odd"))
    )
    with pytest.raises(ConversionError, match=r"odd: found no image size .*input_shape=\(224, 224, 3\)"):
        cam(model)
    assert cam(model, input_shape=(13, 13, 3)).compute_output_shape((1, 13, 13, 3)) == (1, 7, 7, 3)


def test_what_is_no_map_is_refused():
    with pytest.raises(TypeError, match="model: expected a Keras model, got str"):
        cam("model")
    with pytest.raises(
        ConversionError,
        match=r"classifier: expected a fully convolutional model .* of shape \[\(None, 4\)\]; convert it first: cam\(",
    ):
        cam(classifier(layers.GlobalAveragePooling2D(), layers.Dense(4)))
