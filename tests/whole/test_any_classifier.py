"""Anybody's classifier, loaded: each cell of a map has the scores that the network itself gives the cell's window."""

import functools

import keras
import numpy as np
import pytest
from own_networks import CELL, ENDINGS, PICTURE, WINDOW, crops_of, own_network, predicted, scores_in, scores_of

import vggfcn
from vggfcn.checkpoints.preprocessing import CHOICES, Preprocessing
from vggfcn.errors import WeightsError

CLOSE = {"rtol": 1e-4, "atol": 1e-6}
ACTIVATIONS = {"log_softmax": "softmax", "one sigmoid": "softmax"}
# A softmax, whose probabilities exclude each other, and sigmoids, whose do not.
TWO = ("softmax in the dense layer", "several sigmoids")
# Also a network whose only unit becomes two classes, and one without probabilities.
FOUR = (*TWO, "one sigmoid", "linear")


@functools.cache
def network(name):
    """A network by the name of its ending, and the same one loaded; no test changes either."""
    model = ENDINGS[name][0]()
    return model, vggfcn.load(model)


def own_scores(name, image, stride=2):
    """What the network's own `predict` says of each window: (rows, columns, classes)."""
    return scores_of(ENDINGS[name][1], predicted(network(name)[0], crops_of(image, stride)))


@pytest.mark.parametrize("name", ENDINGS)
def test_each_cell_has_the_networks_own_scores(name):
    classifier, kind = network(name)[1], ENDINGS[name][1]
    expected = own_scores(name, PICTURE)
    scores = classifier.score_map(PICTURE)
    assert expected.shape[:2] == (19, 14)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(scores_in(scores), expected, **CLOSE)
    assert (scores.activation, classifier.activation) == (ACTIVATIONS.get(kind, kind),) * 2
    assert (classifier.native_size, classifier.channels, classifier.output_stride) == ((24, 24), 3, 2)
    assert classifier.quantity == ("value" if kind == "none" else "probability")
    best = classifier.top(PICTURE[WINDOW], 1)[0]
    assert best.index == expected[CELL].argmax()
    assert best.score == pytest.approx(expected[CELL].max(), rel=1e-4)


@pytest.mark.parametrize("name", FOUR)
def test_both_networks_of_a_classifier_return_the_same_logits(name):
    classifier = network(name)[1]
    assert classifier.has_original
    original = classifier.original.predict(PICTURE[WINDOW][None], verbose=0)[0]
    np.testing.assert_allclose(classifier.converted.predict(PICTURE[None], verbose=0)[0][CELL], original, **CLOSE)
    expected = own_scores(name, PICTURE)[CELL]
    np.testing.assert_allclose(classifier.probabilities(original), expected, **CLOSE)


@pytest.mark.parametrize("name", TWO)
def test_at_a_finer_stride(name):
    found = scores_in(network(name)[1].score_map(PICTURE, output_stride=1))
    assert found.shape[:2] == (37, 27)
    np.testing.assert_allclose(found, own_scores(name, PICTURE, 1), **CLOSE)
    finer = vggfcn.with_output_stride(network(name)[1].converted, 1)  # It is still known that these are logits.
    np.testing.assert_allclose(scores_in(vggfcn.score_map(finer, PICTURE)), found, **CLOSE)


@pytest.mark.parametrize("name", FOUR)
def test_window_by_window(name):
    found = network(name)[1].score_map(PICTURE[:40], mode="windows", output_stride=4)
    np.testing.assert_allclose(scores_in(found), own_scores(name, PICTURE[:40], 4), **CLOSE)


def interpolated(values, places, target):
    """Values (rows, columns, classes) at other rows and columns: bilinear, and constant beyond the outermost ones."""
    for axis in (0, 1):
        lines = (
            np.interp(target[axis], places[axis], line)
            for line in np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
        )
        rest = np.delete(values.shape, axis)
        values = np.moveaxis(np.stack(list(lines)).reshape(*rest, -1), -1, axis)
    return values


def centers(scores, stride):
    """The rows and the columns of the cells' centres, in pixels of the picture, at 1.5 times its size or at its own."""
    rows, columns = scores.logits.shape[:2]
    return [((2 * np.arange(cells) + 11.5 + 0.5) / stride - 0.5) for cells in (rows, columns)]


@pytest.mark.parametrize("name", FOUR)
def test_several_sizes_and_the_mirrored_picture_are_averaged(name):
    """What is averaged are the scores of single passes, at the cells of the largest one."""
    classifier = network(name)[1]
    passes, grid = [], None
    for size, image in ((1.5, PICTURE), (1.5, PICTURE[:, ::-1]), (1.0, PICTURE), (1.0, PICTURE[:, ::-1])):
        scores = classifier.score_map(image, scales=(size,))
        rows, columns = centers(scores, size)
        grid = grid or (rows, columns)
        values = scores_in(scores)
        if image is not PICTURE:
            values, columns = values[:, ::-1], PICTURE.shape[1] - 1 - columns[::-1]
        passes.append(interpolated(values, (rows, columns), grid))
    found = classifier.score_map(PICTURE, scales=(1.0, 1.5), flip=True)
    assert np.ptp(passes, axis=0).max() > 1e-3
    np.testing.assert_allclose(scores_in(found), np.mean(passes, 0), **CLOSE)


