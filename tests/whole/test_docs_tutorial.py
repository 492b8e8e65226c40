"""What the tutorial says that its commands print is what they print."""

import re
import shlex

import pytest
from paths import ROOT
from typer.testing import CliRunner

from vggfcn.cli.main import app

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
# A block of one command, and what it prints, which is set in. Times differ, and so do the last digits of differences.
SHOWN = re.findall(r"^```console\n(vggfcn heatmap .*)\n```\n\n((?:    .*\n)+)", PAGE, re.M)


@pytest.mark.parametrize(("command", "printed"), SHOWN)
def test_a_command_prints_what_is_shown_below_it(command, printed, tmp_path, monkeypatch):
    (tmp_path / "weights").symlink_to(ROOT / "weights")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # "auto" stands for other weights where ImageNet's are at hand
    monkeypatch.setenv("VGGFCN_CACHE", str(tmp_path))
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [line[4:] for line in printed.splitlines()]


def test_there_are_such_commands():
    assert len(SHOWN) == 2


@pytest.mark.parametrize("image", sorted((ROOT / "docs").glob("tutorial-*.png")), ids=lambda path: path.name)
def test_its_images_are_shown_and_light(image):
    assert f"({image.name})" in PAGE
    assert image.stat().st_size < 200_000
