"""Class names."""

import pytest

from vggfcn.errors import LabelError
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels, imagenet_labels, labels_for, read_labels


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("tabby", 281),
        ("Tabby Cat", 281),
        ("n02123045", 281),
        ("281", 281),
        (" goldfish ", 1),
        ("great white shark", 2),
        ("toilet tissue", 999),
    ],
)
def test_imagenet_classes_by_any_name(wanted, index):
    assert imagenet_labels().find(wanted) == Group(imagenet_labels()[index], (index,))


def test_imagenet_has_a_thousand_distinct_wordnet_ids():
    labels = imagenet_labels()
    assert len(labels) == 1000
    assert len({names[-1] for names in labels.names}) == 1000
    assert (labels[0], labels[207], labels[999]) == ("tench", "golden retriever", "toilet tissue")
    assert labels.background is None


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("crane", r"Several classes are called 'crane'. Choose one by its index: 134 \(n02012849\), 517 \(n03126707\)"),
        ("1000", r"Unknown class '1000'. Use an index from 0 to 999, or the name of a class or group, such as tench, goldfish"),
        ("9" * 5000, "'. Use an index from 0 to 999"),
        ("retriev", "^Unknown class 'retriev'. Did you mean retriever, golden retriever, .* or \\w+.*\?$"),
        ("Vehical", "Unknown class 'Vehical'. Did you mean vehicle,"),
        ("-1", "Unknown class '-1'. Use an index"),
        ("", "Unknown class ''. Use an index from 0 to 999, or the name of a class or group, such as tench"),
    ],
)
def test_unknown_and_ambiguous_names(wanted, message):
    with pytest.raises(LabelError, match=message):
        imagenet_labels().find(wanted)


def test_labels_of_other_weights():
    digits = labels_for(11, (*"0123456789", "none"))
    assert (digits.find("7").members, digits.find("None").members, digits.background) == ((7,), (10,), 10)
    assert labels_for(3)[2] == "class 2"
    assert labels_for(1000) == imagenet_labels()


def test_names_come_before_indices_and_a_group_of_ones_own_is_suggested():
    labels = Labels((("2",), ("3",), ("snake_case",)), (Group("small", (0, 1)),))
    assert [labels.find(wanted).members for wanted in ("2", "3", "0", "Snake Case")] == [(0,), (1,), (0,), (2,)]
    with pytest.raises(LabelError, match=r"^Unknown class 'smal'. Did you mean small\?$"):
        labels.find("smal")


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\n",
        "\ufeffcat\r\ndog",
        '["cat", "dog"]',
        '{"1": "dog", "0": "cat"}',
        '{"dog": 1, "cat": 0}',
        '{"0": ["n02121620", "cat"], "1": ["n02084071", "dog"]}',
    ],
    ids=["lines", "Windows lines", "list", "by index", "by name", "as Keras has ImageNet's"],
)
def test_names_of_ones_own(tmp_path, text):
    (tmp_path / "names").write_bytes(text.encode())
    assert read_labels(tmp_path / "names") == ("cat", "dog")


@pytest.mark.parametrize("text", ["[1, 2]", '{"0": "cat", "2": "dog"}', '{"0": []}', "[", '{"cat": 0, "dog": 5}'])
def test_names_that_are_none(tmp_path, text):
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(LabelError, match=r"names.json: expected JSON such as"):
        read_labels(tmp_path / "names.json")


def test_names_that_cannot_be_read(tmp_path):
    (tmp_path / "names").write_bytes(b"\xff\xfe\x00")
    for name in ("names", "gone"):
        with pytest.raises(LabelError, match=f"{name}: cannot be read .*; expected a text or JSON file of class names"):
            read_labels(tmp_path / name)


def test_names_must_be_as_many_as_classes():
    with pytest.raises(LabelError, match="expected 3 class names, one for each class of the weights, found 2"):
        labels_for(3, ("cat", "dog"))
