"""What the documentation says is true: its code runs, its commands and links exist."""

import re
import shlex

import keras
import pytest
from paths import ROOT
from typer.main import get_command

from vggfcn.cli import main

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(language):
    for page in PAGES:
        for number, (found, code) in enumerate(BLOCK.findall(page.read_text()), 1):
            if found == language:
                yield pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python_blocks_run_and_print_what_their_comments_say(code, capsys):
    keras.utils.clear_session()  # Keras numbers layers anew, as in a process of its own.
    exec(compile(code, "block", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^print\(.*\)  # (.*?)(?:: .*)?$", code, re.M)
    assert printed == promised


@pytest.mark.parametrize("code", list(blocks("sh")))
def test_shell_blocks_name_what_exists(code):
    """The commands themselves are run by tests/cli/commands/test_demo.py and by whoever runs these tests."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for line in code.splitlines():
        first, second, *rest = line.split("#")[0].split()
        assert (first == "make" and second in targets) or (first.endswith("python") and (ROOT / second).is_file())
        source = ROOT / ("tests/cli/commands/test_demo.py" if second == "demo.py" else second)
        options = [word.lstrip("-") for word in rest if word.startswith("--")]
        assert all(re.search(rf"\b{option}\b", source.read_text()) for option in options)


@pytest.mark.parametrize("code", list(blocks("console")))
def test_console_blocks_name_commands_and_options_that_exist(code):
    """What the commands do is tested by the tests of each; here only that they can be typed."""
    for line in code.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "vggfcn"
        command = get_command(main.app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known
        assert not hasattr(command, "commands")


def links():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            yield pytest.param(page, link, id=f"{page.relative_to(ROOT)} -> {link}")


@pytest.mark.parametrize(("page", "link"), list(links()))
def test_links_lead_somewhere(page, link):
    assert (page.parent / link).exists()
