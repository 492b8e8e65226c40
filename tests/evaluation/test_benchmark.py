"""`vggfcn bench`: what is measured, in which order, and what is said about it."""

import json
import re

import keras
from typer.testing import CliRunner

from vggfcn.cli.main import app
from vggfcn.errors import EngineError
from vggfcn.evaluation import benchmark

ARGUMENTS = ("bench", "--weights", "mnist-lenet5", "--size", "40")


def call(*arguments):
    done = CliRunner().invoke(app, [*ARGUMENTS, *arguments])
    return done.exit_code, done.stdout, done.exception


def test_ways_take_turns_and_each_is_timed(monkeypatch):
    clock, order, told = [0.0], [], []
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: clock[0])

    def way(name, seconds):
        def run():
            order.append(name)
            clock[0] += seconds + len(order)

        return run

    found = benchmark.in_turns({"a": way("a", 10), "b": way("b", 20)}, 2, lambda *done: told.append(done))
    assert order == ["a", "b", "a", "b"]
    assert found == {"a": [11, 13], "b": [22, 24]}
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_figures_follow_from_the_times(monkeypatch):
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])
    times = {benchmark.PREDICT: [4.0, 2.0, 9.0], "tensorflow": [1.0, 0.5, 0.5]}
    monkeypatch.setattr(benchmark, "in_turns", lambda ways, rounds, progress: {name: times[name] for name in ways})
    predict, ours = benchmark.time_network(model, 8, "tensorflow")[0]
    assert (predict.way, predict.median_seconds, predict.images_per_second, predict.ratio) == (
        *("model.predict", 4, 0.25, 1),
    )
    assert (ours.way, ours.median_seconds, ours.images_per_second, ours.ratio) == ("tensorflow", 0.5, 2, 8)
    assert min(predict.start_seconds, ours.start_seconds) > 0


def test_json_names_the_machine_and_every_engine():
    found = json.loads(call("--json")[1])
    assert list(found) == ["weights", "size", "machine", "start_seconds", "note", "ways"]
    assert [way["way"] for way in found["ways"]] == ["model.predict", "tensorflow", "openvino"]
    assert all(len(way["seconds"]) == benchmark.ROUNDS and min(way["seconds"]) > 0 for way in found["ways"])
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["processor"]
    assert found["machine"]["versions"]["tensorflow"] >= "2.18"
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
