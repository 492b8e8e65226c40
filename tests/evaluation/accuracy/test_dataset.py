"""Labelled images: class folders, lists, and what is neither."""

import pytest

from vggfcn.errors import EvaluationError, LabelError
from vggfcn.evaluation.accuracy.dataset import SHOWN, class_index, list_images
from vggfcn.labels.labels import Labels, imagenet_labels, labels_for


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
        pytest.param("", EvaluationError, "expected a folder of images per class, or a line", id="empty"),
        pytest.param("a.png", EvaluationError, "line 1: expected a path, a tab or a space, and a class", id="no class"),
        pytest.param("a 1\nb\t\n", EvaluationError, r"line 2: .*, found 'b'", id="nothing after the tab"),
        pytest.param("a 1\n\na 2", EvaluationError, "line 3: a is already listed in line 1", id="twice"),
        pytest.param("a 1\nb 10", LabelError, "list.txt: expected classes of these weights; .*'10'", id="index"),
        pytest.param(
            "\n".join(f"{i} x{i}" for i in range(7)), LabelError, r"'x4'[^;]* \(and more\);", id="many unknown"
        ),
        pytest.param(b"\xff\xfe\x00", EvaluationError, "cannot be read", id="no text"),
    ],
)
def test_lists_that_are_refused(tmp_path, text, kind, message):
    (tmp_path / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(kind, match=message):
        list_images(tmp_path / "list.txt", labels_for(10))


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(EvaluationError, match="expected a folder of class folders or a list of images, found neither"):
        list_images(tmp_path / "gone", labels_for(10))


def test_an_image_has_one_class():
    assert class_index(imagenet_labels(), "goldfish") == 1
    with pytest.raises(LabelError, match=r"'dog' is a group of \d+ classes; expected one class"):
        class_index(imagenet_labels(), "dog")


def test_similar_names_are_looked_for_only_as_often_as_shown(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(Labels, "_suggestion", lambda self, text: looked.append(text) or "None.")
    (tmp_path / "list.txt").write_text("\n".join(f"{number} x{number}" for number in range(100)))
    with pytest.raises(LabelError, match=r"(None.*){5}"):
        list_images(tmp_path / "list.txt", labels_for(10))
    assert len(looked) == SHOWN + 1
