"""What the page shows: images, files and HTML."""

import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vggfcn.app import rendering
from vggfcn.app.sessions import Settings


@pytest.fixture
def clicked(result):
    """The window of columns 80 to 112 is selected."""
    return result.clicked_at(95.5, 16)


def test_the_image_has_the_window_outlined(clicked):
    size = clicked.localization.image.shape[1::-1]
    assert rendering.image(clicked).size == rendering.heatmap(clicked, 0.5).size == size
    expected = Image.fromarray(clicked.localization.image)
    left, top, right, bottom = clicked.cell_score.window
    ImageDraw.Draw(expected).rectangle((left - 1, top - 1, right, bottom), outline="black")
    ImageDraw.Draw(expected).rectangle((left, top, right - 1, bottom - 1), outline="white")
    np.testing.assert_array_equal(np.asarray(rendering.image(clicked)), np.asarray(expected))


def test_the_numbers_are_those_of_the_heatmap(clicked):
    values = np.load(io.BytesIO(rendering.npy(clicked)))
    height, width = clicked.localization.image.shape[:2]
    assert (values.dtype, values.shape) == (np.float32, (height, width))
    np.testing.assert_array_equal(values, clicked.localization.scores.heatmap(0, height, width))


def test_the_png_has_a_caption_beside_the_image(clicked):
    with Image.open(io.BytesIO(rendering.png(clicked, 0.5))) as image:
        assert image.format == "PNG"
        assert image.width > clicked.localization.image.shape[1]


def test_text_from_outside_is_escaped(result):
    assert "<b>" not in rendering.message("<b>") + rendering.files("session=<b>")
    assert "&lt;b&gt;" in rendering.message("<b>", is_error=True)
    group = dataclasses.replace(result.localization.group, name="<script>")
    hostile = dataclasses.replace(result, localization=dataclasses.replace(result.localization, group=group))
    assert "<script>" not in rendering.summary(hostile)


def test_messages_have_the_role_that_screen_readers_announce():
    assert 'role="status"' in rendering.message("done")
    assert 'role="alert"' in rendering.message("no", is_error=True)
    assert rendering.message("") == ""


def text(html):
    return " ".join(re.sub("<[^>]+>", " ", html).split())


def test_the_summary_says_what_was_found_and_how(result):
    said = text(rendering.summary(result))
    assert said.startswith(f"0 highest probability {result.localization.score:.2f} 1 x 68 windows, 4 pixels apart")
    assert "evaluated at 302 x 32 pixels" in said
    finer = dataclasses.replace(result, settings=Settings("mnist-lenet5", 2))
    assert "windows, 2 pixels apart" in rendering.summary(finer)
    group = dataclasses.replace(result.localization.group, name="none")
    nothing = dataclasses.replace(result, localization=dataclasses.replace(result.localization, group=group))
    assert text(rendering.summary(nothing)).startswith("None of the classes that these weights know")


def test_the_cell_says_where_its_window_is(result, clicked):
    score = clicked.cell_score
    assert text(rendering.cell(clicked)) == (
        f"The window you clicked probability {score.score:.4f} logit {score.logit:.4f} "
        "columns, of 302 80 to 112 rows, of 32 0 to 32"
    )
    assert "The best window" in rendering.cell(result)
    averaged = dataclasses.replace(result, settings=Settings("mnist-lenet5", None, (1.0, 1.5)))
    assert "logit of the mean" in rendering.cell(averaged)


def test_the_agreement_lists_five_classes_and_the_largest_difference(result):
    said = text(rendering.agreement(result))
    assert "the centre of the image, 32 x 32 pixels" in said
    top = result.agreement.original[0]
    assert f"converted {top.label} {top.logit:.4f}" in said
    assert said.endswith(f"over all 10 classes: {result.agreement.max_abs_error:.1e}")
    assert rendering.agreement(result).count("<tr>") == 1 + 5


def test_the_scale_runs_from_dark_to_bright():
    colors = [tuple(map(int, color)) for color in re.findall(r"rgb\((\d+) (\d+) (\d+)\)", rendering.scale())]
    assert len(colors) == rendering.SHADES
    assert [sum(color) for color in colors] == sorted(sum(color) for color in colors)
