"""The package as others get it: what imports what, what a wheel holds, and that it works where it is installed."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Imports go down only: a module may import from its own floor or a lower one.
READERS = """
    damage tensors kernels pickle_records pickle_machine protobuf zip_members keras_hdf5 keras_config hdf5_stream npy
    torch safetensors caffe onnx matconvnet detection dialects weights writing
"""
NO_KERAS_FLOOR = """
    errors geometry preprocessing spec catalogue families sequential efficientnet resolve
    images image_resizing groups labels custom_groups overlay
    registry download checkpoints figure files journal loading interpolation pictures raster results_file
    scoring engine_cache memory array_sources map_file preview map_journal picture_source sources
    tiff_source zarr_source export_formats engine_table layers
    difference progress
"""
KERAS_FLOOR = """
    models build_sequential build_efficientnet input_layers
    conversion conversion_heads conversion_rules conversion_call conversion_walk equivalence
    graph nested_models layer_copies output_stride phases receptive_fields sliding
    row_plans flat_graph winograd streamed_layers streaming strips memory_plans engines engine_openvino
    engine_tensorflow tracing exports export_writers export_runtimes
"""
FACES = """
    cli heatmap_files cli_bench cli_compare cli_conversion cli_demo cli_evaluate cli_export cli_group
    cli_heatmap cli_loading cli_localizing cli_options cli_weights console
    app app_choices app_drawing app_networks app_sessions cli_app
"""
NEED_GRADIO = {"app_events", "app_page", "app_routes"}
FLOORS = [
    {*NO_KERAS_FLOOR.split(), *(f"checkpoints.{name}" for name in READERS.split())},
    set(KERAS_FLOOR.split()),
    {
        "classifier",
        "dense_evaluation",
        "large_pictures",
        "comparison",
        "demonstration",
        "evaluation",
        "localization",
        "large_localization",
        "timing",
    },
    {*FACES.split(), *NEED_GRADIO},
]
NO_KERAS = FLOORS[0] | FLOORS[3] | {"classifier"}
NO_KERAS -= {"app_events"}  # Gradio takes seconds to load, and app_page imports it.
if not importlib.util.find_spec("gradio"):
    NO_KERAS -= NEED_GRADIO
# Says the first of the modules with which TensorFlow or Keras comes, importing them one after another.
FIRST_WITH_TENSORFLOW = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"vggfcn.{name}")
    if {"tensorflow", "keras"} & set(sys.modules):
        print(name)
        break
"""


def imports_of(path):
    """vggfcn's own modules that a file imports at any depth, but for type checking."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vggfcn":
            inner = node.module.partition(".")[2]
            yield from [inner] if inner else [alias.name for alias in node.names]


def test_imports_go_down_only():
    modules = {path.relative_to(ROOT / "vggfcn").with_suffix(""): path for path in (ROOT / "vggfcn").rglob("*.py")}
    names = {".".join(part for part in name.parts if part != "__init__"): path for name, path in modules.items()}
    names.pop("")
    assert set(names) == set().union(*FLOORS)
    floor = {name: height for height, floor in enumerate(FLOORS) for name in floor}
    upward = [
        f"{name} imports {other}"
        for name, path in names.items()
        for other in imports_of(path)
        if floor[other] > floor[name]
    ]
    assert upward == []


def first_with_tensorflow(*modules):
    command = [sys.executable, "-c", FIRST_WITH_TENSORFLOW, *modules]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_light_modules_load_no_tensorflow():
    assert first_with_tensorflow(*sorted(NO_KERAS)) == ""


def test_and_that_test_can_fail():
    assert first_with_tensorflow("errors", "models", "geometry") == "models"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the project's files, so that nothing of the working folder slips in."""
    source = tmp_path_factory.mktemp("source")
    for name in ("vggfcn", "weights", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--outdir", target, source]
    subprocess.run(build, check=True, capture_output=True)
    return next(target.glob("*.whl"))


def test_the_wheel_holds_weights_scenes_labels_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("weights/scene-digits.h5", "weights/README.md", "weights/scenes/rocket.jpg"):
        assert f"vggfcn/{needed}" in names
    assert {"vggfcn/py.typed", "vggfcn/app_style.css"} <= set(names)
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
        command = [python, "-c", "from vggfcn.cli import main; main()"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [*command, "demo", "--max-side", "640", "--json"], cwd=elsewhere, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["map_shape"] == [9, 14, 11]
    assert [path.name for path in elsewhere.iterdir()] == ["heatmap.png"]
    where = [python, "-c", "import vggfcn; print(vggfcn.__file__)"]
    assert str(environment) in subprocess.run(where, cwd=elsewhere, capture_output=True, text=True).stdout


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
    return {int(line.split(":")[1]): line for line in said if ": note: Possible overload" not in line}


def check(said):
    assert 'Unexpected keyword argument "nonsense" for "score_map"' in said[4] or "incompatible type" in said[4]
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
