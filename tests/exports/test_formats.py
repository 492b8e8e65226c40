"""Formats and the names of their files, and what is refused before any work."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggfcn.errors import ExportError
from vggfcn.exports import formats
from vggfcn.exports.formats import FORMATS, check, format_of
from vggfcn.exports.runtimes import RUNTIMES
from vggfcn.exports.writers import WRITERS


def test_every_format_is_written_and_run():
    assert FORMATS.keys() == WRITERS.keys() == RUNTIMES.keys()


@given(st.from_regex(r"[a-z0-9][a-z0-9 ._-]{0,6}", fullmatch=True), st.sampled_from(list(FORMATS.values())))
def test_a_name_and_its_format_agree(stem, wanted):
    path = pathlib.Path("nowhere") / (stem + wanted.ending)
    others = {one.ending for one in FORMATS.values()} - {wanted.ending, ""}
    if wanted.ending:
        assert format_of(path) is format_of(path, wanted.name) is wanted
    elif path.suffix not in others:
        assert format_of(path, wanted.name) is wanted
    for other in others:
        with pytest.raises(ExportError, match="choose another format"):
            format_of(path.with_name(stem + other), wanted.name)


@pytest.mark.parametrize(
    ("path", "name"),
    [("x", "saved_model"), ("tests", "saved_model"), ("x.ONNX", "onnx"), ("x.xml", "openvino"), ("x.tflite", "litert")],
)
def test_a_path_implies_a_format(path, name):
    assert format_of(path).name == name


def test_weights_are_put_in_place_before_the_network_that_names_them():
    path = pathlib.Path("folder/x.xml")
    assert FORMATS["openvino"].paths(path) == [pathlib.Path("folder/x.bin"), path]
    assert FORMATS["litert"].paths(path) == [path]


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        (
            "x.onnx",
            "openvino",
            "expected a name that ends in .xml for openvino; change the name or choose another",
        ),
        ("x.onnx", "saved_model", "expected the name of a folder for saved_model"),
        ("x", "onnx", "expected a name that ends in .onnx for onnx"),
        ("x.pb", None, "expected a name that ends in .onnx, .xml, .tflite, .keras, or the name of a folder"),
        ("x.onnx", "ONNX", "format: expected saved_model, onnx, openvino, litert, keras, got 'ONNX'"),
    ],
)
def test_names_and_formats_that_are_refused(path, name, message):
    with pytest.raises(ExportError) as error:
        format_of(path, name)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("path", "overwrite", "message"),
    [
        ("nowhere/x.onnx", True, "nowhere/x.onnx: there is no folder "),
        (
            "taken",
            False,
            "taken: exists already; choose another name, or replace it with overwrite=True or --ov",
        ),
        ("taken.xml", False, "taken.bin: exists already"),
        ("taken", True, "taken: is neither a SavedModel nor empty, and is not replaced"),
        ("folder.onnx", True, "folder.onnx: is a folder, but onnx is written as a file"),
    ],
    ids=["no such folder", "a folder", "weights beside it", "a folder that is no SavedModel", "a folder in its place"],
)
def test_places_that_are_refused(tmp_path, monkeypatch, path, overwrite, message):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "image.jpg").touch()
    (tmp_path / "taken.bin").touch()
    (tmp_path / "folder.onnx").mkdir()
    target = FORMATS["onnx"] if path.endswith(".onnx") else format_of(tmp_path / path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError) as error:
        check(path, target, overwrite)
    assert message in str(error.value)
    assert (tmp_path / "taken" / "image.jpg").exists()


def test_places_that_are_free_or_may_be_replaced(tmp_path):
    check(tmp_path / "x.onnx", FORMATS["onnx"], overwrite=False)
    (tmp_path / "x.onnx").touch()
    check(tmp_path / "x.onnx", FORMATS["onnx"], overwrite=True)
    for name in ("empty", "model"):
        (tmp_path / name).mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()
    check(tmp_path / "empty", FORMATS["saved_model"], overwrite=True)
    check(tmp_path / "model", FORMATS["saved_model"], overwrite=True)


@pytest.mark.parametrize("name", ["onnx", "openvino", "litert"])
def test_a_library_that_is_missing_is_named_with_its_extra(name, tmp_path, monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(ExportError) as error:
        check(tmp_path / "x", FORMATS[name], overwrite=False)
    assert FORMATS[name].missing == list(FORMATS[name].modules)
    assert str(error.value).endswith(f'; get it with: pip install "vggfcn[{name}]"')
