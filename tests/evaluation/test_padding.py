"""What padding does to a dense map: each figure from the original network's own `predict` on crops."""

import dataclasses

import keras
import numpy as np
import pytest
from networks import randomize, squeeze_and_excite
from scene_parts import part_of_a_scene

import vggfcn
from vggfcn.errors import GeometryError
from vggfcn.evaluation.padding import PaddingEffect, padding_effect
from vggfcn.images.noise import image_like_noise

layers = keras.layers
SIDE = 12


def border_against_middle(classes=2, border=1.0):
    """Its class says whether the sums of 3 x 3 pixels are smaller at the window's border, as zeros there make them.

    Class 1 wins if their mean at the border, weighted by `border`, is above 0.85 of their mean in the middle. One value
    alone is what class 1 would have.
    """
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(1, 3, strides=2, padding="same", use_bias=False, kernel_initializer="ones"),
            layers.Flatten(),
            layers.Dense(classes, use_bias=False),
        ],
        name="border",
    )
    ring = np.zeros((SIDE // 2, SIDE // 2), bool)
    ring[-1], ring[:, -1] = True, True  # SAME padding with stride 2 pads at the end.
    weights = np.where(ring, border / ring.sum(), -0.85 * border / (~ring).sum())
    kernel = np.zeros((ring.size, classes), np.float32)
    kernel[:, -1] = weights.ravel()
    model.layers[-1].kernel.assign(kernel)
    return model


def windows_of(original, image, stride, side):
    """The original on each crop, (rows, columns, classes)."""
    rows, columns = ((length - side) // stride + 1 for length in image.shape[:2])
    places = [(y * stride, x * stride) for y in range(rows) for x in range(columns)]
    crops = np.stack([image[y : y + side, x : x + side] for y, x in places]).astype(np.float32)
    return original.predict(crops, verbose=0).reshape(rows, columns, -1)


def dense_of(model, image, cells):
    return np.asarray(model(image[None].astype(np.float32)))[0, : cells[0], : cells[1]]


def check_figures(found, dense, windows):
    assert found.cells == dense.shape[0] * dense.shape[1]
    assert found.max_abs_error == pytest.approx(np.abs(dense - windows).max(), rel=1e-4)
    assert found.mean_abs_error == pytest.approx(np.abs(dense - windows).mean(), rel=1e-4)
    assert found.largest == pytest.approx(np.abs(windows).max(), rel=1e-4)
    assert found.max_rel_error == pytest.approx(np.abs(dense - windows).max() / np.abs(windows).max(), rel=1e-4)


def test_a_network_whose_answers_rest_on_padding():
    original = border_against_middle()
    converted = vggfcn.convert(original)
    found = padding_effect(converted)
    image = image_like_noise((SIDE + 20, SIDE + 20, 1), (0, 255))
    windows, dense = windows_of(original, image, 2, SIDE), dense_of(converted, image, (11, 11))
    check_figures(found, dense, windows)
    same = (dense.argmax(-1) == windows.argmax(-1)).mean()
    assert found.same_class == same < 0.5
    assert (found.window, found.seen, found.cells, found.classes) == (
        (12, 12),
        (13, 13),
        121,
        len(np.unique(windows.argmax(-1))),
    )
    assert found.outside == pytest.approx(1 - 144 / 169)
    assert not found.exact
    assert str(found).startswith(
        "each cell sees 13 x 13 pixels where its window has 12 x 12; on noise, dense map and windows agree on the "
        f"class in {round(100 * same)} % of 121 cells, and their logits differ by "
    )
    assert str(found).endswith(': use mode="windows" (--mode windows)')
    assert "\n" not in str(found)


def test_one_channel_is_a_class_by_its_sign_or_another_threshold():
    two, one = (vggfcn.convert(border_against_middle(classes)) for classes in (2, 1))
    assert padding_effect(one).same_class == pytest.approx(padding_effect(two).same_class)
    assert padding_effect(one, threshold=-1e6).same_class == 1
    windows = windows_of(border_against_middle(1), image_like_noise((32, 32, 1), (0, 255)), 2, SIDE)
    assert padding_effect(one, threshold=float(np.median(windows))).classes == 2


def test_a_network_for_which_padding_hardly_matters():
    """The sums at the border count for a thousandth; the classes follow from the middle."""
    model = border_against_middle(border=1e-3)
    weights = np.array(model.layers[-1].kernel).reshape(SIDE // 2, SIDE // 2, 2)
    weights[1, 1] += [1, 0]
    weights[2, 2] += [0, 1]
    model.layers[-1].kernel.assign(weights.reshape(-1, 2))
    found = padding_effect(vggfcn.convert(model))
    assert not found.exact
    assert 0 < found.max_rel_error < 1e-3
    assert found.same_class > 0.95
    assert found.classes == 2
    assert str(found).endswith(': mode="windows" (--mode windows) is exact')


def test_a_network_without_padding_is_exact(lenet5):
    found = padding_effect(lenet5)
    assert found.exact
    assert (found.window, found.seen, found.outside, found.cells) == ((32, 32), (32, 32), 0, 121)
    assert found.same_class == 1
    assert str(found).startswith(
        "each cell sees no more than its window of 32 x 32 pixels; on noise, dense map and windows are equal up to "
        "rounding ("
    )


def test_given_images_are_used_from_their_middle(scene_digits, scene_digits_original):
    image = part_of_a_scene()
    found = padding_effect(scene_digits, images=[image, image[:300]], cells=14)
    parts = [image[56:344, 37:293], image[6:294, 37:293]]
    windows = np.concatenate([windows_of(scene_digits_original, part, 32, 224) for part in parts])
    dense = np.concatenate([dense_of(scene_digits, part, (3, 2)) for part in parts])
    check_figures(found, dense, windows)
    assert found.same_class == (dense.argmax(-1) == windows.argmax(-1)).mean()
    assert (found.on, found.cells, found.seen) == ("2 images", 12, (404, 404))
    assert found.outside == pytest.approx(1 - 224**2 / 404**2)


def test_grey_networks_take_rgb_images(lenet5):
    found = padding_effect(lenet5, images=[part_of_a_scene()], cells=9)
    assert (found.exact, found.cells, found.on) == (True, 9, "1 image")


def test_the_range_of_noise_is_that_of_the_network():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, padding="same"), layers.Flatten(), layers.Dense(3)]
    )
    model = vggfcn.convert(randomize(model))
    small, large = padding_effect(model, value_range=(-1, 1)), padding_effect(model)
    assert 0 < small.largest < large.largest / 20


def test_whole_image_context_needs_the_native_size():
    original = randomize(squeeze_and_excite())
    converted = vggfcn.convert(original, keep_global=True)
    message = r"native_size: expected the original's size in pixels, since squeeze \(GlobalAveragePooling2D\): its rec"
    with pytest.raises(ValueError, match=message):
        padding_effect(converted)
    found = padding_effect(converted, 16, cells=25)
    image = image_like_noise((20, 20, 3), (0, 255))
    check_figures(found, dense_of(converted, image, (5, 5)), windows_of(original, image, 1, 16))
    assert (found.seen, found.outside) == (None, None)
    assert str(found).startswith(
        "how far a cell sees beyond its window of 16 x 16 pixels is unknown (squeeze (GlobalAveragePooling2D): its "
        "receptive field cannot be computed: it depends on the whole image, rearranges it, or is unknown); on noise, "
    )


def narrow():
    """Its native size is 16, but it has a cell from 13 pixels up."""
    return randomize(
        keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                layers.ZeroPadding2D(1),
                layers.Conv2D(4, 3, strides=4),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3),
            ]
        )
    )


