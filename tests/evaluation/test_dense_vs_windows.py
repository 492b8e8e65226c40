"""The dense map beside windows one by one: each figure from the original network on crops."""

import keras
import numpy as np
import pytest
from scene_parts import part_of_a_scene

from vggfcn.evaluation.dense_vs_windows import compare


def test_figures_are_those_of_the_original_network_on_each_crop(scene_digits, scene_digits_original):
    image = part_of_a_scene()
    crops = [image[y : y + 224, x : x + 224] for y in range(0, 177, 32) for x in range(0, 107, 32)]
    windows = scene_digits_original.predict(np.stack(crops), verbose=0).reshape(6, 4, 11)
    dense = np.asarray(scene_digits(image[None]))[0]
    found = compare(scene_digits, image)
    assert found.cells == (6, 4)
    assert found.mean_abs_error == pytest.approx(np.abs(dense - windows).mean(), rel=1e-4)
    assert found.max_abs_error == pytest.approx(np.abs(dense - windows).max(), rel=1e-4)
    assert found.largest == pytest.approx(np.abs(windows).max(), rel=1e-4)
    assert found.same_class == (dense.argmax(-1) == windows.argmax(-1)).mean()
    assert 0 < found.same_class < 1
    assert found.speedup == found.windows_seconds / found.dense_seconds > 0


def test_a_cell_without_a_whole_window_is_left_out():
    """With SAME padding at stride 2, seven pixels have four cells, but only three windows of 3 start in them."""
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3, 2, padding="same")])
    image = np.random.default_rng(0).uniform(0, 255, (7, 7, 1)).astype(np.float32)
    assert model(image[None]).shape[1:3] == (4, 4)
    assert compare(model, image).cells == (3, 3)
