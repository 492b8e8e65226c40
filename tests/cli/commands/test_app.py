"""`vggfcn app`: what is served where, and what is said of it."""

import importlib

import pytest
from command_line import run

from vggfcn.errors import VGGFCNError

module = importlib.import_module("vggfcn.cli.commands.app")


@pytest.fixture
def served(monkeypatch):
    """Where the page was served: (host, port)."""
    places = []

    def serve(host, port, announce, own):
        places.append((host, port))
        announce(f"http://{host}:{port}/")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "serve", serve)
    return places


@pytest.fixture
def warned(monkeypatch):
    """What is printed on stderr."""
    texts = []
    monkeypatch.setattr(module.messages, "print", lambda text, **_: texts.append(text))
    return texts


def test_by_default_it_is_served_to_this_machine_until_ctrl_c(served, warned):
    code, out, errors = run("app")
    assert (code, errors, served, warned) == (0, "", [("127.0.0.1", 7860)], [])
    assert out == "vggfcn is running at http://127.0.0.1:7860/ (press Ctrl-C to stop)\n"


def test_another_host_is_warned_of(served, warned):
    assert run("app", "--host", "0.0.0.0", "--port", "1234")[0] == 0
    assert served == [("0.0.0.0", 1234)]
    assert warned == ["vggfcn: warning: anyone who can reach 0.0.0.0 can use the page; there is no password"]


def test_a_refusal_is_one_line(monkeypatch):
    def serve(*_):
        raise VGGFCNError("cannot listen on 127.0.0.1:1")

    monkeypatch.setattr(module, "serve", serve)
    assert run("app", "--port", "1") == (1, "", "vggfcn: cannot listen on 127.0.0.1:1\n")
    assert run("app", "--port", "70000")[0] == 2
