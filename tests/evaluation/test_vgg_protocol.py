"""Evaluation as the VGG paper does it: what is averaged where, what is counted, and that a stopped run goes on."""

import io
import json
import re

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner
from writers import MICRO, TINY, he_arrays, write_published_layout

from vggfcn.cli import console, main
from vggfcn.errors import EvaluationError, LabelError
from vggfcn.evaluation import vgg_protocol
from vggfcn.evaluation.dataset import list_images
from vggfcn.evaluation.results import Guesses, ResultsFile
from vggfcn.evaluation.vgg_protocol import PROTOCOLS, crop_posteriors, default_sizes, posteriors
from vggfcn.labels.labels import imagenet_labels, labels_for
from vggfcn.networks.classifier import load
from vggfcn.networks.registry import EMBEDDED_FOLDER

TEN_DIGITS = "7210414959"
# LeNet-5's scales if none are given.
SIZES = (37, 55, 73)


def call(*arguments):
    """Exit code, standard output, and the exception that `main` turns into a line on standard error."""
    done = CliRunner().invoke(main.app, ["evaluate", *map(str, arguments)])
    return done.exit_code, done.stdout, done.exception


def softmax(logits):
    exponentials = np.exp(np.asarray(logits, np.float64))
    return exponentials / exponentials.sum(-1, keepdims=True)


def scaled(image, size):
    """Both sides alike, the shorter one to `size`."""
    height, width = image.shape[:2]
    factor = size / min(height, width)
    return np.asarray(
        Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC)
    )


def windows(image, native, stride):
    """Every native-size window at a multiple of the stride: (windows, native, native, channels)."""
    height, width = image.shape[:2]
    tops, lefts = range(0, height - native + 1, stride), range(0, width - native + 1, stride)
    return np.stack([image[top : top + native, left : left + native] for top in tops for left in lefts])


def fifty(image, native):
    """Five rows of five crops from border to border, at the nearest pixels; then their mirror images."""
    tops, lefts = (np.floor(np.linspace(0, length - native, 5) + 0.5).astype(int) for length in image.shape[:2])
    crops = [image[top : top + native, left : left + native] for top in tops for left in lefts]
    return np.stack([*crops, *(np.fliplr(crop) for crop in crops)])


