"""A disk that fills up: one line says so, and nothing half-written is left; a full cache costs nothing but the cache.

A limit on the size of files stands in for the disk: whatever grows beyond it fails in the middle of a write.
"""

import contextlib
import re
import resource
import shutil
import signal

import numpy as np
import pytest
from command_line import run
from PIL import Image

LENET = ("--weights", "../lenet5.safetensors")


@contextlib.contextmanager
def room(size):
    """Within this block no file can become larger than `size` bytes."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope="module")
def lenet5(tmp_path_factory):
    """Weights that are read without another process, which would have no more room than this one."""
    path = tmp_path_factory.mktemp("weights") / "lenet5.safetensors"
    assert run("weights", "convert", "mnist-lenet5", path)[0] == 0
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, lenet5):
    """A folder with images, which the command runs in, and others for the cache and for temporary files."""
    for name in ("here", "cache", "temporary"):
        (tmp_path / name).mkdir()
    shutil.copy(lenet5, tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("VGGFCN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    for label in range(2):
        (tmp_path / "here" / "images" / str(label)).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "here" / "images" / str(label) / f"long-name-{label}.png")
    return tmp_path


def files(folder):
    """All that lies there, but the images and empty folders for results."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if "images" not in path.parts)
    return {path.as_posix() for path in found} - {"here", "cache", "temporary", "here/heatmaps", LENET[1][3:]}


COMMANDS = {
    "heatmap as png": ["heatmap", "images/0", *LENET],
    "heatmap as npy": ["heatmap", "images/0", *LENET, "--format", "npy"],
    "heatmap as tiff": ["heatmap", "images/0", *LENET, "--format", "tiff"],
    "demo": ["demo", "images/0/long-name-0.png", *LENET],
    "convert": ["convert", LENET[1], "x.keras"],
    "weights as safetensors": ["weights", "convert", LENET[1], "x.safetensors"],
    "weights as hdf5": ["weights", "convert", LENET[1], "x.weights.h5"],
    **{
        f"export to {ending}": ["export", f"x{ending}", *LENET]
        for ending in (".onnx", ".keras", ".xml", ".tflite", "-saved-model")
    },
}


@pytest.mark.parametrize("size", [100, 1000, 10_000])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_so_and_leaves_nothing(folder, name, size):
    with room(size):
        code, _, errors = run(*COMMANDS[name])
    assert code == 1
    assert errors.startswith("vggfcn: ")
    assert len(errors.splitlines()) == (2 if name.startswith("heatmap") else 1)
    assert re.search("File too large|cannot be (written|run) as", errors), errors
    assert "please report it" not in errors
    assert files(folder) == set()


def test_what_was_there_before_stays(folder):
    assert run(*COMMANDS["weights as hdf5"])[0] == 0
    before = (folder / "here" / "x.weights.h5").read_bytes()
    with room(1000):
        assert run(*COMMANDS["weights as hdf5"], "--overwrite")[0] == 1
    assert (folder / "here" / "x.weights.h5").read_bytes() == before


def test_an_evaluation_goes_on_from_the_results_that_had_room(folder):
    command = ["evaluate", "images", *LENET, "--sizes", "32,40,48", "--results", "r.jsonl", "--json"]
    expected = run(*command)
    results = folder / "here" / "r.jsonl"
    lines = results.read_bytes().splitlines(keepends=True)
    for written in (0, 1, 2):
        results.unlink()
        with room(len(b"".join(lines[:written])) + 20):
            code, _, errors = run(*command)
        assert (code, errors.count("\n")) == (1, 1)
        assert results.read_bytes() == b"".join(lines[:written])
        assert run(*command) == expected
        assert results.read_bytes() == b"".join(lines)


def test_a_full_cache_costs_nothing_but_the_cache(folder):
    pytest.importorskip("openvino")
    command = ["heatmap", "images/0", *LENET, "--engine", "openvino", "--format", "npy", "--json"]
    expected = run(*command, "--output", "one")
    stored = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert stored
    heatmap = np.load(folder / "here" / "one" / "long-name-0-heatmap.npy")
    for path in stored:
        path.unlink()
    with room(170_000):  # for the heatmap, not for the network
        code, _, errors = run(*command, "--output", "two")
    assert (code, errors) == (0, expected[2])
    np.testing.assert_array_equal(np.load(folder / "here" / "two" / "long-name-0-heatmap.npy"), heatmap)
    assert [path for path in (folder / "cache").rglob("*") if path.is_file()] == []