def test_the_native_size_may_be_larger_than_the_smallest_window():
    original = narrow()
    converted = vggfcn.convert(original)
    with pytest.raises(
        ValueError, match=r"native_size: expected .* smallest image with a cell, 13 x 13, need not be it"
    ):
        padding_effect(converted)
    found = padding_effect(converted, 16)
    image = image_like_noise((56, 56, 3), (0, 255))
    check_figures(found, dense_of(converted, image, (11, 11)), windows_of(original, image, 4, 16))
    assert found.window == (16, 16)
    with pytest.raises(
        ValueError,
        match="native_size: expected the size of a single window, got 17 x 17, for which the network has 2 x 2 cells",
    ):
        padding_effect(converted, 17)


def test_where_all_windows_have_one_class_it_says_so():
    model = border_against_middle()
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 0.01 + np.float32([1, 0]))
    found = padding_effect(vggfcn.convert(model))
    assert (found.classes, found.same_class, found.exact) == (1, 1, False)
    assert str(found).endswith(": this says little, since all windows have one class; pass images with several")


def test_nearly_all_is_not_all():
    figures = dict.fromkeys((field.name for field in dataclasses.fields(PaddingEffect)), 1.0)
    figures.update(
        seen=(9, 9), window=(8, 8), cells=400, same_class=0.9975, tolerance=0, unknown="", on="noise", classes=3
    )
    assert "in 99 % of 400 cells" in str(PaddingEffect(**figures))


