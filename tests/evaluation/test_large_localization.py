"""Classes found on images that are read in parts: the same as at once, drawn small, and nothing left behind."""

import numpy as np
import pytest
from PIL import Image

from vggfcn.errors import MemoryLimitError
from vggfcn.evaluation import large_localization
from vggfcn.evaluation.large_localization import localize_large, small_copy
from vggfcn.evaluation.loading import load
from vggfcn.evaluation.localization import localize
from vggfcn.images.opening import open_source
from vggfcn.maps import score_map as scoring
from vggfcn.networks.registry import EMBEDDED_FOLDER

SCENES = EMBEDDED_FOLDER / "scenes"
STRIP = SCENES / "ten-digits.png"


@pytest.fixture(scope="module")
def digits(lenet5_classifier, lenet5):
    """The image, its classifier, and the network."""
    with Image.open(STRIP) as image:
        return np.asarray(image.convert("RGB")), lenet5_classifier, lenet5


@pytest.mark.parametrize("label", ["7", None])
def test_it_is_what_is_found_at_once(digits, tmp_path, label):
    image, classifier, model = digits
    group = label and classifier.labels.find(label)
    at_once = localize(classifier, model, image, group, 1280)
    found = localize_large(classifier, model, STRIP, group, 1280, max_memory="16GB", folder=tmp_path)
    assert (found.group, found.peak, found.map_shape) == (at_once.group, at_once.peak, at_once.map_shape)
    assert found.score == pytest.approx(at_once.score, abs=1e-6)
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_allclose(found.heatmap(), at_once.heatmap(), atol=1e-6)
    np.testing.assert_allclose(found.covered_heatmap(), at_once.covered_heatmap(), atol=1e-6)
    assert found.placement == at_once.placement
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("max_side", [151, 100, 40])
def test_a_small_copy_shows_each_place_where_it_is(digits, tmp_path, max_side):
    image, classifier, model = digits
    group = classifier.labels.find("3")
    whole = localize(classifier, model, image, group, 1280)
    found = localize_large(classifier, model, STRIP, group, max_side, max_memory="16GB", folder=tmp_path)
    step = -(-image.shape[1] // max_side)
    scale, offset = found.placement.scale[0], found.placement.offset[0]
    assert (scale, offset) == (step, (step - 1) / 2)
    assert max(found.image.shape) <= max_side
    assert found.heatmap().shape == found.image.shape[:2]
    assert (found.score, found.peak) == (pytest.approx(whole.score, abs=1e-6), whole.peak)
    # LeNet-5 pads nothing: windows of 32 every 4 pixels, their middles at 15.5 and on; one row of them.
    cells = np.exp(whole.scores.log_probability(group.members))[0]
    places = offset + scale * np.arange(found.image.shape[1])
    expected = np.interp(places, 15.5 + 4 * np.arange(len(cells)), cells)
    np.testing.assert_allclose(found.heatmap(), np.tile(expected, (len(found.image), 1)), atol=1e-6)


@pytest.mark.parametrize("part", [1 << 23, 500])
@pytest.mark.parametrize(("size", "channels"), [((50, 70), 3), ((64, 32), 1), ((17, 91), 3)])
def test_each_pixel_of_the_copy_is_the_mean_of_those_it_stands_for(monkeypatch, part, size, channels):
    monkeypatch.setattr(large_localization, "PART", part)
    image = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    found = small_copy(open_source(image), 8)
    assert found.shape == (-(-size[0] // 8), -(-size[1] // 8), 3)
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            block = image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].reshape(-1, channels)
            np.testing.assert_allclose(found[row, column], np.broadcast_to(block.mean(0), 3), atol=1)


def test_floating_point_is_rounded_and_cut_off():
    image = np.array([[-3.0, 254.6], [300.0, 0.4]], np.float32)
    np.testing.assert_array_equal(small_copy(open_source(image), 1)[..., 0], [[0, 255], [255, 0]])


@pytest.fixture
def without_room(monkeypatch):
    """No memory for the map; `memory` says what happens to the map in a file."""
    compute, seen = large_localization.large_score_map, []

    def limited(model, source, max_memory, output, progress, engine):
        if output is None:
            raise MemoryLimitError("no room")
        seen.append(output)
        return compute(model, source, max_memory, output, progress, engine)

    monkeypatch.setattr(large_localization, "large_score_map", limited)
    return seen


def test_without_room_for_the_map_it_is_in_a_file_for_a_while(digits, tmp_path, without_room):
    image, classifier, model = digits
    folder = tmp_path / "made" / "for it"
    found = localize_large(classifier, model, STRIP, None, 1280, max_memory="16GB", folder=folder)
    at_once = localize(classifier, model, image, None, 1280)
    assert (found.group, found.peak) == (at_once.group, at_once.peak)
    np.testing.assert_allclose(found.heatmap(), at_once.heatmap(), atol=1e-6)
    assert len(without_room) == 1
    assert folder in without_room[0].parents
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_map_that_is_interrupted(digits, tmp_path, without_room):
    _, classifier, model = digits

    def interrupt(done, total):
        assert without_room[0].parent.is_dir()
        raise SystemExit(130)

    with pytest.raises(SystemExit):
        localize_large(
            classifier, model, STRIP, None, 99, max_memory="16GB", folder=tmp_path / "new", progress=interrupt
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("numbers", [1 << 23, 2000])
def test_background_wins_only_where_there_is_nothing_else(monkeypatch, tmp_path, scene_digits, numbers):
    monkeypatch.setattr(scoring, "PART", numbers)
    classifier = load("scene-digits")
    for scene, found_there in (("rocket.jpg", False), ("no-digits.jpg", True)):
        with Image.open(SCENES / scene) as image:
            image.convert("RGB").crop((0, 300, 640, 800)).save(tmp_path / "part.png")
        found = localize_large(
            classifier, scene_digits, tmp_path / "part.png", None, 640, max_memory="16GB", folder=tmp_path
        )
        assert (found.group.name == "none") == found_there
