"""The benchmark: what is measured, in which order, and the figures that follow from it."""

import keras
import pytest

from vggfcn.errors import EngineError
from vggfcn.evaluation import benchmark


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])


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


def test_figures_follow_from_the_times(model, monkeypatch):
    times = {benchmark.PREDICT: [4.0, 2.0, 9.0], "tensorflow": [1.0, 0.5, 0.5]}
    monkeypatch.setattr(benchmark, "in_turns", lambda ways, rounds, progress: {name: times[name] for name in ways})
    predict, ours = benchmark.time_network(model, 8, "tensorflow")[0]
    assert (predict.way, predict.median_seconds, predict.images_per_second, predict.ratio) == (
        *("model.predict", 4, 0.25, 1),
    )
    assert (ours.way, ours.median_seconds, ours.images_per_second, ours.ratio) == ("tensorflow", 0.5, 2, 8)
    assert min(predict.start_seconds, ours.start_seconds) > 0


def no_openvino(monkeypatch):
    def refuse(*_):
        raise EngineError("openvino is not installed; get it with: pip")

    monkeypatch.setattr("vggfcn.engines.openvino.OpenVINO", refuse)


def test_an_engine_that_cannot_run_is_left_out_with_a_note(model, monkeypatch):
    no_openvino(monkeypatch)
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    timings, note = benchmark.time_network(model, 8, "auto")
    assert [timing.way for timing in timings] == ["model.predict", "tensorflow"]
    assert note == "openvino is not installed; get it with: pip"


def test_an_engine_that_is_asked_for_and_cannot_run_is_an_error(model, monkeypatch):
    no_openvino(monkeypatch)
    with pytest.raises(EngineError, match="openvino is not installed"):
        benchmark.time_network(model, 8, "openvino")


def test_the_machine(monkeypatch):
    machine = benchmark.machine()
    assert machine["cores"] >= 1
    assert machine["processor"]
    assert machine["versions"]["tensorflow"] >= "2.18"
    monkeypatch.setattr(benchmark, "PACKAGES", ("no-such-package",))
    assert benchmark.machine()["versions"]["no-such-package"] is None
