"""A classifier of anybody's: which output, which size, how pixels were prepared, and both networks from one model."""

import keras
import numpy as np
import pytest
from own_networks import NATIVE, PICTURE, WINDOW, crops_of, own_network, predicted

import vggfcn
from vggfcn.checkpoints.formats.keras_files import ConvertedFile
from vggfcn.checkpoints.preprocessing import Preprocessing, parse_preprocessing
from vggfcn.errors import ConversionError, WeightsError
from vggfcn.networks.builders.own import LoadOptions, full_shape, shaped
from vggfcn.networks.builders.own import own_network as find_out

layers = keras.layers
RAW = parse_preprocessing("raw")


def two_outputs():
    """A network with outputs "kind", five logits, and "angle", one value."""
    base = own_network(layers.Flatten())
    outputs = [layers.Dense(5, name="kind")(base.outputs[0]), layers.Dense(1, name="angle")(base.outputs[0])]
    return keras.Model(base.inputs[0], outputs, name="twins")


@pytest.mark.parametrize(("output", "units"), [("kind", 5), ("angle", 1)])
def test_one_of_several_outputs_is_chosen(output, units):
    model = two_outputs()
    found = find_out(model, LoadOptions(output=output))
    expected = model.predict(PICTURE[WINDOW][None], verbose=0)[model.output_names.index(output)]
    assert found.original.output_shape == (None, units)
    np.testing.assert_allclose(found.original.predict(PICTURE[WINDOW][None], verbose=0), expected, rtol=1e-6)
    np.testing.assert_allclose(found.converted.predict(PICTURE[WINDOW][None], verbose=0)[0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        pytest.param(None, "twins: has several outputs; choose one with --output-name .*: kind, angle", id="not said"),
        pytest.param("size", "twins: has no output 'size'; choose one with .*: kind, angle", id="unknown"),
    ],
)
def test_an_output_must_be_one_of_the_models(output, message):
    with pytest.raises(ConversionError, match=message):
        find_out(two_outputs(), LoadOptions(output=output))


def test_a_model_with_one_output_has_no_other():
    with pytest.raises(ConversionError, match="has no output 'kind'"):
        find_out(own_network("softmax"), LoadOptions(output="kind"))


def test_several_inputs_are_refused_with_the_way_out():
    image, age = keras.Input((NATIVE, NATIVE, 3), name="image"), keras.Input((1,), name="age")
    x = layers.Concatenate()([layers.Flatten()(image), age])
    model = keras.Model([image, age], layers.Dense(2)(x), name="forms")
    with pytest.raises(ConversionError, match=r"forms: takes 2 inputs \(image, age\).*keras\.Model\(image, model"):
        find_out(model, LoadOptions())


def open_network():
    """Images of any size, by global pooling."""
    image = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image)))
    return keras.Model(image, layers.Dense(5, "softmax")(x), name="open")


@pytest.mark.parametrize("given", [24, (24,), (24, 24), (24, 24, 3), [24, 24, 3]], ids=repr)
def test_a_square_size_in_every_form(given):
    assert full_shape(open_network(), given) == (24, 24, 3)


@pytest.mark.parametrize(("given", "native"), [((24, 20), (24, 20)), ((20, 24, 3), (20, 24)), (9, (9, 9))], ids=repr)
def test_a_network_of_open_size_gets_one(given, native):
    model = open_network()
    found = find_out(model, LoadOptions(input_shape=given))
    assert (found.native_size, found.channels) == (native, 3)
    crop = PICTURE[: native[0], : native[1]][None]
    expected = model.predict(crop, verbose=0)
    np.testing.assert_allclose(found.converted.predict(crop, verbose=0)[0, 0, 0], expected[0], rtol=1e-4)


@pytest.mark.parametrize("given", [0, -24, (24, 0), (), (1, 2, 3, 4), (24.5, 24), "24"], ids=repr)
def test_what_is_no_size_is_refused(given):
    with pytest.raises(ValueError, match=r"input_shape: expected a size such as 224 or \(224, 224, 3\), got"):
        full_shape(open_network(), given)


