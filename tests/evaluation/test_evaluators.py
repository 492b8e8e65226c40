"""How images are put through a network: in batches of bounded size, and window by window."""

import numpy as np
import pytest

from vggfcn.evaluation.evaluators import PIXELS, Dense, each_window
from vggfcn.maps.window_grid import WindowGrid


def noise(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize(("count", "side"), [(3, 1200), (5, 700), (40, 160)])
def test_many_images_are_never_held_in_the_network_at_once(lenet5, monkeypatch, count, side):
    """The values do not depend on the batches, and each image is told of once."""
    evaluator, batches, told = Dense(lenet5, None, "tensorflow", None), [], []
    engine = evaluator.engine

    def counted(images):
        batches.append(len(images))
        return images[:, ::32, ::32]

    monkeypatch.setattr(evaluator, "engine", counted)
    images = noise(count, side, side, 1)
    np.testing.assert_array_equal(evaluator.run(images, told.append), images[:, ::32, ::32])
    assert sum(batches) == sum(told) == count
    assert max(batches) * side**2 <= max(PIXELS, side**2)
    assert len(batches) > 1 or count * side**2 <= PIXELS
    assert engine(images[:1, :32, :32]).shape == (1, 1, 1, 10)


def test_windows_are_in_the_order_of_rows(lenet5):
    """Each of them is what the network says of that part of the image, cut out by hand."""
    image = noise(48, 40, 1)
    expected = [
        np.asarray(lenet5(image[None, top : top + 32, left : left + 32]))[0, 0, 0] for top in (0, 16) for left in (0, 8)
    ]
    told = []
    run = Dense(lenet5, None, "tensorflow", None).engine
    values = each_window(run, image, WindowGrid((32, 32), (16, 8)), (2, 2), told.append)
    np.testing.assert_allclose(values, expected, atol=1e-4)
    assert told == [4]
