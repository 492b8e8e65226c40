"""A network of another kind needs a family of its own and nothing else."""

import dataclasses

import keras
import numpy as np
import pytest
import safetensors.numpy

import vggfcn
from vggfcn.checkpoints.formats.detection import read_container
from vggfcn.checkpoints.tensors import FileFormat, as_array
from vggfcn.errors import WeightsError
from vggfcn.evaluation.loading import load
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.networks import registry, resolve
from vggfcn.networks.families import Family
from vggfcn.networks.registry import EMBEDDED_FOLDER, KnownWeights


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """The mean colour of 8 x 8 pixels, and as many classes as its matrix has columns."""

    name: str = "mosaic"
    native_size: int = 8
    channels: int = 3
    classes: int = 2

    @property
    def receptive_field(self):
        return ReceptiveField(size=8, stride=8, padding=0)


def read_mosaic(path, wanted):
    container = read_container(path)
    if "colours" not in container.tensors:
        raise WeightsError(f"{path}: expected colours")
    return Mosaic(), dataclasses.replace(container, labels=("red", "blue"))


def build_mosaic(network, weights, options):
    side = network.native_size if options.head == "dense" else None
    inputs = keras.Input((side, side, 3))
    means = keras.layers.AveragePooling2D(8)(inputs)
    if options.head == "dense":
        means = keras.layers.Flatten()(means)
    layer = keras.layers.Dense(options.classes or network.classes, use_bias=False, activation=options.activation)
    outputs = layer(means)
    if weights:
        layer.set_weights([as_array(weights.tensors["colours"])])
    return keras.Model(inputs, outputs)


MOSAIC = Family(Mosaic, {"mosaic": Mosaic()}, read_mosaic, f"{__name__}:build_mosaic")


@pytest.fixture
def mosaic(tmp_path, monkeypatch):
    """The path of a file of weights that are known as "colours", of a family that is one of those known."""
    monkeypatch.setattr(resolve, "FAMILIES", (*resolve.FAMILIES, MOSAIC))
    path = tmp_path / "colours.safetensors"
    safetensors.numpy.save_file({"colours": np.array([[1, 0], [0, 0], [0, 1]], np.float32)}, path)
    entry = KnownWeights(path.name, "mosaic", FileFormat.SAFETENSORS, 2, "none")
    monkeypatch.setitem(registry.REGISTRY, "colours", entry)
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path)
    return path


RED_AND_BLUE = np.repeat(np.array([[[200, 0, 0], [0, 0, 100]]], np.uint8), 8, 0).repeat(8, 1)


def test_a_third_network_is_built(mosaic):
    for weights in (mosaic, "colours"):
        model = vggfcn.build("mosaic", weights=weights)
        np.testing.assert_array_equal(model.predict(RED_AND_BLUE[None], verbose=0), [[[[200, 0], [0, 100]]]])
    assert vggfcn.build("mosaic", weights=None, classes=5, head="dense").output_shape == (None, 5)
    assert vggfcn.build(Mosaic(), weights=None).output_shape == (None, None, None, 2)


def test_a_third_network_is_loaded_and_inspected(mosaic):
    assert resolve.inspect("colours")[0] == Mosaic()
    classifier = load("colours", preprocess="raw")
    assert (classifier.native_size, classifier.classes, classifier.labels[1]) == ((8, 8), 2, "blue")
    scores = vggfcn.score_map(classifier.build("conv"), RED_AND_BLUE)
    assert scores.logits.shape == (1, 2, 2)


def test_a_third_network_is_named_where_another_was_expected(mosaic):
    with pytest.raises(ValueError, match=r"expected one of .*, efficientnet-lite0, mosaic, got 'mosaics'"):
        vggfcn.build("mosaics", weights=None)
    with pytest.raises(WeightsError, match="expected weights of vgg16, got weights of mosaic; choose other weights"):
        vggfcn.build("vgg16", weights="colours")
    with pytest.raises(WeightsError, match="expected colours"):
        vggfcn.build("mosaic", weights=EMBEDDED_FOLDER / "scene-digits.h5")
