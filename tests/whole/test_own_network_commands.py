"""Every command takes anybody's network: the model file with what it does not say, or what `vggfcn convert` wrote."""

import contextlib
import importlib
import json
import shutil

import keras
import numpy as np
import pytest
from command_line import run
from own_networks import NAMES, PICTURE, crops_of, own_files, own_network, predicted
from PIL import Image

from vggfcn.evaluation import benchmark

OWN = ("--weights", "own.keras", "--preprocess", "0..1", "--labels", "names.txt", "--groups", "groups.json")
CONVERTED = ("--weights", "converted.keras")
BOTH = pytest.mark.parametrize("weights", [OWN, CONVERTED], ids=["the model", "what convert wrote"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the files of `own_files` and what convert wrote, and what the network itself says of windows."""
    folder = tmp_path_factory.mktemp("own")
    model = own_files(folder)
    with contextlib.chdir(folder):
        converted = run("convert", "own.keras", "converted.keras", *OWN[2:], "--json")
    return folder, converted, predicted(model, crops_of(PICTURE) / np.float32(255))


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """The working directory, with these files."""
    shutil.copytree(made[0], tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def windows(made):
    """The network's own probabilities for each window of the picture: (19, 14, 5)."""
    return made[2]


def call(*arguments):
    code, out, errors = run(*arguments, "--json")
    assert (code, errors) == (0, "")
    return json.loads(out)


def check_facts(found, weights):
    """What every report says of the network."""
    assert found["weights"] == weights[1]
    if weights is OWN:
        assert found["preprocessing"] == {"how": "0..1", "reason": "as asked"}
    else:
        assert found["preprocessing"] == {"how": "raw", "reason": "inside the network: 0..1, as asked"}
    assert found["activation"]["how"] == "softmax"
    assert found["activation"]["reason"].startswith("it ends in softmax")
    assert found["notes"] == []


def test_convert_says_what_it_found_and_made(made):
    code, out, errors = made[1]
    assert (code, errors) == (0, "")
    found = json.loads(out)
    check_facts(found, OWN)
    assert (found["output"], found["changed"], found["independent_windows"]) == ("converted.keras", True, True)
    assert found["proof"]["ok"]
    assert found["strides"] == [[2.0, 2.0]]


def test_what_convert_wrote_is_a_stock_model_for_pixels(folder, windows):
    model = keras.saving.load_model("converted.keras", safe_mode=True)
    np.testing.assert_allclose(model.predict(PICTURE[None], verbose=0)[0], windows, rtol=1e-4, atol=1e-6)


@BOTH
def test_heatmap(folder, windows, weights):
    for label, members in (("cat", [2]), ("pet", [2, 3])):
        found = call("heatmap", "picture.png", *weights, "--class", label, "--format", "npy", "--overwrite")
        check_facts(found, weights)
        assert (found["quantity"], found["engine"], found["failed"]) == ("probability", "tensorflow", [])
        (entry,) = found["heatmaps"]
        assert (entry["class"], entry["map_shape"], entry["evaluated_size"]) == (label, [19, 14, 5], [50, 60])
        scores = windows[..., members].sum(-1)
        assert entry["score"] == pytest.approx(scores.max(), rel=1e-4)
        row, column = np.unravel_index(scores.argmax(), scores.shape)
        x, y = entry["peak_xy"]
        assert abs(x - (2 * column + 11.5)) <= 0.5
        assert abs(y - (2 * row + 11.5)) <= 0.5
        values = np.load("heatmaps/picture-heatmap.npy")
        # A pixel lies in the middle of the centres of four cells.
        expected = (scores[3:5, 6] + scores[3:5, 7]).mean() / 2
        assert values[[18, 19]][:, [24, 25]].mean() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [("--mode", "windows"), ("--engine", "openvino"), ("--max-memory", "16GB")],
    ids=lambda options: options[1],
)
def test_heatmap_in_other_ways(folder, windows, options):
    (entry,) = call("heatmap", "picture.png", *CONVERTED, "--class", "bee", *options)["heatmaps"]
    assert entry["score"] == pytest.approx(windows[..., 1].max(), rel=1e-3)


@BOTH
def test_demo(folder, windows, weights):
    found = call("demo", "picture.png", *weights)
    check_facts(found, weights)
    assert found["map_shape"] == [19, 14, 5]
    best = np.unravel_index(windows.argmax(), windows.shape)[-1]
    assert found["class"] == NAMES[best]
    if weights is OWN:
        assert found["max_rel_error"] < 1e-5
        assert [score["label"] for score in found["top5_original"]] == [
            score["label"] for score in found["top5_converted"]
        ]
    else:
        assert found["top5_original"] is found["max_abs_error"] is found["max_rel_error"] is None
        assert sum(score["score"] for score in found["top5_converted"]) == pytest.approx(1, rel=1e-5)
    with Image.open("heatmap.png") as drawn:
        assert drawn.format == "PNG"


def test_the_demo_of_a_converted_network_says_that_there_is_no_original(folder):
    code, out, errors = run("demo", "picture.png", *CONVERTED)
    assert (code, errors) == (0, "")
    assert "no original network to compare with: the file holds the converted network only" in out


@BOTH
def test_compare(folder, weights):
    found = call("compare", "picture.png", *weights)
    check_facts(found, weights)
    assert (found["cells"], found["same_class"]) == ([19, 14], 1)
    assert found["max_rel_error"] < 1e-5


@BOTH
def test_bench(folder, weights, monkeypatch):
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    found = call("bench", "--size", "30", "--engine", "tensorflow", *weights)
    check_facts(found, weights)
    assert [way["way"] for way in found["ways"]] == ["model.predict", "tensorflow"]


@BOTH
def test_export(folder, windows, weights):
    found = call("export", "exported.keras", *weights)
    check_facts(found, weights)
    assert found["path"] == "exported.keras"
    model = keras.saving.load_model("exported.keras", safe_mode=True)
    np.testing.assert_allclose(model.predict(PICTURE[None], verbose=0)[0], windows, rtol=1e-4, atol=1e-6)


@BOTH
def test_evaluate(folder, windows, weights):
    """Windows of the picture that the network tells apart, in folders of what it says, two of them in wrong ones."""
    answers = windows.argmax(-1)
    for number, (row, column) in enumerate([(0, 0), (18, 0), (0, 13), (9, 7), (18, 13)]):
        name = NAMES[(answers[row, column] + (number < 2)) % 5]
        (folder / "set" / name).mkdir(parents=True, exist_ok=True)
        window = PICTURE[2 * row : 2 * row + 24, 2 * column : 2 * column + 24]
        Image.fromarray(window).save(folder / "set" / name / f"{number}.png")
    found = call("evaluate", "set", *weights)
    check_facts(found, weights)
    assert (found["images"], found["sizes"]) == (5, [27, 41, 55])
    assert all(0 <= row["top1_errors"] <= 5 and row["top5_errors"] is None for row in found["rows"])


def test_verify(folder):
    assert call("verify", "--weights", "own.keras")["ok"]
    assert call("verify", "own.keras", "converted.keras")["ok"]
    other = own_network("softmax", prepared=False, seed=9)
    other.save("other.keras")
    assert run("verify", "other.keras", "converted.keras")[0] == 1
    code, out, errors = run("verify", *CONVERTED)
    assert (code, out) == (1, "")
    assert errors == (
        "vggfcn: converted.keras: no original network to compare with: the file holds the converted network only\n"
    )
    assert run("verify", "own.keras", "--weights", "own.keras")[0] == 2
    assert run("verify", "own.keras")[0] == 2


def test_app(folder, monkeypatch):
    served = []
    module = importlib.import_module("vggfcn.cli.commands.app")
    monkeypatch.setattr(module, "serve", lambda host, port, announce, own: served.append(own))
    code, _, errors = run("app", *OWN)
    assert (code, errors) == (0, "")
    assert (served[0].source, served[0].native_size, served[0].classes) == ("own.keras", (24, 24), 5)


def test_values_that_are_no_probabilities(folder):
    model = own_network(None, seed=4)
    model.save("values.keras")
    values = predicted(model, crops_of(PICTURE))
    arguments = ("heatmap", "picture.png", "--weights", "values.keras", "--class", "1")
    found = call(*arguments, "--format", "npy")
    assert (found["quantity"], found["activation"]["how"]) == ("value", "none")
    assert found["heatmaps"][0]["score"] == pytest.approx(values[..., 1].max(), rel=1e-4)
    described = json.loads((folder / "heatmaps" / "picture-heatmap.npy.json").read_text())
    assert described["units"] == "value"
    assert call(*arguments, "--activation", "softmax", "--output", "else")["quantity"] == "probability"
    for option in (("--contour", "0.5"), ("--format", "tiff")):
        code, out, errors = run(*arguments, *option, "--output", f"with{option[1]}")
        assert code == 1
        assert f"vggfcn: {option[0]}" in errors
    code, out, errors = run("evaluate", "picture.png", "--weights", "values.keras")
    assert (code, out) == (1, "")


REFUSED = {
    "nothing says how pixels were prepared": (
        ["heatmap", "picture.png", "--weights", "own.keras"],
        ("vggfcn: own.keras: nothing says how images were prepared", "--preprocess", "0..1: divided by 255"),
    ),
    "an unknown preprocessing": (
        ["heatmap", "picture.png", "--weights", "own.keras", "--preprocess", "vgg"],
        ("--preprocess: expected raw, 0..1", "got 'vgg'"),
    ),
    "an activation that the network contradicts": (
        ["heatmap", "picture.png", *OWN, "--activation", "sigmoid"],
        ("--activation: got 'sigmoid', but", "ends in softmax"),
    ),
    "an unknown activation": (
        ["demo", "picture.png", *OWN, "--activation", "relu"],
        ("--activation: expected 'auto', 'softmax'", "got 'relu'"),
    ),
    "another size": (
        ["convert", "own.keras", "out.keras", "--input-shape", "30x30x3"],
        ("--input-shape: got", "(24, 24, 3)"),
    ),
    "an unknown output": (
        ["inspect", "own.keras", "--output-name", "boxes"],
        ("has no output 'boxes'", "--output-name"),
    ),
    "pixels that would be prepared twice": (
        ["heatmap", "picture.png", *CONVERTED, "--preprocess", "0..1"],
        ("--preprocess: got 0..1, but pixels are prepared already: inside the network: 0..1, as asked; leave it out",),
    ),
    "another preprocessing than the file's": (
        ["heatmap", "picture.png", "--weights", "mnist-lenet5", "--preprocess", "raw"],
        ("expects the preprocessing mean=20,std=200", "leave out --preprocess"),
    ),
    "an unknown activation of known weights": (
        ["heatmap", "picture.png", "--weights", "mnist-lenet5", "--activation", "relu"],
        ("--activation: expected auto, softmax, sigmoid, none, got 'relu'",),
    ),
    "an output of known weights": (
        ["heatmap", "picture.png", "--weights", "mnist-lenet5", "--output-name", "boxes"],
        ("--output-name: expected none, because mnist-lenet5 has a single output; got 'boxes'",),
    ),
    "names that are too few": (
        ["heatmap", "picture.png", *OWN[:4], "--labels", "few.txt"],
        ("expected 5 class names",),
    ),
    "an unknown class": (["heatmap", "picture.png", *OWN, "--class", "emu"], ("Unknown class 'emu'",)),
    "a stride that divides nothing": (
        ["heatmap", "picture.png", *OWN, "--output-stride", "7"],
        ("--output-stride: expected",),
    ),
    "an architecture for a whole model": (
        ["inspect", "own.keras", "--architecture", "VGG16"],
        ("needs no architecture",),
    ),
}


def test_a_class_activation_map_needs_global_average_pooling(folder):
    code, _, errors = run("heatmap", "picture.png", *OWN, "--mode", "cam")
    assert code == 1
    assert "a class activation map needs global average pooling" in errors
    assert not list(folder.glob("heatmaps/*"))
    pooled = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, "softmax")
    own_network(*pooled).save("pooled.keras")
    found = call("heatmap", "picture.png", "--weights", "pooled.keras", "--mode", "cam", "--format", "npy")
    assert (found["quantity"], found["heatmaps"][0]["map_shape"]) == ("value", [26, 21, 3])


# The names of these options in Python.
PYTHON = ("preprocess=", "preprocess:", "input_shape", "output_stride", "activation=", "keep_global", "max_memory")


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line_in_the_words_of_the_command_line(folder, name):
    arguments, parts = REFUSED[name]
    (folder / "few.txt").write_text("ant\nbee\n")
    code, out, errors = run(*arguments)
    assert (code, out) == (1, "")
    for part in parts:
        assert part in errors
    assert errors.startswith("vggfcn: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    assert "unexpected" not in errors
    for python in PYTHON:
        assert f" {python}" not in errors
        assert f"({python}" not in errors