@pytest.mark.parametrize("name", FOUR)
def test_with_openvino(name):
    pytest.importorskip("openvino")
    found = network(name)[1].score_map(PICTURE, engine="openvino")
    assert found.engine == "openvino"
    np.testing.assert_allclose(scores_in(found), own_scores(name, PICTURE), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["log-softmax in the dense layer", *FOUR])
def test_with_an_engine_that_was_compiled_with_the_activation(name):
    converted = vggfcn.convert(network(name)[0])
    engine = vggfcn.compile(converted, "tensorflow")
    for activation in ("auto", "none"):
        found = vggfcn.score_map(converted, PICTURE, engine=engine, activation=activation)
        if activation == "auto":
            np.testing.assert_allclose(scores_in(found), own_scores(name, PICTURE), **CLOSE)
        else:
            np.testing.assert_allclose(found.logits, predicted(network(name)[0], crops_of(PICTURE)), **CLOSE)


@pytest.mark.parametrize("name", FOUR)
def test_in_parts_with_limited_memory(name, tmp_path):
    np.save(tmp_path / "picture.npy", PICTURE)
    for options in ({}, {"output": tmp_path / "map.npy"}):
        found = network(name)[1].score_map(tmp_path / "picture.npy", max_memory="16GB", **options)
        np.testing.assert_allclose(scores_in(found), own_scores(name, PICTURE), **CLOSE)


@pytest.mark.parametrize("name", FOUR)
def test_several_pictures(name):
    pictures = [PICTURE, PICTURE[:40], PICTURE[::-1]]
    found = network(name)[1].score_map(pictures)
    assert len(found) == 3
    for scores, picture in zip(found, pictures, strict=True):
        np.testing.assert_allclose(scores_in(scores), own_scores(name, picture), **CLOSE)


@pytest.mark.parametrize(("name", "combined"), [(TWO[0], np.sum), (TWO[1], np.max)], ids=TWO)
def test_groups_add_up_under_a_softmax_and_are_the_largest_of_sigmoids(name, combined):
    classifier = vggfcn.load(network(name)[0], labels=list("abcde"), groups={"vowels": ["a", "e"]})
    expected = combined(own_scores(name, PICTURE)[..., [0, 4]], axis=-1)
    scores = classifier.score_map(PICTURE)
    np.testing.assert_allclose(scores.score(classifier.labels.find("vowels").members), expected, **CLOSE)
    drawn = classifier.heatmap(PICTURE, "vowels")
    assert drawn.shape == PICTURE.shape[:2]
    places = centers(scores, 1)
    there = np.arange(PICTURE.shape[0]), np.arange(PICTURE.shape[1])
    np.testing.assert_allclose(drawn, interpolated(expected[..., None], places, there)[..., 0], **CLOSE)


@pytest.mark.parametrize("name", FOUR)
def test_written_to_a_file_and_loaded_again(name, tmp_path):
    model, classifier = network(name)
    classifier.save(tmp_path / "converted.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["converted.keras"]
    again = vggfcn.load(tmp_path / "converted.keras")
    np.testing.assert_allclose(scores_in(again.score_map(PICTURE)), own_scores(name, PICTURE), **CLOSE)
    for fact in ("native_size", "channels", "labels", "activation", "field", "output_stride"):
        assert getattr(again, fact) == getattr(classifier, fact), fact
    assert not again.has_original
    assert again.conversion is None
    with pytest.raises(WeightsError, match="no original network: the file holds the converted network only"):
        again.build("dense")
    stock = keras.saving.load_model(tmp_path / "converted.keras").predict(PICTURE[None], verbose=0)[0]
    np.testing.assert_allclose(stock, predicted(model, crops_of(PICTURE)), **CLOSE)


def test_grey_windows_that_are_no_squares_of_a_network_that_pads():
    """Alone, a window is padded with zeros as the network was trained; on the dense map its surroundings are there."""
    keras.utils.set_random_seed(6)
    convolution = keras.layers.Conv2D(6, 5, padding="same", strides=2, activation="relu")
    head = keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((20, 28, 1)), keras.layers.Rescaling(1 / 255), convolution, *head])
    classifier = vggfcn.load(model)
    assert (classifier.native_size, classifier.channels, classifier.output_stride) == ((20, 28), 1, 2)
    grey = PICTURE[..., :1]
    crops = np.stack([[grey[y : y + 20, x : x + 28] for x in range(0, 50 - 27, 4)] for y in range(0, 60 - 19, 4)])
    expected = predicted(model, crops)
    found = classifier.score_map(grey, mode="windows", output_stride=4)
    np.testing.assert_allclose(scores_in(found), expected, **CLOSE)
    dense = scores_in(classifier.score_map(grey))[::2, ::2]
    assert np.abs(dense[: len(expected), : expected.shape[1]] - expected).max() > 1e-3
    best = classifier.top(crops[3, 2], 1)[0]
    assert (best.index, best.score) == (expected[3, 2].argmax(), pytest.approx(expected[3, 2].max(), rel=1e-4))


