"""`vggfcn bench`: what it prints."""

import json
import re

import pytest
from typer.testing import CliRunner

from vggfcn.cli.main import app
from vggfcn.errors import EngineError
from vggfcn.evaluation import benchmark

ARGUMENTS = ("bench", "--weights", "mnist-lenet5", "--size", "40")


@pytest.fixture(autouse=True)
def two_rounds(monkeypatch):
    monkeypatch.setattr(benchmark, "ROUNDS", 2)


def call(*arguments):
    done = CliRunner().invoke(app, [*ARGUMENTS, *arguments])
    return done.exit_code, done.stdout, done.exception


def test_json_names_the_machine_and_every_engine():
    found = json.loads(call("--json")[1])
    assert list(found) == [
        *("weights", "preprocessing", "activation", "notes", "size", "machine", "start_seconds", "note", "ways")
    ]
    assert [way["way"] for way in found["ways"]] == ["model.predict", "tensorflow", "openvino"]
    assert all(len(way["seconds"]) == benchmark.ROUNDS and min(way["seconds"]) > 0 for way in found["ways"])
    assert list(found["machine"]) == ["processor", "cores", "system", "versions"]
    assert list(found["start_seconds"]) == ["loading TensorFlow", "building the network"]


def test_an_engine_that_is_not_installed_is_left_out_unless_it_is_asked_for(monkeypatch):
    def refuse(*_):
        raise EngineError("openvino is not installed; get it with: pip")

    monkeypatch.setattr("vggfcn.engines.openvino.OpenVINO", refuse)
    code, said, _ = call()
    assert code == 0
    assert "openvino is not installed; get it with: pip" in said
    rows = [line.split()[0] for line in said.splitlines() if re.search(r"\d - \d", line)]
    assert rows == ["model.predict", "tensorflow"]
    code, said, error = call("--engine", "openvino")
    assert (code, said, str(error)) == (1, "", "openvino is not installed; get it with: pip")


def test_one_engine_alone():
    found = json.loads(call("--json", "--engine", "tensorflow")[1])
    assert [way["way"] for way in found["ways"]] == ["model.predict", "tensorflow"]
    assert found["note"] == ""


def test_quiet_says_nothing():
    assert call("--quiet", "--engine", "tensorflow")[:2] == (0, "")