@pytest.mark.parametrize("given", [25, (24, 25), (24, 24, 1)], ids=repr)
def test_a_size_that_contradicts_the_model_is_refused(given):
    with pytest.raises(ValueError, match=r"input_shape: got .*, but sequential\S* takes \(24, 24, 3\)"):
        full_shape(own_network("softmax"), given)


def stored(**changes):
    values = {"native_size": (24, 20), "labels": None, "groups": {}, "activation": "auto", "reason": "as asked"}
    return ConvertedFile(**{**values, "preprocessing": parse_preprocessing("0..1"), **changes})


def test_a_converted_file_knows_its_size():
    assert full_shape(open_network(), None, stored()) == (24, 20, 3)
    assert full_shape(open_network(), 30, stored()) == (30, 30, 3)
    assert full_shape(open_network(), None) is None


def test_how_pixels_were_prepared_and_how_that_is_known():
    """What was asked for counts, then what the file says, then the network's own layers."""
    bare, own = own_network("softmax", prepared=False), own_network("softmax")
    asked = find_out(bare, LoadOptions("-1..1"))
    assert (asked.preprocessing, asked.input_reason) == (parse_preprocessing("-1..1"), "as asked")
    numbers = Preprocessing((1.0, 2.0, 3.0))
    assert find_out(bare, LoadOptions(numbers)).preprocessing is numbers
    inside = find_out(own, LoadOptions())
    assert inside.preprocessing == RAW
    assert inside.input_reason.startswith("the network prepares its input itself (layer 'rescaling")
    nothing = find_out(bare, LoadOptions(None))
    assert nothing.preprocessing is None
    assert nothing.input_reason == "not known: it takes what it was trained on"
    with pytest.raises(WeightsError, match=r"^sequential\S*: nothing says how images were prepared"):
        find_out(bare, LoadOptions())


@pytest.mark.parametrize("how", ["0..1", "caffe", Preprocessing((1.0, 2.0, 3.0))], ids=str)
def test_pixels_are_never_prepared_twice(how):
    """The options of the model that was converted are easily given again for the result, which prepares pixels."""
    for model, file in ((own_network("softmax"), None), (own_network("softmax", prepared=False), stored())):
        with pytest.raises(ValueError, match=r"preprocess: got .*, but pixels are prepared already: .*; leave it out"):
            find_out(model, LoadOptions(how, input_shape=24), file)
        assert find_out(model, LoadOptions("raw", input_shape=24), file).preprocessing == RAW


@pytest.mark.parametrize("how", [Preprocessing((1.0,), (1.0,)), 255, True, False], ids=str)
def test_what_is_no_preprocessing_of_three_channels_is_refused(how):
    with pytest.raises(ValueError, match="preprocess: "):
        find_out(own_network("softmax", prepared=False), LoadOptions(how))


def test_the_likely_preprocessing_is_named_but_not_taken():
    names = "block1_conv2", "block3_conv3", "block5_pool"
    trunk = keras.Sequential([keras.Input((8, 8, 3)), *(layers.Conv2D(2, 1, name=name) for name in names)])
    model = keras.Sequential([trunk, layers.Flatten(), layers.Dense(2)])
    with pytest.raises(WeightsError, match=r"keras\.applications' VGG, whose preprocess_input is caffe"):
        find_out(model, LoadOptions())


def test_without_an_original_the_reason_is_said():
    model = own_network("softmax")
    assert find_out(model, LoadOptions()).no_original == ""
    resized = keras.Sequential([keras.Input((40, 40, 3)), layers.Resizing(NATIVE, NATIVE), *model.layers])
    found = find_out(resized, LoadOptions())
    assert found.no_original == "the original one resizes or crops its images first"
    with pytest.raises(WeightsError, match="no original network: the original one resizes or crops"):
        found.build("dense")
    image = PICTURE[:40, :40]
    np.testing.assert_allclose(
        found.to_save().predict(image[None], verbose=0)[0], predicted(model, crops_of(image)), rtol=1e-4
    )


