"""`vggfcn export`: what it writes, prints and refuses."""

import json

import pytest
from command_line import WATCHED, run, run_in_process

LENET5 = ("--weights", "mnist-lenet5")


def test_it_reports_or_prints_json_or_is_quiet(tmp_path):
    out = tmp_path / "x.keras"
    code, printed, errors = run("export", out, *LENET5)
    assert (code, errors) == (0, "")
    weights, taken, returned, written, _, compared, rounding, _ = printed.splitlines()
    assert weights == "weights   mnist-lenet5 (as asked)"
    assert taken.startswith("input     grey 32 x 32, pixels from 0 to 255, prepared as mean=20,std=200 (")
    assert returned.startswith("output    10 classes: probabilities that add up to 1 (lenet5 returns logits)")
    assert written == f"written   {out}, keras, {out.stat().st_size / 1e6:.1f} MB"
    assert compared == "compared  2 of 50 x 38 pixels: logits differ by at most 0.0e+00, 0.0e+00 of the largest logit"
    assert rounding.startswith("rounding  explains ")
    found = json.loads(run("export", out, *LENET5, "--json", "--overwrite")[1])
    assert (found["weights"], found["format"], found["path"]) == ("mnist-lenet5", "keras", str(out))
    assert found["comparisons"][1]["shape"] == [2, 38, 50, 1]
    assert run("export", out, *LENET5, "--quiet", "--overwrite") == (0, "", "")


def test_in_a_process_of_its_own_libraries_print_nothing(tmp_path):
    assert run_in_process("export", "x.onnx", *LENET5, "--quiet", cwd=tmp_path) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


def test_refusals_come_before_tensorflow(tmp_path):
    code, out, errors = run_in_process("export", "nowhere/x.onnx", *LENET5, before=WATCHED, cwd=tmp_path)
    refusal, imported = errors.splitlines()
    assert (code, out) == (1, "")
    assert refusal == "vggfcn: nowhere/x.onnx: there is no folder nowhere; create it, or choose another place"
    assert "tensorflow" not in imported.split()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["x.onnx", "--format", "tflight"], 2, "--format: expected ", id="an unknown format"),
        pytest.param(["there.onnx"], 1, "there.onnx: exists", id="a file that exists"),
        pytest.param(["x.pb"], 1, "x.pb: expected a name that ends in .onnx", id="an unknown suffix"),
    ],
)
def test_what_is_refused_stays_as_it_is(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_bytes(b"mine")
    found, out, errors = run("export", *arguments, *LENET5)
    assert (found, out) == (code, "")
    assert message in errors
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("there.onnx", b"mine")]
