"""The networks that all sessions share."""

import threading

import numpy as np
import pytest
from PIL import Image
from sample_scenes import STRIP

from vggfcn.app import networks as module
from vggfcn.errors import VGGFCNError, WeightsError
from vggfcn.evaluation.classifier import Classifier


def test_a_pair_is_built_once_and_so_is_each_stride(networks):
    with networks.use("mnist-lenet5") as first:
        assert networks.activity == "waiting for another image"  # what others are told meanwhile
    with networks.use("mnist-lenet5") as again:
        assert again is first
        assert again.at_stride(2) is again.at_stride(2)
        assert again.at_stride(None) is again.converted
    assert networks.activity == ""


def test_the_pairs_used_last_stay(monkeypatch):
    built = []
    monkeypatch.setattr(Classifier, "build", lambda self, head: built.append((self.source, head)) or head)
    monkeypatch.setattr(module, "load_tensorflow", lambda: None)
    networks, names = module.Networks(), ("mnist-lenet5", "scene-digits", "efficientnet-lite0")
    said = []
    for name in (names[0], names[1], names[0], names[2], names[0]):
        with networks.use(name, said.append) as pair:
            assert (pair.original, pair.converted) == ("dense", "conv")
    assert [name for name, head in built if head == "conv"] == list(names)
    with networks.use(names[1]):
        pass
    assert built[-1] == (names[1], "conv")
    assert said[:2] == ["loading TensorFlow", "building the two networks of mnist-lenet5"]


def test_one_waits_for_the_other_and_is_told_so(networks):
    told, done = threading.Event(), threading.Event()

    def wait():
        with networks.use("mnist-lenet5", lambda text: told.set()):
            done.set()

    with networks.use("mnist-lenet5"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert told.wait(5)
        assert not done.is_set()
    waiting.join(5)
    assert done.is_set()


def test_networks_are_free_again_after_an_error(networks):
    with pytest.raises(VGGFCNError, match="in between"), networks.use("mnist-lenet5"):
        raise VGGFCNError("in between")
    with pytest.raises(WeightsError, match=r"gone.h5: no such weight file"), networks.use("gone.h5"):
        pass
    assert networks.activity == ""
    with networks.use("mnist-lenet5") as pair:
        assert pair.classifier.source == "mnist-lenet5"


def test_the_agreement_is_that_of_the_central_crop(networks):
    with Image.open(STRIP) as strip:
        image = np.asarray(strip.convert("RGB"))
    left, top = (image.shape[1] - 32) // 2, (image.shape[0] - 32) // 2
    crop = np.zeros((32, 32, 3), np.uint8)
    crop[:] = image[top : top + 32, left : left + 32]
    with networks.use("mnist-lenet5") as pair:
        pair.warm_up()
        whole, alone = pair.agreement(image), pair.agreement(crop)
        expected = pair.original.predict(crop[None, ..., :1], verbose=0)[0]
    assert whole == alone
    assert whole.original[0].index == expected.argmax()
    assert whole.original[0].logit == pytest.approx(float(expected.max()), rel=1e-5)
