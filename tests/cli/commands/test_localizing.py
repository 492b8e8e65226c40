"""How `vggfcn heatmap` finds a class: in whole images, or in parts of them."""

import io

import numpy as np
import pytest
from PIL import Image
from sample_scenes import STRIP

from vggfcn.cli import console
from vggfcn.cli.commands.localizing import Options, images_in_parts, whole_images
from vggfcn.cli.console import Reporter
from vggfcn.cli.options import EngineName
from vggfcn.errors import ImageError, MemoryLimitError, TooManyPixelsError
from vggfcn.evaluation.loading import load


def options(label="7", output_stride=None, engine="tensorflow", reporter=Reporter(quiet=True)):  # noqa: B008 - frozen.
    classifier = load("mnist-lenet5")
    group = label and classifier.labels.find(label)
    return Options(reporter, classifier, group, output_stride, "dense", EngineName(engine), 1280)


@pytest.fixture(scope="module")
def whole():
    return whole_images(options())


def test_both_ways_find_the_same(whole, tmp_path):
    in_parts = images_in_parts(options(), 16 * 10**9, tmp_path)
    expected, found = whole.localize(STRIP), in_parts.localize(STRIP)
    assert (found.group.name, found.peak, found.map_shape) == ("7", expected.peak, (1, 68, 10))
    assert found.score == pytest.approx(expected.score, abs=1e-6)
    np.testing.assert_allclose(found.heatmap(), expected.heatmap(), atol=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_without_a_class_it_is_the_most_probable_one():
    result = whole_images(options(label=None)).localize(STRIP)
    scores = result.scores.logits.astype(float)
    probabilities = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    assert result.score == pytest.approx(probabilities.max(), rel=1e-6)


def test_stride_and_passes_reach_the_network():
    result = whole_images(options(output_stride=2), scales=(1.0, 1.5), average="logits").localize(STRIP)
    assert result.map_shape == ((48 - 32) // 2 + 1, (453 - 32) // 2 + 1, 10)


@pytest.mark.parametrize(
    ("engine", "in_whole", "in_parts"),
    [
        ("tensorflow", "tensorflow", "tensorflow"),
        ("openvino", "openvino", "openvino"),
        ("auto", "openvino", "tensorflow"),
    ],
)
def test_auto_is_openvino_for_whole_images_and_tensorflow_in_parts(engine, in_whole, in_parts, tmp_path):
    localizers = whole_images(options(engine=engine)), images_in_parts(options(engine=engine), 10**9, tmp_path)
    assert [localizer.engine for localizer in localizers] == [in_whole, in_parts]
    assert [localizer.engine_text.split()[0] for localizer in localizers] == [in_whole, in_parts]


def test_openvino_finds_the_same_in_parts(whole, tmp_path):
    found = images_in_parts(options(engine="openvino"), 16 * 10**9, tmp_path).localize(STRIP)
    expected = whole.localize(STRIP)
    assert found.peak == expected.peak
    assert found.score == pytest.approx(expected.score, abs=1e-5)


def test_each_image_in_parts_has_a_bar_of_rows(tmp_path, monkeypatch):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    terminal = console.Screen(shown)
    terminal.width = 100
    monkeypatch.setattr(console, "messages", terminal)
    localizer = images_in_parts(options(reporter=Reporter()), 16 * 10**9, tmp_path)
    localizer.localize(STRIP)
    assert "ten-digits.png" in shown.getvalue()
    with localizer.progress as progress:
        progress(1, 2)  # Images are not counted: each has its own bar.


def test_refusals_say_what_to_do(whole, tmp_path, monkeypatch):
    with pytest.raises(MemoryLimitError, match="max_memory: expected at least"):
        images_in_parts(options(), 10**6, tmp_path).localize(STRIP)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ImageError, match=r"notes.txt: not an image"):
        whole.localize(tmp_path / "notes.txt")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(TooManyPixelsError, match=r"or read it in parts with --max-memory 4GB$"):
        whole.localize(STRIP)