def test_a_network_that_takes_vectors_takes_images():
    """A multilayer perceptron on images that were flattened before."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((48,)), layers.Reshape((4, 4, 3)), layers.Flatten(), layers.Dense(2)])
    image = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    found = shaped(model)
    assert found.input_shape == (None, 4, 4, 3)
    np.testing.assert_allclose(found(image), model(image.reshape(1, 48)), rtol=1e-6)
    image_model = own_network("softmax")
    assert shaped(image_model) is image_model


def test_both_networks_return_logits_for_pixels_and_the_saved_one_probabilities():
    model = own_network("softmax", prepared=False)
    found = find_out(model, LoadOptions("0..1"))
    crop = PICTURE[WINDOW][None]
    expected = model.predict(crop / np.float32(255), verbose=0)[0]
    assert np.ptp(expected) > 1e-2
    for head in ("dense", "conv"):
        logits = found.build(head).predict(crop, verbose=0).reshape(-1).astype(np.float64)
        np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), expected, rtol=1e-4)
    np.testing.assert_allclose(found.to_save().predict(crop, verbose=0)[0, 0, 0], expected, rtol=1e-4)


def trained(units, loss, activation=None):
    layers = [keras.layers.Conv2D(3, 3), keras.layers.Flatten(), keras.layers.Dense(units, activation=activation)]
    model = keras.Sequential([keras.Input((6, 6, 3)), *layers])
    model.compile("adam", loss)
    return model


def of_logits(name):
    return getattr(keras.losses, name)(from_logits=True)


@pytest.mark.parametrize("where", ["memory", "keras", "h5"])
@pytest.mark.parametrize(
    ("units", "loss", "activation", "expected"),
    [
        pytest.param(3, of_logits("SparseCategoricalCrossentropy"), None, "softmax", id="softmax"),
        pytest.param(3, of_logits("BinaryCrossentropy"), None, "sigmoid", id="sigmoids"),
        pytest.param(1, of_logits("BinaryCrossentropy"), None, "two", id="a single unit, as two classes"),
        pytest.param(1, of_logits("CategoricalCrossentropy"), None, "none", id="a softmax of one unit would be 1"),
        pytest.param(3, keras.losses.CategoricalCrossentropy(), None, "none", id="a loss of probabilities"),
        pytest.param(3, "categorical_crossentropy", None, "none", id="a loss by its name"),
        pytest.param(3, "mse", None, "none", id="a regression"),
        pytest.param(3, of_logits("CategoricalCrossentropy"), "sigmoid", "sigmoid layer", id="the layers come first"),
    ],
)
def test_a_loss_that_takes_logits_tells_what_the_outputs_are(tmp_path, where, units, loss, activation, expected):
    model = trained(units, loss, activation)
    source = model
    if where != "memory":
        source = tmp_path / f"x.{where}"
        model.save(source)
    classifier = vggfcn.load(source, preprocess="raw")
    images = np.random.default_rng(0).uniform(0, 1, (4, 6, 6, 3)).astype(np.float32)
    logits = model.predict(images, verbose=0).astype(np.float64)
    values = {
        "softmax": lambda: np.exp(logits) / np.exp(logits).sum(-1, keepdims=True),
        "sigmoid": lambda: 1 / (1 + np.exp(-logits)),
        "two": lambda: np.concatenate([1 / (1 + np.exp(logits)), 1 / (1 + np.exp(-logits))], -1),
    }.get(expected, lambda: logits)()
    scores = classifier.probabilities(classifier.converted.predict(images, verbose=0))[:, 0, 0]
    np.testing.assert_allclose(scores, values, rtol=1e-4, atol=1e-5)
    told = classifier.output_reason.startswith("it was trained with")
    assert told == (expected in ("softmax", "sigmoid", "two"))
    if activation is None:  # What is asked for comes before the loss.
        assert vggfcn.load(source, preprocess="raw", activation="none").output_reason == "as asked"
