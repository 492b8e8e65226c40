"""Options that several commands have, and what shells complete for them."""

import pytest
import typer
from command_line import WATCHED, leaf_commands, run_in_process
from typer.testing import CliRunner

from vggfcn.cli import main, options

COMMON = ("--weights", "--labels", "--groups", "--class", "--engine", "--json", "--output-stride")


@pytest.mark.parametrize("name", COMMON)
def test_common_options_have_one_help_text(name):
    known = [option for command in leaf_commands().values() for option in command.params if option.opts[0] == name]
    assert len(known) > 1
    assert len({option.help for option in known}) == 1


def test_all_reports_can_be_json_or_quiet():
    known = {name: {option.opts[0] for option in command.params} for name, command in leaf_commands().items()}
    assert [name for name, names in known.items() if "--json" not in names] == ["app"]
    assert [name for name, names in known.items() if "--quiet" not in names] == ["app", "weights list"]
    assert [name for name, names in known.items() if "--engine" in names] == [
        *("heatmap", "compare", "evaluate", "bench")
    ]


def test_help_texts_are_sentences():
    for name, command in leaf_commands().items():
        for option in command.params:
            if option.name != "help":
                assert option.help, f"{name} {option.name}"
                assert option.help.endswith("."), f"{name} {option.name}: {option.help}"


COMPLETED = {
    "commands": ("vggfcn ", ["demo", "heatmap", "weights"]),
    "a command": ("vggfcn hea", ["heatmap"]),
    "commands of a group": ("vggfcn weights ", ["list", "fetch", "inspect", "convert"]),
    "names of weights": ("vggfcn heatmap --weights ", ["auto", "scene-digits", "imagenet", "torchvision-vgg16"]),
    "a name of weights": ("vggfcn demo --weights mn", ["mnist-lenet5"]),
    "a file of weights is left to the shell": ("vggfcn demo --weights ./w", []),
    "engines": ("vggfcn bench --engine ", ["auto", "tensorflow", "openvino"]),
    "formats": ("vggfcn heatmap --format ", ["png", "npy", "tiff"]),
    "classes": ("vggfcn heatmap --weights scene-digits --class ", ["0", "9", "none"]),
    "a class of ImageNet's": ("vggfcn heatmap --weights efficientnet-lite0 --class Egyptian", ["Egyptian_cat"]),
    "a group of ImageNet's": ("vggfcn heatmap --weights efficientnet-lite0 --class dom", ["domestic_animal"]),
    "classes of weights that are elsewhere": ("vggfcn demo --weights gone.h5 --class ", []),
    "what is fetched": ("vggfcn weights fetch imagenet-v", ["imagenet-vgg19", "imagenet-vgg19-notop"]),
    "options": ("vggfcn heatmap --max-m", ["--max-memory"]),
}


def environment(shell, line):
    """What the shell's completion script sets."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}  # bash
    words |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return {"_VGGFCN_COMPLETE": f"complete_{shell}", **words}


@pytest.mark.parametrize("completed", COMPLETED)
def test_shells_complete(completed):
    line, expected = COMPLETED[completed]
    done = CliRunner(env=environment("bash", line)).invoke(main.app, prog_name="vggfcn")
    found = done.stdout.split()
    assert done.exit_code == 0
    assert set(expected) <= set(found)
    assert all(word.startswith(line.split(" ")[-1]) for word in found)
    assert expected or not found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_and_completions(shell, monkeypatch):
    done = CliRunner(env=environment(shell, "vggfcn hea")).invoke(main.app, prog_name="vggfcn")
    assert done.exit_code == 0
    assert "heatmap" in done.stdout
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = CliRunner().invoke(main.app, ["--show-completion", shell], prog_name="vggfcn")
    assert done.exit_code == 0
    assert "_VGGFCN_COMPLETE" in done.stdout


def test_completion_imports_nothing_heavy():
    code, out, errors = run_in_process(env=environment("bash", "vggfcn hea"), before=WATCHED)
    assert (code, out.split(), errors) == (0, ["heatmap"], "\n")


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [("0.75,1,1.5", float, (0.75, 1, 1.5)), ("256", int, (256,)), (None, int, None)],
)
def test_numbers_with_commas(text, kind, found):
    assert options.numbers(text, kind) == found


@pytest.mark.parametrize(
    ("text", "kind", "example"),
    [
        ("1,x", float, "0.75,1,1.5"),
        ("", float, "0.75,1,1.5"),
        ("1,inf", float, "0.75,1,1.5"),
        ("256,0", int, "256,384,512"),
        ("1.5", int, "256,384,512"),
    ],
)
def test_other_numbers_are_refused_with_an_example(text, kind, example):
    with pytest.raises(typer.BadParameter) as caught:
        options.numbers(text, kind)
    assert str(caught.value) == f"expected numbers greater than 0, separated by commas, such as {example}, got {text!r}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("own.keras: input_shape: got (30, 30, 3), but", "own.keras: --input-shape: got (30, 30, 3), but"),
        ("output_stride: expected one of 1, 2, got 7", "--output-stride: expected one of 1, 2, got 7"),
        ("w.h5: say it with --preprocess (preprocess= in Python). The", "w.h5: say it with --preprocess. The"),
        ("choose with --output-name (output= in Python): a", "choose with --output-name: a"),
        ('say activation="softmax" or activation="sigmoid"', "say --activation softmax or --activation sigmoid"),
        ("pass keep_global=True to keep it", "pass --keep-global to keep it"),
        ("not raw; leave out preprocess", "not raw; leave out --preprocess"),
        ("keep_global=True (--keep-global) keeps it", "--keep-global keeps it"),
        ("load it with preprocess=", "load it with --preprocess"),
        ("activation.keras: no such file", "activation.keras: no such file"),
        ("engine: no such file", "engine: no such file"),
        ("mean=1,std=2", "mean=1,std=2"),
    ],
)
def test_messages_name_options_and_not_arguments(text, found):
    assert options.in_words_of_options(text) == found


def test_amounts_of_memory():
    assert options.bytes_of(None) is None
    assert options.bytes_of("2GB") == 2 * 10**9
    with pytest.raises(typer.BadParameter, match=r"^--max-memory: expected .*, got 'much'"):
        options.bytes_of("much")
