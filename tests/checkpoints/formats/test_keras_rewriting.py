"""A whole configuration in, one of Keras 3 out; what older versions saved is in the tests of `model_files`."""

import pathlib
import subprocess
import sys

import pytest
from raw_configs import functional, image_input, layer, sequential

from vggfcn.checkpoints.formats.keras_rewriting import rewrite
from vggfcn.errors import WeightsError

PATH = pathlib.Path("model.h5")
DEPTHWISE = sequential(layer("DepthwiseConv2D", "dw", kernel_size=3, groups=1, batch_input_shape=[None, 8, 8, 3]))
GATE = sequential(layer("Activation", "gate", activation="hard_sigmoid"))


def test_a_configuration_and_notes():
    config, notes = rewrite(PATH, DEPTHWISE, "2.4.0")
    assert config["module"] == "keras"
    assert [part["class_name"] for part in config["config"]["layers"]] == ["InputLayer", "DepthwiseConv2D"]
    assert notes == ("rewrote 1 DepthwiseConv2D layer: dropped groups=1",)
    assert rewrite(PATH, config, "2.4.0") == (config, ())


@pytest.mark.parametrize(
    ("config", "version", "rewritten"),
    [
        (GATE, "2.2.4-tf", True),
        (GATE, "", True),
        ({**GATE, "keras_version": "2.15.0", "backend": "tensorflow"}, "", True),
        (GATE, "3.8.0", False),
        ({**GATE, "module": "keras", "registered_name": None}, "", False),
    ],
)
def test_the_version_decides_what_a_name_means(config, version, rewritten):
    assert bool(rewrite(PATH, config, version)[1]) is rewritten


@pytest.mark.parametrize(
    ("config", "version", "message"),
    [
        (DEPTHWISE, "1.2.2", "was written by Keras 1.2.2"),
        (layer("Dense", "dense", units=2), "", "is that of a single layer, Dense"),
        (3, "", "is not that of a model"),
        ({"class_name": None}, "", "is not that of a model"),
        (
            functional(image_input(), layer("Mine", "mine", "image")),
            "",
            r"mine \(Mine\): the file needs the class 'Mine'",
        ),
    ],
)
def test_refusals(config, version, message):
    with pytest.raises(WeightsError, match=rf"^model\.h5: .*{message}"):
        rewrite(PATH, config, version)


def test_no_keras_is_imported():
    code = "import vggfcn.checkpoints.formats.keras_rewriting, sys; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
