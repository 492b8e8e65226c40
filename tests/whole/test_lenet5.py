"""The embedded LeNet-5: the same network in every window, the table it was trained with, and the digits it reads."""

import os
import pathlib

import h5py
import lenet5
import numpy as np
import pytest
import strips
from PIL import Image

import vggfcn
from vggfcn.errors import WeightsError
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.score_map import score_map
from vggfcn.labels.labels import labels_for
from vggfcn.maps.overlay import colorize
from vggfcn.maps.score_map import ScoreMap
from vggfcn.networks.catalogue import C3_TABLE, LENET5
from vggfcn.networks.registry import EMBEDDED_FOLDER

STRIP = EMBEDDED_FOLDER / "scenes" / "ten-digits.png"
# Float32 sums in another order, as for the other networks.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def original():
    return vggfcn.build("lenet5", weights="mnist-lenet5", head="dense")


@pytest.fixture(scope="module")
def converted():
    return vggfcn.build(weights="mnist-lenet5")


def strip():
    return np.asarray(Image.open(STRIP))


def image_of(name):
    """Grey uint8 (rows, columns): the strip of digits between noise, or noise alone, at sizes that fit no stride."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (103, 302), np.uint8)
    if name == "digits":
        noise[37:69] = strip()
    return noise


@pytest.mark.parametrize("name", ["digits", "noise"])
def test_every_cell_is_the_original_on_its_window(original, converted, name, capsys):
    """Nothing is padded, so the equality holds everywhere, not only at the native size."""
    image = image_of(name)
    scores = converted.predict(image[None, ..., None], verbose=0)[0]
    rows, columns = (103 - 32) // 4 + 1, (302 - 32) // 4 + 1
    assert scores.shape == (rows, columns, 10)
    windows = [image[4 * r : 4 * r + 32, 4 * c : 4 * c + 32] for r, c in np.ndindex(rows, columns)]
    alone = original.predict(np.stack(windows)[..., None], batch_size=256, verbose=0).reshape(rows, columns, 10)
    difference = np.abs(scores - alone).max()
    with capsys.disabled():
        print(
            f"\nLeNet-5, {name}: over all {rows * columns} windows logits differ by {difference:.1e} at most "
            f"(largest logit {np.abs(alone).max():.1f})"
        )
    assert difference < TOLERANCE * np.abs(alone).max()
    assert alone.std((0, 1)).min() > 0.1


def test_a_window_at_another_place_is_another(original, converted):
    """The check above can fail: one pixel off, logits differ by far more than rounding."""
    image = image_of("digits")
    scores = converted.predict(image[None, ..., None], verbose=0)[0]
    alone = original.predict(image[None, 37:69, 5:37, None], verbose=0)[0]
    assert np.abs(scores[9, 1] - alone).max() > 1000 * TOLERANCE * np.abs(alone).max()


def test_the_file_is_small_and_what_it_says():
    classifier = load("mnist-lenet5")
    assert (classifier.field, classifier.native_size) == (LENET5.receptive_field, (32, 32))
    assert classifier.labels == labels_for(10, tuple("0123456789"))
    assert (EMBEDDED_FOLDER / "mnist-lenet5.h5").stat().st_size < 4e5


def test_the_file_holds_zeros_where_c3_is_not_connected():
    with h5py.File(EMBEDDED_FOLDER / "mnist-lenet5.h5") as file:
        kernel = file["c3/c3_W"][:]
    assert kernel.shape == (5, 5, 6, 16)
    for row in range(6):
        for column in range(16):
            connected = C3_TABLE[row][column] == "X"
            assert np.all((kernel[:, :, row, column] != 0) == connected)


@pytest.mark.parametrize("weights", ["mnist-lenet5", None])
def test_ink_is_taken_as_the_paper_says(weights):
    """Background to -0.1, ink to 1.175."""
    layer = vggfcn.build("lenet5", weights=weights).get_layer("preprocessing")
    values = layer(np.array([0.0, 255.0], np.float32).reshape(1, 1, 2, 1))
    np.testing.assert_allclose(np.ravel(values), [-0.1, 1.175], rtol=1e-6)


def test_it_reads_the_strip_by_sliding():
    classifier = load("mnist-lenet5")
    scores = score_map(classifier.build("conv"), strip()[..., None])
    runs = strips.read(np.exp(scores.log_probabilities[0]))
    # The first ten digits of MNIST's test split.
    answers = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert [run.label for run in runs] == answers
    middles = [2 + strips.PITCH * index + 13.5 for index in range(10)]
    for run, middle in zip(runs, middles, strict=True):
        assert abs(scores.field.columns.centers(68)[run.start : run.stop] - middle).min() <= 4


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsError, match="expected weights of vgg16, got weights of lenet5"):
        vggfcn.build("vgg16", weights="mnist-lenet5")


def test_other_classes_give_a_new_last_layer(original):
    model = vggfcn.build(weights="mnist-lenet5", head="dense", classes=3)
    assert model.output_shape == (None, 3)
    np.testing.assert_array_equal(model.get_layer("f6").kernel.numpy(), original.get_layer("f6").kernel.numpy())


def mnist_folder():
    """Where MNIST lies on this machine: the variable MNIST, or Keras's own cache (None); otherwise nowhere."""
    if os.environ.get("MNIST"):
        return pathlib.Path(os.environ["MNIST"])
    if (pathlib.Path.home() / ".keras" / "datasets" / "mnist.npz").exists():
        return None
    pytest.skip("MNIST is not on this machine: name its folder in the variable MNIST")