def test_an_engine_of_ones_own_and_a_finer_network(lenet5):
    finer = vggfcn.with_output_stride(lenet5, 2)
    found = padding_effect(finer, engine=vggfcn.compile(finer, "tensorflow"), cells=16)
    assert (found.exact, found.cells, found.window) == (True, 16, (32, 32))


def test_where_the_smallest_image_is_padded_in_another_way_the_native_size_is_asked_for():
    """The finer network has a cell from 11 pixels up, and pads odd sizes where the original's 12 are not padded."""
    finer = vggfcn.with_output_stride(vggfcn.convert(border_against_middle()), 1)
    message = (
        "native_size: .*, 11 x 11, need not be it; if border was made finer, pass the network that it was made from"
    )
    with pytest.raises(ValueError, match=message):
        padding_effect(finer)
    with pytest.raises(
        ValueError, match="expected the size of a single window, got 12 x 12, for which the network has 2"
    ):
        padding_effect(finer, 12)


def small(shape=(None, None, 3)):
    return keras.Sequential([keras.Input(shape), layers.Conv2D(2, 3, name="conv")], name="small")


def upsampled():
    return keras.Sequential([keras.Input((None, None, 3)), layers.UpSampling2D(2), layers.Conv2D(2, 3)], name="up")


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("model", {}, TypeError, "model: expected a Keras model, got str"),
        (small((9, 9, 3)), {}, ValueError, r"images and maps of any size, channels last, got \(None, 9, 9, 3\) and"),
        (small(), {"images": []}, ValueError, "images: expected at least one, or None for noise"),
        (
            small(),
            {"images": [np.zeros((9, 9))]},
            ValueError,
            r"images\[0\]: expected \(height, width, channels\), got",
        ),
        (small(), {"images": [np.zeros((9, 2, 3))]}, ValueError, "images: expected at least 3 x 3 pixels, got 2 x 9"),
        (small(), {"cells": 401}, ValueError, "cells: expected a number from 1, one for each image, to 400, got 401"),
        (small(), {"cells": 0}, ValueError, "cells: expected a number from 1"),
        (small(), {"images": [np.zeros((9, 9, 3))] * 2, "cells": 1}, ValueError, "cells: expected a number from 2"),
        (small(), {"value_range": (1, 1)}, ValueError, r"value_range: expected \(lowest, highest\) value of a pixel"),
        (small(), {"value_range": (0, np.nan)}, ValueError, "value_range: expected"),
        (small(), {"native_size": 2}, ValueError, "batch: expected shape|native_size: expected the size"),
        (
            upsampled(),
            {"native_size": 8},
            GeometryError,
            "up: its cells are 1/2 x 1/2 pixels apart, so they are no win",
        ),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str | dict) else "",
)
def test_refused(model, options, error, message):
    with pytest.raises(error, match=message):
        padding_effect(model, **options)
