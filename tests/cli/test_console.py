"""What is printed where: reports, JSON, progress and messages."""

import io
import json
import os
import pty
import re

import pytest
from bad_images import bad_files
from command_line import run_in_process, started

from vggfcn.cli import console
from vggfcn.errors import ImageError


@pytest.fixture
def errors(monkeypatch):
    """What goes to stderr."""
    written = io.StringIO()
    monkeypatch.setattr(console, "messages", console.Screen(written))
    return written


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        pytest.param({}, "a report\n", id="a report"),
        pytest.param({"as_json": True}, '{"a": [1, null]}\n', id="JSON"),
        pytest.param({"quiet": True}, "", id="quiet"),
        pytest.param({"as_json": True, "quiet": True}, '{"a": [1, null]}\n', id="JSON and quiet"),
    ],
)
def test_a_report_or_json_or_nothing(capsys, options, printed):
    reporter = console.Reporter(**options)
    reporter.report("a report")
    reporter.json({"a": [1, None]})
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("quiet", [True, False])
def test_without_a_terminal_progress_writes_nothing(errors, quiet):
    """No empty line either, whichever version Rich has."""
    reporter = console.Reporter(quiet=quiet)
    with reporter.status("reading") as status:
        status("drawing")
    with reporter.progress("images") as progress:
        progress(1, 2)
    with reporter.download("file") as progress:
        progress(1, 2)
    assert errors.getvalue() == ""


def test_an_error_is_one_line_and_so_is_each_detail(errors):
    console.complain(ImageError("[red] is\nno image"), "first", "second\nhalf")
    assert errors.getvalue() == "vggfcn: [red] is no image\n  first\n  second half\n"


def test_libraries_print_nothing_about_a_damaged_image(tmp_path, capfd):
    bad_files(tmp_path)
    with pytest.raises(ImageError, match=r"cut.png: damaged or unreadable"):
        console.read_image_quietly(tmp_path / "cut.png")
    assert capfd.readouterr().err == ""


def on_a_terminal(*arguments, before="", **environment):
    """What appears on a terminal 100 columns wide."""
    terminal, inner = pty.openpty()
    sized = {"COLUMNS": "100", "TERM": "xterm-256color", **environment}
    process = started(*arguments, before=before, env=sized, stdout=inner, stderr=inner)
    os.close(inner)
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 1 << 16)
        except OSError:  # At the end Linux says that there is no such terminal.
            break
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    return shown.decode()


COLOURS = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|38;[25];[0-9;]+|9[0-7])m")


def test_a_terminal_shows_what_is_being_done_unless_it_is_to_be_quiet():
    arguments = ("weights", "inspect", "scene-digits")
    shown = on_a_terminal(*arguments)
    assert "reading scene-digits ..." in shown
    assert COLOURS.search(shown)
    assert shown.index("reading") < shown.index("known as  scene-digits")
    assert not COLOURS.search(on_a_terminal(*arguments, NO_COLOR="1"))
    assert on_a_terminal(*arguments, "--quiet") == ""
    json.loads(on_a_terminal(*arguments, "--quiet", "--json"))


SLOW = """
import time
from vggfcn.cli.console import Reporter
def list_slowly(as_json=False):
    reporter = Reporter()
    with reporter.progress("slowly", "steps") as progress:
        for step in range(13):
            progress(step, 12)
            time.sleep(0.1)
            if step == 6:
                reporter.report("half of it")
from vggfcn.cli.commands import weights
weights.app.registered_commands[0].callback = list_slowly
"""


@pytest.mark.parametrize("asked", [{"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}], ids=str)
def test_files_stay_files_if_colours_are_forced(asked):
    """The report goes to stdout at its full width, and no progress to stderr."""
    code, out, errors = run_in_process("weights", "list", env=asked)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert (code, plain, errors) == run_in_process("weights", "list")
    for before, arguments in ((SLOW, ("weights", "list")), ("", ("weights", "inspect", "scene-digits"))):
        code, out, errors = run_in_process(*arguments, before=before, env=asked)
        assert (code, bool(out), errors) == (0, True, "")


def test_progress_shows_how_much_how_fast_and_how_long():
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_a_terminal("weights", "list", before=SLOW))
    assert re.search(r"\b6/12\b", shown)
    assert re.search(r"\d\.\d steps/s", shown)
    assert re.search(r"s 0:00:0\d 0:00:0\d", shown)
    assert re.search(r"[\r\n]half of it", shown)
    assert "slowly" not in run_in_process("weights", "list", before=SLOW)[2]
