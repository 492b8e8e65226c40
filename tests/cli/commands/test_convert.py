"""`vggfcn convert` and `vggfcn verify`: what they write, print and refuse."""

import pathlib

import keras
import numpy as np
import pytest
from networks import noise, plain, randomize, relative_difference, run, squeeze_and_excite
from typer.testing import CliRunner

from vggfcn.cli.main import app


def call(*arguments):
    """Exit code, standard output, and the exception that `main` turns into a line on standard error."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output, done.exception


@pytest.fixture
def saved(tmp_path):
    model = randomize(plain())
    model.save(tmp_path / "model.keras")
    return model, tmp_path / "model.keras", tmp_path / "out.keras"


def test_convert_writes_the_converted_model_and_lists_what_each_layer_became(saved):
    model, path, out = saved
    code, said, _ = call("convert", path, out)
    assert code == 0
    images = noise(model)
    converted = keras.saving.load_model(out, safe_mode=True)
    assert relative_difference(run(converted, images)[0], run(model, images)[0]) < 1e-5
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert lines["fc1"][1:5] == ["Dense", "Conv2D", "9", "x"]
    assert lines["fc1"][-1] == f"{9 * 8 * 5 * 7 + 7:,}"
    assert "dropped" in lines["flatten"]
    assert lines["proof"][1:5] == ["the", "same", "at", "native"]
    assert lines["strides"] == ["strides", "2", "x", "2"]
    assert [file.name for file in sorted(out.parent.iterdir())] == ["model.keras", "out.keras"]


def test_reads_h5(saved):
    model, path, out = saved
    model.save(path.with_suffix(".h5"))
    assert call("convert", path.with_suffix(".h5"), out)[0] == 0
    assert call("verify", path, out)[0] == 0


def test_verify_exits_with_1_when_they_differ(saved):
    model, path, out = saved
    assert call("convert", path, out)[0] == 0
    code, said, _ = call("verify", path, out, "--samples", 1, "--seed", 5)
    assert code == 0
    assert said.startswith("the same at native size")
    kernel = model.get_layer("fc1").kernel
    values = np.array(kernel)
    values[17, 3] += 0.01
    kernel.assign(values)
    model.save(path)
    code, said, _ = call("verify", path, out)
    assert code == 1
    assert said.startswith("NOT the same at native size")


@pytest.mark.parametrize("how", ["caffe", "mean=1,2,3,std=50,60,70"])
def test_verify_gives_both_networks_the_same_images(saved, how):
    """The converted network prepares pixels itself, the original takes them prepared."""
    model, path, out = saved
    assert call("convert", path, out, "--preprocess", how)[0] == 0
    images = noise(model)
    assert relative_difference(run(keras.saving.load_model(out), images)[0], run(model, images)[0]) > 0.01
    for pair in (path, out), (out, path), (out, out):
        code, said, _ = call("verify", *pair)
        assert (code, said.startswith("the same at native size")) == (0, True)
    kernel = model.get_layer("fc1").kernel
    kernel.assign(np.array(kernel) * 1.01)
    model.save(path)
    assert call("verify", path, out)[0] == 1


def test_an_existing_file_is_kept_without_overwrite(saved):
    _, path, out = saved
    out.write_bytes(b"mine")
    code, _, error = call("convert", path, out)
    assert code == 1
    assert str(error) == f"{out}: already exists; pass --overwrite to replace it"
    assert out.read_bytes() == b"mine"
    assert call("convert", path, out, "--overwrite")[0] == 0
    keras.saving.load_model(out, safe_mode=True)


def test_nothing_is_left_when_saving_fails(saved, monkeypatch):
    _, path, out = saved
    out.write_bytes(b"mine")

    def full(self, target):
        target.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(keras.Model, "save", full)
    assert str(call("convert", path, out, "--overwrite")[2]) == "no space left"
    assert out.read_bytes() == b"mine"
    assert [file.name for file in sorted(out.parent.iterdir())] == ["model.keras", "out.keras"]


def test_with_keep_global_context_is_kept_and_reported(tmp_path):
    squeeze_and_excite().save(tmp_path / "se.keras")
    code, _, error = call("convert", tmp_path / "se.keras", tmp_path / "out.keras")
    assert code == 1
    assert "squeeze (GlobalAveragePooling2D)" in str(error)
    code, said, _ = call("convert", tmp_path / "se.keras", tmp_path / "out.keras", "--keep-global")
    assert code == 0
    assert "layers that see the whole image were kept" in said


def test_code_in_a_model_file_is_not_run(tmp_path):
    mark = str(tmp_path / "mark")

    touch = keras.layers.Lambda(lambda x: (__import__("pathlib").Path(mark).touch(), x)[1])
    keras.Sequential([keras.Input((4,)), touch, keras.layers.Dense(2)]).save(tmp_path / "evil.keras")
    pathlib.Path(mark).unlink()
    code, _, error = call("convert", tmp_path / "evil.keras", tmp_path / "out.keras")
    assert code == 1
    assert "no code" in str(error)
    assert not pathlib.Path(mark).exists()
    assert not (tmp_path / "out.keras").exists()
    keras.saving.load_model(tmp_path / "evil.keras", safe_mode=False)
    assert pathlib.Path(mark).exists()  # It runs without safe mode.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "missing.keras", "out.keras"], "missing.keras: no such weight file"),
        (["convert", "missing.keras", "out.h5"], "out.h5: expected a name that ends in .keras"),
        (["convert", "missing.keras", "nowhere/out.keras"], "nowhere/out.keras: there is no folder nowhere; create it"),
        (["verify", "README.md", "README.md"], "README.md: expected a Keras model, .keras or .h5, with stock layers"),
    ],
)
def test_refusals(arguments, message):
    code, _, error = call(*arguments)
    assert code == 1
    assert str(error).startswith(message)


def test_open_sizes_are_given_as_numbers(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)], name="open"
    )
    model.save(tmp_path / "open.keras")
    arguments = "convert", tmp_path / "open.keras", tmp_path / "out.keras"
    assert call(*arguments, "--input-shape", "8,9,3")[0] == 0
    assert "GlobalMaxPooling2D" in call(*arguments, "--overwrite", "--input-shape", "8,9,3")[1]
    code, said, _ = call(*arguments, "--overwrite", "--input-shape", "8;9")
    assert code == 2
    assert "224x224x3" in said
