"""`score_map`: scales, mirrored images, finer strides and windows, held against arithmetic and original networks."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vggfcn
from vggfcn.errors import GeometryError
from vggfcn.maps.geometry import Geometry, ReceptiveField


@pytest.fixture(scope="module")
def ruler():
    """A network that knows where its cells are: means over windows of 32, 8 apart; of a ramp that is its middle."""
    return keras.Sequential(
        [
            keras.Input((None, None, 2)),
            keras.layers.AveragePooling2D(2),
            keras.layers.AveragePooling2D(2),
            keras.layers.AveragePooling2D(2),
            keras.layers.AveragePooling2D(4, strides=1),
        ]
    )


def ramp(height, width):
    """Each pixel's own column and row, scaled to [0, 255]."""
    columns, rows = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    return (np.stack([columns, rows], -1) * 255).astype(np.float32)


def middles(scores, height, width):
    """Where the geometry says that cells are."""
    cells = [scores.center(*cell) for cell in np.ndindex(scores.logits.shape[:2])]
    return np.reshape(cells, (*scores.logits.shape[:2], 2)) / (width, height) * 255


def noise(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def test_one_scale_alone_is_the_network_itself(lenet5):
    image = noise(48, 60, 1)
    expected = np.asarray(lenet5(image[None])[0])
    for arguments in ({}, {"scales": (1.0,)}, {"sizes": (48,)}, {"output_stride": 4}, {"average": "logits"}):
        scores = vggfcn.score_map(lenet5, image, **arguments)
        np.testing.assert_array_equal(scores.logits, vggfcn.score_map(lenet5, image).logits)
        np.testing.assert_allclose(scores.logits, expected, atol=1e-4)
        assert scores.field == vggfcn.receptive_field(lenet5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"scales": (0.5,)},
        {"scales": (2.0,)},
        {"sizes": (100,)},
        {"scales": (0.75, 1.0, 1.5)},
        {"scales": (0.75, 1.0, 1.5), "flip": True},
        {"flip": True},
        {"flip": True, "output_stride": 2},
    ],
    ids=str,
)
def test_maps_of_all_passes_lie_where_cells_are(ruler, arguments):
    height, width = 157, 203
    scores = vggfcn.score_map(ruler, ramp(height, width), average="logits", **arguments)
    expected = middles(scores, height, width)
    # Near the border coarser maps have no cells, and are constant; at the end by up to a stride more.
    scale = min(arguments.get("scales", [min(arguments.get("sizes", [157])) / 157]))
    rows, columns = (
        (centers >= 16 / scale) & (centers <= length - 24 / scale)
        for centers, length in ((expected[:, 0, 1] * height / 255, height), (expected[0, :, 0] * width / 255, width))
    )
    inner = np.ix_(rows, columns)
    assert rows.sum() > 2
    np.testing.assert_allclose(scores.logits[inner], expected[inner], atol=0.2)  # 0.2 / 255 of 200 pixels: 0.15 pixels


@settings(deadline=None, max_examples=12)
@given(st.integers(144, 300), st.integers(144, 300), st.sampled_from([2, 4, 8]), st.floats(0.5, 1.5), st.booleans())
def test_nothing_is_shifted_at_any_size_stride_and_scale(ruler, height, width, stride, scale, flip):
    scores = vggfcn.score_map(
        ruler, ramp(height, width), output_stride=stride, scales=(scale,), flip=flip, average="logits"
    )
    expected = middles(scores, height, width)
    # Pixels at the border are repeated, not continued, when an image is scaled: leave out what touches it.
    difference = np.abs(scores.logits - expected)[2:-2, 2:-2] * (width, height) / 255
    assert difference.max() < 0.5


def test_mirrored_images_give_mirrored_maps(scene_digits):
    image = noise(224, 288, 3)
    plain = vggfcn.score_map(scene_digits, image, flip=True)
    mirrored = vggfcn.score_map(scene_digits, image[:, ::-1], flip=True)
    np.testing.assert_allclose(mirrored.logits, plain.logits[:, ::-1], atol=1e-5)
    symmetric = np.concatenate([image, image[:, ::-1]], 1)[:, 144:-144]
    scores = vggfcn.score_map(scene_digits, symmetric, flip=True).logits
    np.testing.assert_array_equal(scores, scores[:, ::-1])
    assert np.abs(vggfcn.score_map(scene_digits, symmetric).logits - scores).max() > 0.01


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_what_is_averaged(lenet5, average):
    image = noise(32, 44, 1)  # cells at 15.5, 19.5, 23.5 and 27.5: symmetric about the middle, 21.5
    maps = [np.asarray(lenet5(image[None])[0], np.float64), np.asarray(lenet5(image[None, :, ::-1])[0, :, ::-1])]
    if average == "logits":
        expected = (maps[0] + maps[1]) / 2
    else:
        likely = [np.exp(one) / np.exp(one).sum(-1, keepdims=True) for one in maps]
        expected = np.log((likely[0] + likely[1]) / 2)
    scores = vggfcn.score_map(lenet5, image, flip=True, average=average)
    np.testing.assert_allclose(scores.logits, expected, atol=1e-4)


def test_windows_are_the_original_network_on_each_crop(scene_digits, scene_digits_original):
    image = noise(260, 330, 3)
    crops = [image[y : y + 224, x : x + 224] for y in (0, 32) for x in (0, 32, 64, 96)]
    scores = vggfcn.score_map(scene_digits, image, mode="windows")
    np.testing.assert_allclose(
        scores.logits.reshape(8, 11), scene_digits_original.predict(np.stack(crops), verbose=0), atol=1e-4
    )
    assert scores.window(1, 2) == (64, 32, 288, 256)
    assert scores.box(1, 2) == scores.window(1, 2)
    dense = vggfcn.score_map(scene_digits, image)
    assert dense.center(1, 2) == scores.center(1, 2)
    assert np.abs(dense.logits - scores.logits).max() > 0.1  # padding


