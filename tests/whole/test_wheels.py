"""The wheel with every library as old as `setup.cfg` lets it be: the bounds are tried, not guessed."""

import configparser
import json
import pathlib
import re
import subprocess
import sys
import venv

import pytest
from paths import ROOT

from vggfcn.networks.registry import EMBEDDED_FOLDER

SHARED = """
import keras, vggfcn
layers = [keras.Input((9, 9, 3)), keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(2)]
model = keras.Sequential(layers)
converted = vggfcn.convert(model, share_weights=True)
assert converted.layers[1].kernel is model.layers[0].kernel
vggfcn.verify(model, converted)
"""


def oldest():
    """The requirements of `setup.cfg`, each at its lower bound."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = [line for line in config["options"]["install_requires"].splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+ >= [\d.]+", line) for line in wanted)
    return [line.replace(" >= ", "==") + ".*" for line in wanted]


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the oldest libraries have no wheels for Python 3.13")
def test_the_oldest_libraries(wheel, tmp_path):
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", wheel, *oldest()], check=True)
    subprocess.run([programs / "python", "-m", "pip", "check"], check=True)

    def run(*command):
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    shared = run(programs / "python", "-c", SHARED)
    assert shared.returncode == 0, shared.stderr
    shown = run(programs / "vggfcn", "demo", "--max-side", "640", "--json")
    assert (shown.returncode, shown.stderr, json.loads(shown.stdout)["map_shape"]) == (0, "", [9, 14, 11])
    pathlib.Path(tmp_path / "broken.png").write_bytes(b"no image")
    digits = EMBEDDED_FOLDER / "scenes" / "ten-digits.png"
    drawn = run(programs / "vggfcn", "heatmap", digits, "broken.png", "--weights", "mnist-lenet5", "--json")
    assert (drawn.returncode, len(json.loads(drawn.stdout)["heatmaps"])) == (1, 1)
    assert [line.startswith("vggfcn: ") for line in drawn.stderr.splitlines()] == [True, True]
