"""The page on one's own classifier can be typed from top to bottom, and prints what it shows."""

import json
import re
import shlex

import keras
import pytest
from command_line import run
from paths import ROOT

PAGE = (ROOT / "docs" / "own-classifier.md").read_text(encoding="utf-8")
# Code, or commands; and the text up to the next ones, where lines that they print are set in.
STEP = re.compile(r"^```(py|console)\n(.*?)^```\n(.*?)(?=^```|\Z)", re.M | re.S)
TRAINING, *STEPS = [step.groups() for step in STEP.finditer(PAGE, PAGE.index("```py"))]


def plain(text):
    """The lines of a report without figures, which differ between machines, and without what they lead to.

    The rows of a table are sorted by such figures, and so are these lines.
    """
    text = re.sub(r"\d[\d.e-]*", "N", text)
    lines = (re.sub(r"( where the largest is N).*", r"\1", " ".join(line.split())) for line in text.splitlines())
    return sorted(line for line in lines if line.strip(" ─"))


def test_the_page_can_be_typed_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    keras.utils.clear_session()  # Keras numbers layers anew, as in a process of its own.
    exec(compile(TRAINING[1], "train.py", "exec"), {})
    groups = re.search(r"`(\{[^`]*\})` in `groups.json`", PAGE)[1]
    (tmp_path / "groups.json").write_text(json.dumps(json.loads(groups)))
    names, shown = {}, 0
    for language, code, text in STEPS:
        if language == "py":
            capsys.readouterr()
            exec(compile(code, "block", "exec"), names)
            promised = re.findall(r"^print\(.*\)  # (.*?)$", code, re.M)
            assert capsys.readouterr().out.splitlines() == promised
            continue
        outputs = []
        for line in code.splitlines():
            exit_code, out, errors = run(*shlex.split(line)[1:])
            assert exit_code == 0, (line, errors)
            outputs += out.splitlines()
        if printed := "".join(re.findall(r"^ {4}.*\n", text, re.M)):
            assert set(plain(printed)) <= set(plain("\n".join(outputs)))
            shown += 1
    assert shown == 4


@pytest.mark.parametrize(("text", "same"), [("a 1.5 of 3", True), ("b 1.5 of 3", False), ("a 1.5 of", False)])
def test_reports_are_compared_without_their_figures(text, same):
    assert (plain(text) == plain("  a 2e-05 of 17")) == same
