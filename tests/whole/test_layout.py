"""The house: imports go down only, light folders stay light, no folder is crowded, and each module has its tests."""

import collections
import importlib.util
import pathlib
import subprocess
import sys

import import_graph
import pytest
from paths import ROOT

PACKAGE = ROOT / "vggfcn"
GRAPH = import_graph.graph_of(PACKAGE)
MODULES = import_graph.modules_in(PACKAGE)
MOST = 12  # modules directly inside a package
HEAVY = {"keras", "tensorflow"}
# Whole folders that load no Keras, but for what functions import when they run.
LIGHT = ("", "maps", "images", "labels", "checkpoints", "networks", "app", "cli")
NOT_LIGHT = ("networks.builders",)
# Data alone, and no module of the rooms.
NO_ROOMS = ("data",)
# These import Gradio, which takes seconds to load.
GRADIO = {"app.events", "app.page", "app.routes"}
# Prints the first of the modules with which TensorFlow or Keras comes, importing them one after another.
FIRST_HEAVY = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"vggfcn.{name}")
    if {"tensorflow", "keras"} & set(sys.modules):
        print(name)
        break
"""


def test_imports_go_down_only():
    assert import_graph.upward(GRAPH) == []


@pytest.mark.parametrize(
    ("module", "imported"), [("maps.geometry", "graph.layers"), ("engines.table", "conversion.verify")]
)
def test_and_an_import_upwards_or_across_is_found(module, imported):
    graph = GRAPH | {module: GRAPH[module] | {imported}}
    assert import_graph.upward(graph) == [f"{module} imports {imported}"]


def test_no_modules_import_each_other_in_a_circle():
    assert len(import_graph.longest_chain(GRAPH)) > 1
    circle = GRAPH | {"errors": {"cli.main"}}
    with pytest.raises(ValueError, match="imports itself by way of"):
        import_graph.longest_chain(circle)


def test_every_folder_is_on_a_floor():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders - set(NO_ROOMS) == {package for floor in import_graph.FLOORS for package in floor if package}


def light(module):
    return import_graph.package_of(module) in LIGHT and not module.startswith(NOT_LIGHT)


def heavy_modules(graph):
    """The modules with which Keras comes as soon as they are imported: by themselves, or by what they import."""
    found = {module for module, imported in graph.items() if {name.partition(".")[0] for name in imported} & HEAVY}
    while grown := {module for module, imported in graph.items() if imported & found} - found:
        found |= grown
    return found


def test_light_folders_import_no_keras():
    heavy = heavy_modules(import_graph.graph_of(PACKAGE, lazy=False))
    assert {"graph.walking", "networks.builders.build", "evaluation.score_map"} <= heavy
    assert [module for module in sorted(heavy) if light(module)] == []


def test_and_no_library_of_theirs_brings_it_along():
    modules = [module for module in MODULES if module and light(module) and module not in GRADIO]
    if importlib.util.find_spec("typer") is None:
        pytest.skip("the command line's libraries are not installed")
    command = [sys.executable, "-c", FIRST_HEAVY, *modules, "graph.walking"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert found == "graph.walking"  # The last, so that it is seen that the first can be found.


def test_no_folder_is_crowded():
    counts = collections.Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MOST} == {}


def test_every_folder_says_what_it_is_for():
    for path in MODULES.values():
        if path.name == "__init__.py" and path.parent.name not in NO_ROOMS:
            assert path.read_text(encoding="utf-8").startswith('"""')


def file_of_tests(module):
    *folders, name = module.split(".")
    return pathlib.Path(ROOT / "tests", *folders, f"test_{name}.py")


def test_every_module_has_tests_of_its_name():
    modules = [name for name, path in MODULES.items() if path.name != "__init__.py"]
    assert [module for module in modules if not file_of_tests(module).is_file()] == []


def test_every_file_of_tests_in_a_packages_folder_has_its_module():
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.relative_to(ROOT / "tests").parent
        if folder.parts[:1] != ("whole",):
            assert (PACKAGE / folder / path.name.removeprefix("test_")).is_file(), path


def test_the_page_draws_the_imports_as_they_are():
    text = import_graph.PAGE.read_text(encoding="utf-8")
    assert import_graph.drawing(GRAPH) in text, "python recipes/import_graph.py draws them anew"
