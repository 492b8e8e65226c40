"""Networks that several tests here evaluate; none of them changes one."""

import pytest

import vggfcn
from vggfcn.evaluation.loading import load


@pytest.fixture(scope="session")
def lenet5_classifier():
    return load("mnist-lenet5")


@pytest.fixture(scope="session")
def lenet5(lenet5_classifier):
    return lenet5_classifier.build("conv")


@pytest.fixture(scope="session")
def scene_digits():
    return vggfcn.build(weights="scene-digits")


@pytest.fixture(scope="session")
def scene_digits_original():
    return vggfcn.build(weights="scene-digits", head="dense")
