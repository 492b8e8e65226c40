"""What the documentation says is true: its code runs, its commands and links exist."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(language):
    for page in PAGES:
        for number, (found, code) in enumerate(BLOCK.findall(page.read_text()), 1):
            if found == language:
                yield pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python_blocks_run_and_print_what_their_comments_say(code, capsys):
    exec(compile(code, "block", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^print\(.*\)  # (.*?)(?:: .*)?$", code, re.M)
    assert printed == promised


@pytest.mark.parametrize("code", list(blocks("sh")))
def test_shell_blocks_name_what_exists(code):
    """The commands themselves are run by tests/test_demo.py and by whoever runs these tests."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for line in code.splitlines():
        first, second, *rest = line.split("#")[0].split()
        assert (first == "make" and second in targets) or (first.endswith("python") and (ROOT / second).is_file())
        source = ROOT / ("tests/test_demo.py" if second == "demo.py" else second)
        options = [word.lstrip("-") for word in rest if word.startswith("--")]
        assert all(re.search(rf"\b{option}\b", source.read_text()) for option in options)


def links():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            yield pytest.param(page, link, id=f"{page.relative_to(ROOT)} -> {link}")


@pytest.mark.parametrize(("page", "link"), list(links()))
def test_links_lead_somewhere(page, link):
    assert (page.parent / link).exists()
