"""The package as others get it: what a wheel holds, and that it works where it is installed."""

import configparser
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import venv
import zipfile

import pytest
from paths import ROOT


def test_the_wheel_holds_weights_scenes_labels_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("weights/scene-digits.h5", "weights/README.md", "weights/scenes/rocket.jpg"):
        assert f"vggfcn/{needed}" in names
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "vggfcn").rglob("*.py")}
    assert {"vggfcn/py.typed", "vggfcn/app/style.css", *modules} <= set(names)
    for needed in ("imagenet_classes.tsv", "imagenet_hierarchy.tsv", "WORDNET-LICENSE.txt"):
        assert f"vggfcn/data/{needed}" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vggfcn"}


@pytest.mark.parametrize("dependencies", [pytest.param("borrowed"), pytest.param("installed", marks=pytest.mark.slow)])
def test_the_installed_wheel_runs_from_anywhere(wheel, tmp_path, dependencies):
    """In an environment of its own; "borrowed" sees this one's libraries, "installed" gets its own from the index."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=dependencies == "installed")
    python = environment / "bin" / "python"
    if dependencies == "installed":
        subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
        subprocess.run([python, "-m", "pip", "check"], check=True)
        command = [environment / "bin" / "vggfcn"]
    else:
        packages = next(environment.glob("lib/*/site-packages"))
        zipfile.ZipFile(wheel).extractall(packages)
        site = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "borrowed.pth").write_text("\n".join(site))
        command = [python, "-c", "from vggfcn.cli.main import main; main()"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [*command, "demo", "--max-side", "640", "--json"], cwd=elsewhere, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["map_shape"] == [9, 14, 11]
    assert [path.name for path in elsewhere.iterdir()] == ["heatmap.png"]
    where = [python, "-c", "import vggfcn; print(vggfcn.__file__)"]
    assert str(environment) in subprocess.run(where, cwd=elsewhere, capture_output=True, text=True).stdout


def requirements():
    """What the package and its extras require, a line each, without the developers' tools."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = dict(config["options.extras_require"])
    del extras["dev"]
    lines = "\n".join([config["options"]["install_requires"], *extras.values()]).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("line", requirements())
def test_each_requirement_has_a_lower_bound_and_no_other(line):
    assert re.fullmatch(r'[a-z0-9-]+ >= [\d.]+(; python_version (<|>=) "3\.\d+")?', line)


def test_make_installs_exactly_the_lower_bounds(tmp_path):
    command = ["make", "--dry-run", "--always-make", ".venv-lowest/installed"]
    steps = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    (bounds,) = [step for step in steps if step.startswith("sed")]
    subprocess.run(bounds.replace(".venv-lowest", str(tmp_path)), shell=True, cwd=ROOT, check=True)
    expected = [line.replace(" >= ", " == ", 1) for line in requirements()]
    assert (tmp_path / "bounds.txt").read_text().splitlines() == expected


# A user's; of the lines that are wrong a type checker is to say so.
USERS_SCRIPT = """\
import vggfcn

model = vggfcn.build(weights=None)
vggfcn.score_map(model, 5, nonsense=3)
scores: vggfcn.ScoreMap = vggfcn.score_map(model, "photo.jpg")
reveal_type(scores.peak(3))
reveal_type(vggfcn.read_image("photo.jpg"))
reveal_type(vggfcn.receptive_field)
vggfcn.biuld
"""


def checked(python, folder):
    """What `mypy --strict` says of a user's script, by line."""
    (folder / "script.py").write_text(USERS_SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "script.py"]
    environment = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("script.py:")]
    found: dict[int, str] = {}
    for line in said:
        number = int(line.split(":")[1])
        found[number] = f"{found.get(number, '')}{line}\n"
    return found


def check(said):
    assert 'No overload variant of "score_map" matches argument types "Any", "int", "int"' in said[4]
    assert 5 not in said
    assert 'Revealed type is "tuple[int, int]"' in said[6].replace("builtins.", "")
    assert "ndarray" in said[7]
    assert "Geometry" in said[8]
    assert 'Module has no attribute "biuld"' in said[9]


def test_a_type_checker_sees_signatures_of_an_editable_install(tmp_path):
    """`make` installs the package so."""
    check(checked(sys.executable, tmp_path))


def test_a_type_checker_sees_signatures_of_an_installed_wheel(wheel, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment)
    packages = next(environment.glob("lib/*/site-packages"))
    zipfile.ZipFile(wheel).extractall(packages)
    numpy = pathlib.Path(importlib.metadata.distribution("numpy").locate_file(""))
    (packages / "numpy.pth").write_text(f"{numpy}\n")
    check(checked(environment / "bin" / "python", tmp_path))
