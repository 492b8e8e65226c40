"""`vggfcn export`: what it says and writes, and what it refuses before TensorFlow loads."""

import json
import os
import subprocess
import sys

from typer.testing import CliRunner

from vggfcn.cli.main import app


def left(folder):
    return sorted(path.name for path in folder.iterdir())


RUN_MAIN = """
import sys
from vggfcn.cli.main import main
try:
    main()
finally:
    print("tensorflow" in sys.modules)
"""


def call(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command_reports_or_prints_json_or_is_quiet(tmp_path):
    out = tmp_path / "x.keras"
    said = call(out, "--weights", "mnist-lenet5").output.splitlines()
    assert said[0] == "weights   mnist-lenet5 (as asked)"
    assert said[1] == f"written   {out}, keras, {out.stat().st_size / 1e6:.1f} MB"
    assert said[3] == "compared  2 of 50 x 38 pixels: logits differ by at most 0.0e+00, 0.0e+00 of the largest"
    done = call(out, "--weights", "mnist-lenet5", "--json", "--overwrite")
    found = json.loads(done.output)
    assert (found["weights"], found["format"], found["path"]) == ("mnist-lenet5", "keras", str(out))
    assert found["comparisons"][1]["shape"] == [2, 38, 50, 1]
    assert call(out, "--weights", "mnist-lenet5", "--quiet", "--overwrite").output == ""
    assert call(out, "--weights", "mnist-lenet5", "--format", "tflight").exit_code == 2


def in_a_process(*arguments, cwd):
    command = [sys.executable, "-c", RUN_MAIN, "export", *arguments, "--weights", "mnist-lenet5"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200)


def test_in_a_process_of_its_own_nothing_else_is_said(tmp_path):
    done = in_a_process("x.onnx", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert left(tmp_path) == ["x.onnx"]


def test_refusals_come_before_tensorflow(tmp_path):
    done = in_a_process("nowhere/x.onnx", cwd=tmp_path)
    expected = "vggfcn: nowhere/x.onnx: there is no folder nowhere; create it, or choose another place\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "False\n", expected)