def test_no_network_is_changed_by_what_is_done_with_it():
    model = own_network("softmax", seed=3)
    before = [np.array(value) for value in model.get_weights()], model.to_json()
    classifier = vggfcn.load(model)
    classifier.score_map(PICTURE, output_stride=1)
    classifier.original.predict(PICTURE[WINDOW][None], verbose=0)
    assert model.to_json() == before[1]
    for value, old in zip(model.get_weights(), before[0], strict=True):
        np.testing.assert_array_equal(value, old)


# How the pixels of a network were prepared: as `load` takes it, and by Keras or NumPy.
KERAS = keras.applications.imagenet_utils.preprocess_input
PREPARED = {
    "raw": lambda x: x,
    "0..1": lambda x: x / 255,
    "-1..1": lambda x: KERAS(x, mode="tf"),
    "tf": lambda x: KERAS(x, mode="tf"),
    "caffe": lambda x: KERAS(x, mode="caffe"),
    "torch": lambda x: KERAS(x, mode="torch"),
    "mean=10,20,30,std=2,3,4": lambda x: (x - [10, 20, 30]) / [2, 3, 4],
    "mean=128": lambda x: x - 128,
    "mean=10,20,30,std=2,3,4,order=BGR": lambda x: ((x - [10, 20, 30]) / [2, 3, 4])[..., ::-1],
    Preprocessing((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)): lambda x: (x - [1, 2, 3]) / [4, 5, 6],
}


@functools.cache
def unprepared():
    """A network that prepares nothing, and returns logits."""
    return own_network(None, prepared=False)


@functools.cache
def raw():
    """That network, said to take pixels as they are."""
    return vggfcn.load(unprepared(), preprocess="raw")


@pytest.mark.parametrize("how", PREPARED, ids=str)
def test_pixels_are_prepared_as_the_network_was_trained(how, tmp_path):
    classifier = vggfcn.load(unprepared(), preprocess=how, activation="softmax")
    expected = predicted(unprepared(), PREPARED[how](crops_of(PICTURE).astype(np.float32)))
    close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(expected).max()}
    np.testing.assert_allclose(classifier.score_map(PICTURE).logits, expected, **close)
    original = classifier.original.predict(PICTURE[WINDOW][None], verbose=0)[0]
    np.testing.assert_allclose(original, expected[CELL], **close)
    assert classifier.input_reason == "as asked"
    if how in ("-1..1", "caffe"):
        classifier.save(tmp_path / "converted.keras")
        again = vggfcn.load(tmp_path / "converted.keras")
        np.testing.assert_allclose(again.score_map(PICTURE).logits, expected, **close)
        assert how in again.input_reason


def test_all_choices_are_tried():
    assert {*CHOICES} - {"mean=..,std=.."} <= {*PREPARED}


def test_how_pixels_are_prepared_is_never_guessed():
    with pytest.raises(WeightsError, match="nothing says how images were prepared") as caught:
        vggfcn.load(unprepared())
    assert "--preprocess (preprocess=)" in str(caught.value)
    assert all(f"{choice}: " in str(caught.value) for choice in CHOICES)
    classifier = vggfcn.load(unprepared(), preprocess=None)
    assert classifier.preprocessing is None
    for evaluate in (classifier.score_map, classifier.heatmap, classifier.top):
        with pytest.raises(WeightsError, match="load it with preprocess="):
            evaluate(PICTURE)


@pytest.mark.parametrize("how", ["vgg", "mean=x", "mean=1,2", "mean=0.5,std=0.5", "std=1"])
def test_other_texts_name_no_preprocessing(how):
    with pytest.raises(ValueError, match="preprocess: expected"):
        vggfcn.load(unprepared(), preprocess=how)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda x: x / 255, "pixels from 0 to 1: multiply them by 255", id="from 0 to 1"),
        pytest.param(lambda x: x / 127.5 - 1, "look preprocessed", id="from -1 to 1"),
        pytest.param(lambda x: KERAS(x, mode="caffe"), "look preprocessed", id="minus a mean"),
        pytest.param(lambda x: x * 257, "are of another range", id="16 bits"),
        pytest.param(lambda x: np.where(x > 250, np.nan, x), "NaN", id="NaN"),
    ],
)
@pytest.mark.parametrize("prepared", [True, False], ids=["prepared inside", "raw"])
@pytest.mark.parametrize("method", ["score_map", "heatmap", "top"])
def test_arrays_that_are_no_pixels_are_refused(method, prepared, change, message):
    values = change(PICTURE.astype(np.float32))
    evaluate = getattr(network(TWO[0])[1] if prepared else raw(), method)
    with pytest.raises(ValueError, match=message):
        evaluate(values)
    evaluate(PICTURE.astype(np.float32))
