"""A class found on an image."""

import numpy as np
import pytest

from vggfcn.evaluation.localization import Localization
from vggfcn.labels.groups import Group
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.maps.score_map import ScoreMap


def test_a_group_has_the_log_sum_exp_of_its_members():
    scores = ScoreMap(np.log([[[0.5, 0.3, 0.2]]]).astype(np.float32), ReceptiveField(32, 4, 0))
    image, both = np.zeros((32, 32, 3), np.uint8), Group("both", (0, 2))
    localization = Localization(image, (64, 64), scores, both, 0.7, (0, 0), (31, 31))
    cell_score = localization.cell_score(5, 5)
    assert cell_score.probability == pytest.approx(0.7)
    assert cell_score.logit == pytest.approx(np.log(0.7))
    assert (cell_score.window, cell_score.box) == ((0, 0, 32, 32), (0, 0, 64, 64))