def paper(network, image, native, stride, sizes, prepare=lambda image: image):
    """The five rows by the paper's words, with a network that takes native-size windows alone and pads nothing."""
    dense, crops = [], []
    for size in sizes:
        fitted = prepare(scaled(image, size))
        sides = [windows(side, native, stride) for side in (fitted, np.fliplr(fitted))]
        dense.append(sum(softmax(network(side).mean(0)) for side in sides) / 2)
        crops.append(softmax(network(fifty(fitted, native))))
    everything = np.concatenate(crops)
    assert len(everything) == 150
    multi_scale, multi_crop = sum(dense) / 3, everything.mean(0)
    return [crops[1][12], dense[1], multi_scale, multi_crop, (multi_scale + multi_crop) / 2]


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        pytest.param((40, 40), (16, 20, 24), id="square, shrunk"),
        pytest.param((57, 23), (19, 29, 41), id="upright, enlarged"),
        pytest.param((23, 90), (16, 23, 30), id="a strip, its own size among them"),
    ],
)
def test_each_row_is_what_the_paper_says(shape, sizes):
    """The network is one linear layer on 16 x 16 pixels, so that NumPy has it in a line."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 1e-3, (16, 16, 3, 6)).astype(np.float32)
    inputs = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(6, 16, strides=4, use_bias=False)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([kernel])
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    found = posteriors(model, image, 16, sizes)
    expected = paper(lambda batch: np.einsum("nhwi,hwio->no", batch.astype(float), kernel), image, 16, 4, sizes)
    assert tuple(found) == PROTOCOLS
    for values, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-4)
        assert values.sum() == pytest.approx(1)
    # Were two rows the same here, a mistake between them would not show.
    assert np.abs(np.diff(expected, axis=0)).max(1).min() > 1e-3


def test_crops_go_through_the_original_network(tmp_path):
    layers = he_arrays(TINY.parameter_shapes(), np.random.default_rng(11))
    classifier = load(write_published_layout(tmp_path / "tiny.h5", layers))
    image = np.random.default_rng(1).integers(0, 256, (240, 261, 3), np.uint8)
    found = crop_posteriors(classifier.build("conv"), image, 224)
    original = classifier.build("dense")
    np.testing.assert_allclose(found, softmax(original.predict(fifty(image, 224), verbose=0)), rtol=1e-4)


@pytest.mark.parametrize(("native", "sizes"), [(224, (256, 384, 512)), (32, SIZES), (227, (259, 389, 519))])
def test_scales_are_the_papers_in_proportion(native, sizes):
    assert default_sizes(native) == sizes


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


def counted(original, folder):
    """(top-1, top-5) errors of each row over a folder, by the original network on windows cut by hand."""
    wrong = np.zeros((5, 2), int)
    for path in folder.glob("*/*.png"):
        image = np.asarray(Image.open(path).convert("RGB"))
        grey = lambda image: np.asarray(Image.fromarray(image).convert("L"))[..., None]  # noqa: E731
        for row, values in enumerate(paper(original, image, 32, 4, SIZES, prepare=grey)):
            label = int(path.parent.name)
            better = (values > values[label]).sum()
            wrong[row] += better >= 1, better >= 5
    return wrong


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


RUN = {"weights_sha256": "ab", "sizes": [37, 55, 73]}
RESULTS = [Guesses(f"é/{index}.png", index, {"dense": [index, 3]}) for index in range(3)]


@given(kept=st.floats(0, 1), started=st.booleans())
def test_whatever_is_left_of_a_results_file_goes_on(tmp_path_factory, kept, started):
    path = tmp_path_factory.mktemp("results") / "r.jsonl"
    with ResultsFile(path, RUN) as file:
        for guesses in RESULTS:
            file.add(guesses)
    whole = path.read_bytes()
    left = whole[: round(kept * len(whole))]
    path.write_bytes(left)
    if not started:
        path.unlink()
    with ResultsFile(path, RUN) as file:
        complete = left.count(b"\n") - 1 if started else 0
        assert list(file.done.values()) == RESULTS[: max(complete, 0)]
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[: max(complete, 0) + 1])
        for guesses in RESULTS[len(file.done) :]:
            file.add(guesses)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            b'{"weights_sha256": "cd", "sizes": [37, 55, 73]}\n',
            "are results of another run, with weights_sha256 'cd' instead of 'ab'; name another file, or remove this",
            id="of other weights",
        ),
        pytest.param(
            b'{"weights_sha256": "ab", "sizes": [1, 2, 3]}\n',
            r"of another run, with sizes \[1, 2, 3\] instead of \[37, 55, 73\]",
            id="at other scales",
        ),
        pytest.param(b"my diary\n", "expected results of `vggfcn evaluate`, found another file", id="text"),
        pytest.param(b"my diary", "expected results of `vggfcn evaluate`, found something else", id="text in one line"),
        pytest.param(b"[1]\n", "found another file", id="other JSON"),
        pytest.param(b"[" * 100_000 + b"\n", "found another file", id="JSON without end"),
        pytest.param(
            json.dumps(RUN).encode() + b'\n{"image": "a"}\n{"pict',
            "r.jsonl, line 2: expected an image, its label and the top classes",
            id="a line of something else",
        ),
        pytest.param(json.dumps(RUN).encode() + b"\n\0\n", "line 2: expected an image", id="a damaged line"),
    ],
)
def test_a_results_file_of_something_else_is_refused_and_left_alone(tmp_path, content, message):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=message):
        ResultsFile(path, RUN)
    assert path.read_bytes() == content


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
    monkeypatch.setattr(console, "messages", Console(file=messages, soft_wrap=True))
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
    assert first == "vggfcn: Skipped 2 images that could not be read:"
    assert "3/bad.jpg: not an image" in second
    assert "3/narrow.png: the image has 2 x 40 pixels" in third


def test_every_engine_counts_the_same_errors(digits):
    ours, theirs = (
        json.loads(call(digits, "--weights", "mnist-lenet5", "--json", "--engine", name)[1])
        for name in ("tensorflow", "openvino")
    )
    assert (ours.pop("engine"), theirs.pop("engine")) == ("tensorflow", "openvino")
    assert ours == theirs


def test_without_an_image_there_is_no_error_rate(tmp_path):
    (tmp_path / "list.txt").write_text("gone.png 3\n")
    code, _, error = call(tmp_path / "list.txt", "--weights", "mnist-lenet5")
    assert code == 1
    assert re.match("no image could be read; the first of 1: .*gone.png: no such file", str(error))


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
    assert re.search(r"centre crop +225 +\d+\.00 +[01] +- +-", call(tmp_path, *options)[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a.JPEG 65\nb.JPEG 970\n", [("a.JPEG", 65), ("b.JPEG", 970)], id="ImageNet's val.txt"),
        pytest.param("\ufeffn/a.png\tn02123045\r\n\r\n", [("n/a.png", 281)], id="WordNet ids, Windows lines, a tab"),
        pytest.param("a b.png\tgreat white shark\n", [("a b.png", 2)], id="blanks in both, a tab between"),
        pytest.param("a b.png   goldfish", [("a b.png", 1)], id="blanks in the path, no tab, no last line end"),
    ],
)
def test_lists(tmp_path, text, expected):
    (tmp_path / "list.txt").write_text(text, newline="")
    found = list_images(tmp_path / "list.txt", imagenet_labels())
    assert [(image.name, image.label) for image in found] == expected
    assert found[0].path == tmp_path / expected[0][0]


def test_class_folders_by_any_of_their_names(tmp_path):
    for name in ("n02123045/b.png", "n02123045/a.png", "1/c", "great white shark/d.jpg", ".git/x", "goldfish/.x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "readme.txt").write_text("")
    found = list_images(tmp_path, imagenet_labels())
    assert [(image.name, image.label) for image in found] == [
        ("1/c", 1),
        ("great white shark/d.jpg", 2),
        ("n02123045/a.png", 281),
        ("n02123045/b.png", 281),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        pytest.param("", EvaluationError, "expected images in a folder for each class, or a line", id="empty"),
        pytest.param("a.png", EvaluationError, "line 1: expected a path, a tab or a blank, and a class", id="no class"),
        pytest.param("a 1\nb\t\n", EvaluationError, r"line 2: .*, found 'b'", id="nothing after the tab"),
        pytest.param("a 1\n\na 2", EvaluationError, "line 3: a is listed in line 1 already", id="twice"),
        pytest.param("a 1\nb 10", LabelError, "list.txt: expected a class of these weights; '10' is no", id="index"),
        pytest.param("\n".join(f"{i} x{i}" for i in range(7)), LabelError, r"\(and 2 more\)", id="many unknown"),
        pytest.param(b"\xff\xfe\x00", EvaluationError, "cannot be read", id="no text"),
    ],
)
def test_lists_that_are_refused(tmp_path, text, kind, message):
    (tmp_path / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(kind, match=message):
        list_images(tmp_path / "list.txt", labels_for(10))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(("gone",), 1, "gone: expected a folder of class folders, or a list of images", id="no set"),
        pytest.param((".",), 1, r"\.: expected images in a folder for each class", id="an empty folder"),
        pytest.param(("l", "--sizes", "20,55,73"), 1, "rising scales of at least 32 pixels, .* got 20, 55", id="small"),
        pytest.param(("l", "--sizes", "40,50"), 1, "expected 3 rising scales", id="two scales"),
        pytest.param(("l", "--sizes", "40,60,50"), 1, "expected 3 rising scales", id="falling scales"),
        pytest.param(("l", "--sizes", "40;50"), 2, "", id="no numbers"),
        pytest.param(("l", "--results", "no/r"), 1, "no/r: there is no folder no", id="no folder for results"),
        pytest.param(
            ("l", "--results", "l"), 1, "l: expected results of .*, found another", id="results over the list"
        ),
    ],
)
def test_what_the_command_refuses(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "l":
        (tmp_path / "l").write_text("a.png 3\n")
    found, _, error = call(*arguments, "--weights", "mnist-lenet5")
    assert found == code
    assert re.search(message, str(error))