def test_windows_of_a_network_without_padding_are_the_dense_map(lenet5):
    image = noise(41, 50, 1)
    arguments = {"output_stride": 2, "scales": (1.0, 1.5), "flip": True}
    windows, dense = (vggfcn.score_map(lenet5, image, mode=mode, **arguments) for mode in ("windows", "dense"))
    np.testing.assert_allclose(windows.logits, dense.logits, atol=1e-4)


def test_progress_counts_windows_and_passes(lenet5):
    told = []
    vggfcn.score_map(lenet5, noise(60, 64, 1), mode="windows", flip=True, progress=lambda *one: told.append(one))
    assert told == [(32, 144), (64, 144), (72, 144), (104, 144), (136, 144), (144, 144)]
    told.clear()
    vggfcn.score_map(lenet5, noise(60, 64, 1), scales=(1, 2), progress=lambda *one: told.append(one))
    assert told == [(1, 2), (2, 2)]


def test_windows_and_cells_of_a_scaled_image_are_in_its_own_pixels(lenet5):
    scores = vggfcn.score_map(lenet5, noise(50, 60, 1), scales=(2.0,))
    assert scores.window(1, 2) == (4, 2, 20, 18)
    assert scores.center(1, 2) == (11.5, 9.5)
    assert scores.cell_at(11.5, 9.5) == (1, 2)
    lit = scores.logits * 0
    lit[3, 4, 0] = 30
    drawn = type(scores)(lit, scores.field).heatmap(0, 50, 60)
    assert np.unravel_index(drawn.argmax(), drawn.shape) in [(13, 15), (13, 16), (14, 15), (14, 16)]


REFUSED = {
    "an image that is too small": ({}, (31, 40, 1), ValueError, "at least 32 x 32 pixels, got 31 x 40$"),
    "an image that is scaled too small": (
        {"scales": (1.0, 0.5)},
        (48, 60, 1),
        ValueError,
        "at least 32 x 32 pixels, got 24 x 30, scaled from 48 x 60",
    ),
    "no scales": ({"scales": ()}, (48, 60, 1), ValueError, r"numbers greater than 0, got \[\]"),
    "a negative scale": ({"scales": (-1.0,)}, (48, 60, 1), ValueError, r"numbers greater than 0, got \[-1.0\]"),
    "no size": ({"sizes": (0,)}, (48, 60, 1), ValueError, r"numbers greater than 0, got \[0\]"),
    "both": ({"scales": (1,), "sizes": (32,)}, (48, 60, 1), ValueError, "expected one of them, got both"),
    "no image": ({}, (48,), ValueError, r"\(height, width, channels\), got an array of shape \(48,\)"),
    "an unknown mean": ({"average": "max"}, (48, 60, 1), ValueError, "average: expected 'probabilities' or 'logits'"),
    "an unknown mode": ({"mode": "slow"}, (48, 60, 1), ValueError, "expected 'dense' or .* or 'cam', got 'slow'"),
    "a stride that divides nothing": ({"output_stride": 3}, (48, 60, 1), ValueError, "expected one of 1, 2, 4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(lenet5, name):
    arguments, shape, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        vggfcn.score_map(lenet5, noise(*shape), **arguments)


def test_networks_that_look_at_the_whole_image_are_refused():
    classifier = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(GeometryError, match=r"vggfcn\.convert"):
        vggfcn.score_map(classifier, noise(32, 32, 3))


def test_a_window_alone_has_no_surroundings(scene_digits):
    scores = vggfcn.score_map(scene_digits, noise(224, 256, 3), mode="windows")
    axis = ReceptiveField(224, 32, 0)
    assert scores.field == Geometry(axis, axis)


def test_a_limit_of_memory_allows_one_dense_pass_by_a_named_engine(lenet5):
    for arguments in ({"scales": (1, 2)}, {"sizes": (64,)}, {"flip": True}, {"mode": "windows"}):
        with pytest.raises(ValueError, match="max_memory: expected one dense pass;"):
            vggfcn.score_map(lenet5, noise(48, 60, 1), max_memory="4GB", **arguments)
    with pytest.raises(ValueError, match="engine: expected a name with max_memory, such as"):
        vggfcn.score_map(lenet5, noise(48, 60, 1), max_memory="4GB", engine=vggfcn.compile(lenet5, "tensorflow"))


def test_a_file_for_the_map_needs_a_limit(lenet5, tmp_path):
    with pytest.raises(ValueError, match="output: expected max_memory with it; without a limit the map stays"):
        vggfcn.score_map(lenet5, noise(48, 60, 1), output=tmp_path / "map.npy")


def test_windows_of_a_size_with_several_cells_are_refused(ruler):
    with pytest.raises(ValueError, match=r"native_size: expected the size of a single window, .* 1 x 2 cells"):
        vggfcn.score_map(ruler, noise(48, 48, 2), mode="windows", native_size=(32, 40))


def test_sixteen_bits_in_memory_are_not_guessed_at_in_parts(lenet5):
    """A file of 16 bits becomes 8; an array is taken as it is, so its values would mean something else in parts."""
    image = noise(48, 60, 1).astype(np.uint16)
    np.testing.assert_array_equal(
        vggfcn.score_map(lenet5, image).logits, vggfcn.score_map(lenet5, image.astype(np.uint8)).logits
    )
    with pytest.raises(ValueError, match="uint16 does not say whether white is 255 or 65535"):
        vggfcn.score_map(lenet5, image, max_memory="64GB")
