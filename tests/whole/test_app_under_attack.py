"""An honest visitor's waiting times while one other client attacks the page."""

import pathlib
import signal
import subprocess
import sys
import time

import page_attacks
import pytest
from page_server import Server
from sample_scenes import STRIP

from vggfcn.app.server import GRACE_SECONDS

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')

PATIENCE = 2.0  # seconds until any answer
QUICK = ("400 connections that trickle headers", "evaluations without end", "events that name /dev/zero")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose networks are ready."""
    with Server(tmp_path_factory.mktemp("attacked")) as running:
        visitor = running.visitor()
        for sample, weights, stride in ((0, "scene-digits", 32), (3, "mnist-lenet5", 4)):
            visitor.choose_sample(sample)
            visitor.evaluate(weights, stride)
        yield running


def waiting_times(server, attack, seconds):
    """The longest an honest visitor waits: for the page, for a style sheet, and for a map of an image just dropped."""
    command = [sys.executable, page_attacks.__file__, attack, server.host, str(server.port), str(seconds)]
    attacker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.5)  # until it is under way
        waited = {"page": [], "style": [], "map": []}
        while attacker.poll() is None:
            waited["page"].append(timed(server.visitor))
            waited["style"].append(timed(lambda: server.visitor().ask("GET", "/theme.css")))
            waited["map"].append(timed(lambda: dropped_and_evaluated(server)))
        assert len(waited["map"]) > 0, "the attack was over at once"
        return {name: max(times) for name, times in waited.items()}
    finally:
        attacker.kill()
        attacker.wait()


def timed(job):
    start = time.monotonic()
    job()
    return time.monotonic() - start


def dropped_and_evaluated(server):
    visitor = server.visitor()
    assert visitor.drop("strip.png", pathlib.Path(STRIP).read_bytes()) == ""
    visitor.choose_weights("mnist-lenet5")
    assert "highest probability" in visitor.evaluate("mnist-lenet5", 4)[4]


@pytest.mark.parametrize("attack", QUICK)
def test_an_honest_visitor_is_answered_soon(server, attack):
    waited = waiting_times(server, attack, 5)
    assert max(waited["page"], waited["style"]) < PATIENCE


@pytest.mark.slow
def test_an_honest_visitor_is_answered_soon_under_each_attack(server, capsys):
    rows = {attack: waiting_times(server, attack, 12) for attack in page_attacks.ATTACKS}
    with capsys.disabled():
        print("\n| one other client's attack | page | style sheet | map |\n|---|---|---|---|")
        for attack, waited in rows.items():
            print(f"| {attack} | {' | '.join(f'{seconds:.2f} s' for seconds in waited.values())} |")
    late = {attack: waited for attack, waited in rows.items() if max(waited["page"], waited["style"]) >= PATIENCE}
    assert late == {}


def test_a_signal_ends_it_in_time_under_attack_and_its_folder_goes(tmp_path):
    with Server(tmp_path) as server:
        server.visitor()
        command = [
            sys.executable,
            page_attacks.__file__,
            "evaluations without end",
            server.host,
            str(server.port),
            "30",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as attacker:
            time.sleep(4)
            start = time.monotonic()
            code, *_ = server.stop(signal.SIGTERM)
            attacker.kill()
        assert time.monotonic() - start < GRACE_SECONDS + 4
        assert code == 0
        assert list(tmp_path.glob(".vggfcn-*")) == []
