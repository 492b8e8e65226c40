"""A heatmap's colours lie where its values are, and show no more than they do."""

import numpy as np
import pytest

from vggfcn.maps import overlay

IMAGE = np.random.default_rng(0).integers(0, 256, (256, 320, 3), np.uint8)


def test_colours_run_from_dark_violet_to_yellow_with_rising_lightness():
    colors = overlay.colorize(np.linspace(0, 1, 101))
    assert tuple(colors[0]) == (68, 1, 84)
    assert tuple(colors[-1]) == (253, 231, 37)
    luminance = colors @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_colours_against_interpolation_between_the_published_ones():
    values = np.random.default_rng(0).random((40, 50))
    anchors = [bytes.fromhex(color) for color in overlay._VIRIDIS.split()]
    expected = [np.interp(values, np.linspace(0, 1, 17), [color[channel] for color in anchors]) for channel in range(3)]
    assert np.abs(overlay.colorize(values) - np.stack(expected, -1)).max() <= 0.75


@pytest.mark.parametrize("opacity", [0.01, 0.4, overlay.OPACITY, 1.0])
def test_overlay_against_its_definition(opacity):
    values = np.random.default_rng(1).random((256, 320)).astype(np.float32)
    values[:10], values[10:20], values[:, 300:] = 0, 1, np.nan
    grey = (IMAGE @ np.array([0.299, 0.587, 0.114]))[..., None]
    strength = np.nan_to_num(opacity * (0.45 + 0.55 * values))[..., None]
    strength[:, 300:] = 0
    expected = grey * (1 - strength) + overlay.colorize(np.nan_to_num(values)) * strength
    drawn = overlay.overlay(IMAGE, values, opacity=opacity)
    assert drawn.dtype == np.uint8
    assert np.abs(drawn - expected).max() <= 1.6  # Pillow's grey is whole numbers, and so is what is drawn.
    assert (np.ptp(drawn[:, 300:], axis=-1) == 0).all()
    if opacity == 1:
        assert (drawn[10:20, :300] == (253, 231, 37)).all()


def test_a_contour_lies_between_what_is_above_and_what_is_below():
    """A disc of a known radius, on an image of noise; the line is nowhere else."""
    rows, columns = np.indices((256, 320)) - np.array([120.3, 150.7])[:, None, None]
    distance = np.hypot(rows, columns)
    values = np.clip(1 - distance / 160, 0, 1)
    plain, lined = overlay.overlay(IMAGE, values), overlay.overlay(IMAGE, values, contour=0.5)
    changed = (plain != lined).any(-1)
    assert (lined[changed & (values >= 0.5)] == 255).all()
    assert (lined[changed & (values < 0.5)] == 0).all()
    assert np.abs(distance[changed] - 80).max() <= 1
    for angle in np.linspace(0, 2 * np.pi, 721):  # It is closed.
        ray = np.array([[120.3], [150.7]]) + np.outer([np.sin(angle), np.cos(angle)], np.arange(77, 83, 0.25))
        assert changed[tuple(np.rint(ray).astype(int))].any()


def test_a_contour_does_not_follow_the_border_of_what_is_known():
    values = np.full((256, 320), 0.9)
    values[:, 300:] = np.nan
    values[:, :10] = 0.1
    lined = overlay.overlay(IMAGE, values, contour=0.5)
    changed = (lined != overlay.overlay(IMAGE, values)).any((0, 2))
    assert np.flatnonzero(changed).tolist() == [9, 10]


def test_a_contour_is_wider_on_a_large_image():
    values = np.zeros((1200, 1300))
    values[:, 650:] = 1
    image = np.full((1200, 1300, 3), 90, np.uint8)
    changed = (overlay.overlay(image, values, contour=0.5) != overlay.overlay(image, values)).any((0, 2))
    assert np.flatnonzero(changed).tolist() == list(range(647, 653))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opacity": 0}, "opacity: expected more than 0 and at most 1, got 0"),
        ({"opacity": 1.5}, "opacity: expected more than 0 and at most 1, got 1.5"),
        ({"opacity": float("nan")}, "opacity: expected more than 0 and at most 1, got nan"),
        ({"contour": 0}, "contour: expected a probability between 0 and 1, both excluded, got 0"),
        ({"contour": 1}, "contour: expected a probability between 0 and 1, both excluded, got 1"),
        ({"values": np.zeros((3, 4))}, r"expected the image's height and width, \(256, 320\), got \(3, 4\)"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    arguments = {"values": np.zeros((256, 320)), **options}
    with pytest.raises(ValueError, match=message):
        overlay.overlay(IMAGE, **arguments)
