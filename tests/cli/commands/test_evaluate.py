"""`vggfcn evaluate`: errors counted by the original network, runs that go on, and what is refused."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner
from vgg_paper import counted
from writers import MICRO, he_arrays, write_published_layout

from vggfcn.cli import console, main
from vggfcn.evaluation.accuracy import vgg_protocol
from vggfcn.evaluation.accuracy.vgg_protocol import PROTOCOLS
from vggfcn.evaluation.loading import load
from vggfcn.networks.registry import EMBEDDED_FOLDER

TEN_DIGITS = "7210414959"


def call(*arguments):
    """Exit code, standard output, and the exception that `main` turns into a line on standard error."""
    done = CliRunner().invoke(main.app, ["evaluate", *map(str, arguments)])
    return done.exit_code, done.stdout, done.exception


@pytest.fixture
def digits(tmp_path):
    """MNIST's first ten test digits, on 46 x 40 pixels, in class folders."""
    strip = np.asarray(Image.open(EMBEDDED_FOLDER / "scenes" / "ten-digits.png"))
    folder = tmp_path / "digits"
    for index, label in enumerate(TEN_DIGITS):
        (folder / label).mkdir(parents=True, exist_ok=True)
        digit = np.pad(strip[:, 30 * index : 30 * index + 32], ((8, 6), (2, 6)))
        Image.fromarray(digit).save(folder / label / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def original():
    model = load("mnist-lenet5").build("dense")
    return lambda batch: np.asarray(model(batch))


def test_the_command_counts_what_the_original_network_gets_wrong(digits, original):
    code, said, _ = call(digits, "--weights", "mnist-lenet5", "--json")
    assert code == 0
    found = json.loads(said)
    assert (found["weights"], found["sizes"], found["images"], found["unreadable"]) == (
        "mnist-lenet5",
        [37, 55, 73],
        10,
        {},
    )
    assert [row["protocol"] for row in found["rows"]] == list(PROTOCOLS)
    wrong = counted(original, digits)
    assert [[row["top1_errors"], row["top5_errors"]] for row in found["rows"]] == wrong.tolist()
    assert [[row["top1_error"], row["top5_error"]] for row in found["rows"]] == (wrong / 10).tolist()
    assert 0 < wrong.sum() < 100


def test_the_table_and_a_list_of_the_same_images(digits, tmp_path):
    lines = [f"digits/{path.parent.name}/{path.name} {path.parent.name}" for path in digits.glob("*/*.png")]
    (tmp_path / "val.txt").write_text("\n".join(lines))
    (code, said, _), (other_code, other, _) = (
        call(source, "--weights", "mnist-lenet5") for source in (tmp_path / "val.txt", digits)
    )
    assert code == other_code == 0
    assert said == other
    assert "mnist-lenet5, 10 images" in said
    numbers = re.findall(r"^ *multi-crop and dense +37, 55, 73 +([\d.]+) +(\d+) +([\d.]+) +(\d+) *$", said, re.M)
    assert len(numbers) == 1
    assert float(numbers[0][0]) == 10 * int(numbers[0][1])


def test_a_run_that_was_killed_goes_on(digits, tmp_path, monkeypatch):
    calls, compute = [], vgg_protocol.posteriors

    def counting(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return compute(*arguments)

    options = (digits, "--weights", "mnist-lenet5", "--json", "--results")
    whole = call(*options, tmp_path / "whole.jsonl")
    monkeypatch.setattr(vgg_protocol, "posteriors", counting)
    resumed = tmp_path / "resumed.jsonl"
    assert call(*options, resumed)[0] == 130
    assert len(resumed.read_text().splitlines()) == 1 + 4
    with resumed.open("a") as file:
        file.write('{"image": "4/4.p')
    assert call(*options, resumed)[:2] == whole[:2]
    assert len(calls) == 5 + 6
    assert resumed.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert call(*options, resumed)[:2] == whole[:2]
    assert len(calls) == 5 + 6


def test_other_weights_images_scales_and_names_make_another_run(digits, tmp_path):
    options = (digits, "--weights", "mnist-lenet5", "--results", tmp_path / "r.jsonl")
    assert call(*options)[0] == 0
    before = (tmp_path / "r.jsonl").read_bytes()
    (tmp_path / "names").write_text("\n".join("0123456789"))
    (tmp_path / "other-names").write_text("\n".join("0123456798"))
    (tmp_path / "list.txt").write_text("digits/7/0.png 7\n")
    other = [
        ((*options, "--sizes", "37,55,74"), "sizes"),
        ((*options, "--labels", tmp_path / "other-names"), "labels_sha256"),
        ((tmp_path / "list.txt", *options[1:]), "images_sha256"),
    ]
    for arguments, key in other:
        code, _, error = call(*arguments)
        assert code == 1
        assert re.search(f"results of another run, with (.*; )?{key} ", str(error))
        assert (tmp_path / "r.jsonl").read_bytes() == before
    assert call(*options, "--labels", tmp_path / "names")[0] == 0
    records = [json.loads(line) for line in before.splitlines()[1:]]
    same = "".join(f"{record['image']} {record['label']}\n" for record in records)
    (digits / "list.txt").write_text(same)
    assert call(digits / "list.txt", *options[1:])[0] == 0
    (digits / "list.txt").write_text(same.replace(" 7\n", " 1\n"))
    assert "with images_sha256" in str(call(digits / "list.txt", *options[1:])[2])


def test_images_that_cannot_be_read_are_named_and_the_rest_is_evaluated(digits, tmp_path, monkeypatch):
    messages = io.StringIO()
    monkeypatch.setattr(console, "messages", console.Screen(messages))
    expected = json.loads(call(digits, "--weights", "mnist-lenet5", "--json")[1])
    (digits / "3").mkdir()
    (digits / "3" / "bad.jpg").write_bytes(b"\xff\xd8 no image")
    Image.new("L", (2, 40)).save(digits / "3" / "narrow.png")
    (digits / "3" / ".hidden").write_text("")
    options = (digits, "--weights", "mnist-lenet5", "--json", "--results", tmp_path / "r.jsonl")
    for _ in range(2):  # The second time they are tried again, and nothing else is.
        code, said, _ = call(*options)
        found = json.loads(said)
        assert code == 1
        assert found["rows"] == expected["rows"]
        assert list(found["unreadable"]) == ["3/bad.jpg", "3/narrow.png"]
        assert "3/bad.jpg: not an image" in found["unreadable"]["3/bad.jpg"]
        assert re.match(".*3/narrow.png: the image has 2 x 40 pixels", found["unreadable"]["3/narrow.png"])
    first, second, third = messages.getvalue().splitlines()[:3]
    assert re.match("vggfcn: .*2 .*could not be read", first)
    assert "3/bad.jpg: not an image" in second
    assert "3/narrow.png: the image has 2 x 40 pixels" in third


def test_every_engine_counts_the_same_errors(digits):
    ours, theirs = (
        json.loads(call(digits, "--weights", "mnist-lenet5", "--json", "--engine", name)[1])
        for name in ("tensorflow", "openvino")
    )
    assert (ours.pop("engine"), theirs.pop("engine")) == ("tensorflow", "openvino")
    assert ours == theirs


def test_top_5_of_two_classes_is_not_given(tmp_path):
    layers = he_arrays(MICRO.parameter_shapes(), np.random.default_rng(0))
    write_published_layout(tmp_path / "micro.h5", layers)
    (tmp_path / "names").write_text("cat\ndog\n")
    (tmp_path / "dog").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "dog" / "1.png")
    options = ("--weights", tmp_path / "micro.h5", "--labels", tmp_path / "names", "--sizes", "224,225,226")
    code, said, _ = call(tmp_path, *options, "--json")
    assert code == 0
    assert [row["top5_errors"] for row in json.loads(said)["rows"]] == [None] * 5
    assert re.search(r"(centre|middle) crop.* +225 +\d+\.00 +[01] +- +-", call(tmp_path, *options)[1])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(("gone",), 1, "gone: expected a folder of class folders or a list of images", id="no set"),
        pytest.param((".",), 1, r"\.: expected a folder of images per class", id="an empty folder"),
        pytest.param(
            ("l", "--sizes", "20,55,73"), 1, "ascending scales of at least 32 pixels, .* got 20, 55", id="small"
        ),
        pytest.param(("l", "--sizes", "40,50"), 1, "expected 3 ascending scales", id="two scales"),
        pytest.param(("l", "--sizes", "40,60,50"), 1, "expected 3 ascending scales", id="falling scales"),
        pytest.param(("l", "--sizes", "40;50"), 2, "", id="no numbers"),
        pytest.param(("l", "--results", "no/r"), 1, "no/r: there is no folder no", id="no folder for results"),
        pytest.param(("l", "--results", "l"), 1, "l: this is the input itself", id="results over the list"),
    ],
)
def test_what_the_command_refuses(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "l":
        (tmp_path / "l").write_text("a.png 3\n")
    found, _, error = call(*arguments, "--weights", "mnist-lenet5")
    assert found == code
    assert re.search(message, str(error))