@pytest.mark.slow
def test_error_on_mnists_test_digits(original):
    figures = lenet5.errors(original, "test", mnist_folder())
    assert figures["digits"] == 10_000
    assert figures["error"] <= 0.008


@pytest.fixture
def digits():
    """Stand-ins for framed MNIST digits: class d is a bright square of side 4 + 2 d."""
    images = np.zeros((320, 32, 32, 1), np.uint8)
    labels = np.arange(320) % 10
    for image, label in zip(images, labels, strict=True):
        image[4 : 8 + 2 * label, 4 : 8 + 2 * label] = 200
    return images, labels


def as_dataset(digits):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(digits).batch(64)


def test_training_repeats_itself_and_keeps_the_zeros(digits):
    one, other = (lenet5.fit(*digits, as_dataset(digits), epochs=1) for _ in range(2))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    before = lenet5.new_model(1).get_layer("c3").kernel.numpy()
    after = one.get_layer("c3").kernel.numpy()
    connected = LENET5.convolutions[1].connections(6)
    assert np.all(after[:, :, ~connected] == 0)
    assert np.all(after[:, :, connected] != before[:, :, connected])


def test_a_batch_depends_on_its_number_alone(digits):
    one, other = (lenet5.Batches(*digits, epoch=3) for _ in range(2))
    one[0]
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[1][0], lenet5.Batches(*digits, epoch=4)[1][0])
    assert sorted(np.concatenate([one[index][1] for index in range(5)])) == sorted(digits[1])


def test_framing_is_two_pixels_on_each_side():
    framed = lenet5.framed(np.full((3, 28, 28), 7, np.uint8))
    assert framed.shape == (3, 32, 32, 1)
    assert framed.sum() == 3 * 28 * 28 * 7
    assert framed[:, 2:30, 2:30].min() == 7


def test_what_a_row_of_cells_says():
    sure = {label: 0.95 * np.eye(10)[label] + 0.005 for label in range(10)}
    unsure = np.full(10, 0.1)
    cells = [sure[3], sure[3], unsure, sure[1], sure[7], sure[7], sure[7], unsure, sure[2], sure[2]]
    assert strips.read(np.stack(cells)) == [strips.Reading(3, 0, 2), strips.Reading(7, 4, 7), strips.Reading(2, 8, 10)]


def test_digits_stand_side_by_side():
    made = strips.make_strip(np.stack([np.full((28, 28), value, np.uint8) for value in (50, 100)]))
    assert made.shape == (32, 2 * strips.PITCH + 2)
    assert (made[2:30, 2:30] == 50).all()
    assert (made[2:30, 32:60] == 100).all()
    assert made.sum() == 28 * 28 * 150


def test_the_image_shows_each_cells_probabilities_under_its_windows_middle():
    logits = np.zeros((1, 4, 10), np.float32)
    logits[0, 2, 7] = 100
    field = LENET5.receptive_field
    image = np.arange(32 * 44, dtype=np.uint8).reshape(32, 44)
    drawn = np.asarray(strips.draw(image, ScoreMap(logits, field), lenet5.LABELS))
    for cell in range(4):
        x = int(strips.LEFT + strips.SCALE * (field.centers(4)[cell] + 0.5))
        for label in range(10):
            expected = 1.0 if (cell, label) == (2, 7) else 0.0 if cell == 2 else 0.1
            found = drawn[strips.TOP + label * strips.ROW + strips.ROW // 2, x]
            np.testing.assert_array_equal(found, colorize(np.array(expected)))
    middles = drawn[
        strips.SCALE // 2 : 32 * strips.SCALE : strips.SCALE, strips.LEFT + strips.SCALE // 2 :: strips.SCALE
    ]
    np.testing.assert_array_equal(middles[:, :44, 0], image)
