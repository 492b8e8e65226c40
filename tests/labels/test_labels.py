"""Finding classes and groups by name, and class names from files."""

import re
import time

import numpy as np
import pytest

from vggfcn.errors import LabelError
from vggfcn.labels import labels as module
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels, imagenet_labels, labels_for, names_from, read_labels


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
    ("wanted", "name", "count"),
    [
        pytest.param("n02084071", "dog", 118, id="WordNet id"),
        pytest.param(" DOG ", "dog", 118, id="any case"),
        pytest.param("Canis familiaris", "dog", 118, id="any of the names"),
        pytest.param("musical_instrument", "musical instrument", 26, id="underscores"),
        pytest.param("motor  vehicle", "motor vehicle", 22, id="two spaces"),
        pytest.param("tiger_cat", "tiger cat", 1, id="a class with underscores"),
        pytest.param("brass", "brass", 1, id="a class before a group"),
        pytest.param("Cat", "cat", 7, id="the group that has it for its first name"),
        pytest.param("n02891788", "brass", 3, id="the group of that name by its id"),
    ],
)
def test_groups_and_classes_by_name(wanted, name, count):
    found = imagenet_labels().find(wanted)
    assert (found.name, len(found.members)) == (name, count)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("crane", r"Several classes are called 'crane'. Choose one by its index: 134 \(n02012849\), 517 \(n03126707\)"),
        ("1000", "Unknown class '1000'. Use an index from 0 to 999, or .* a class or group, such as tench, goldfish"),
        ("9" * 5000, "'. Use an index from 0 to 999"),
        (
            "retriev",
            r"^Unknown class 'retriev'\. Did you mean retriever, golden retriever, .* or curly-coated retriever\?$",
        ),
        ("Vehical", "Unknown class 'Vehical'. Did you mean vehicle,"),
        ("-1", "Unknown class '-1'. Use an index"),
        ("", "Unknown class ''. Use an index from 0 to 999, or the name of a class or group, such as tench"),
    ],
)
def test_unknown_and_ambiguous_classes(wanted, message):
    with pytest.raises(LabelError, match=message):
        imagenet_labels().find(wanted)


def test_a_name_of_several_groups_is_refused_with_their_ids():
    message = (
        "Several groups are called 'Car'. Choose one by its WordNet id: "
        "n02958343 (car, auto, automobile, machine, motorcar): 10 classes; "
        "n02959942 (car, railcar, railway car, railroad car): 2 classes"
    )
    with pytest.raises(LabelError, match=f"^{re.escape(message)}$"):
        imagenet_labels().find("Car")


@pytest.mark.parametrize(
    ("ids", "wanted", "members"),
    [
        pytest.param(["n02123045", "n02123159"], "cat", (0, 1), id="only one of two groups has any class"),
        pytest.param(["n02085620", "n07711569"], "food", (1,), id="two groups have the same class"),
        pytest.param(["n02088364", "none", "n02085620"], "dog", (0, 2), id="some classes are WordNet's"),
    ],
)
def test_wordnets_groups_of_a_part_of_its_classes(ids, wanted, members):
    assert labels_for(len(ids), tuple(ids)).find(wanted).members == members


def test_classes_without_wordnet_ids_are_in_no_group_of_wordnets():
    with pytest.raises(LabelError, match=r"^Unknown class 'dog'. Use an index from 0 to 1, .* such as beagle, tabby$"):
        labels_for(2, ("beagle", "tabby")).find("dog")


def test_labels_of_other_weights():
    digits = labels_for(11, (*"0123456789", "none"))
    assert (digits.find("7").members, digits.find("None").members, digits.background) == ((7,), (10,), 10)
    assert labels_for(3)[2] == "class 2"
    assert labels_for(1000) == imagenet_labels()


def test_names_come_before_indices_and_the_users_groups_are_suggested():
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
    ids=["lines", "Windows lines", "list", "by index", "by name", "as Keras stores ImageNet's"],
)
def test_names_from_a_file(tmp_path, text):
    (tmp_path / "names").write_bytes(text.encode())
    assert read_labels(tmp_path / "names") == ("cat", "dog")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "[1, 2]",
            '{"0": "cat", "2": "dog"}',
            '{"0": []}',
            "[",
            '{"cat": 0, "dog": 5}',
            '{"cat": true, "dog": false}',
        ),
        *('{"0": "cat", "0": "dog"}', '{"cat": 0, "cat": 1, "dog": 0}', '{"cat": 0, "dog": 0, "cow": 1}'),
    ],
)
def test_files_without_names(tmp_path, text):
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(LabelError, match=r"names.json: expected JSON such as"):
        read_labels(tmp_path / "names.json")


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(["cat", "dog"], id="list"),
        pytest.param((name for name in ("cat", "dog")), id="generator"),
        pytest.param(np.array(["cat", "dog"]), id="array"),
        pytest.param({"dog": 1, "cat": 0}, id="class_indices of Keras"),
        pytest.param({"dog": np.int64(1), "cat": np.int64(0)}, id="indices of NumPy"),
        pytest.param({1: "dog", 0: "cat"}, id="names by index"),
    ],
)
def test_names_in_python(given):
    assert names_from(given) == ("cat", "dog")


def test_numbers_are_names_too():
    assert names_from(range(3)) == names_from({"2": 2, "1": 1, "0": 0}) == ("0", "1", "2")


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"cat", "dog"}, id="a set"),
        pytest.param(b"cat", id="bytes"),
        pytest.param([None, "cat"], id="none"),
        pytest.param([["n1", "cat"], ["n2", "dog"]], id="pairs"),
        pytest.param({"cat": 0, "dog": 2}, id="an index left out"),
        pytest.param({"cat": 0, "dog": 0}, id="one index for two"),
        pytest.param({0: 1, 1: 0}, id="numbers for numbers"),
        pytest.param({True: "cat"}, id="an index that does not begin with 0"),
        pytest.param(3, id="a number"),
    ],
)
def test_names_in_python_that_are_refused(given):
    with pytest.raises(LabelError, match=r'^labels: expected names such as \["cat", "dog"\], or a mapping'):
        names_from(given)


def test_names_that_cannot_be_read(tmp_path):
    with pytest.raises(LabelError, match=r"gone: cannot be read .*; expected a text or JSON file of class names"):
        read_labels(tmp_path / "gone")


def test_names_must_be_as_many_as_classes():
    with pytest.raises(LabelError, match="expected 3 class names, one for each class of the weights, found 2"):
        labels_for(3, ("cat", "dog"))


@pytest.mark.parametrize(
    ("names", "background"),
    [(("not cat", "cat"), 0), (("cat", "not cat"), None), (("not cat", "dog"), None), (("not a", "a", "b"), None)],
)
def test_not_x_is_the_background_of_x(names, background):
    assert labels_for(len(names), names).background == background


def test_the_time_for_names_grows_with_their_number():
    """With the square of it, or with each synset of WordNet, this would take minutes."""
    groups = tuple(Group(f"group {index}", (index,)) for index in range(100_000))
    labels = Labels(tuple((f"name {index}",) for index in range(100_000)), groups)
    started = time.process_time()
    assert all(labels.find(f"name {index}").members == (index,) for index in range(100_000))
    assert all(labels.find(f"group {index}").members == (index,) for index in range(100_000))
    with pytest.raises(LabelError, match="Unknown class 'zebra'"):
        labels.find("zebra")
    assert time.process_time() - started < 10


def test_spelling_is_compared_with_the_first_names_only(monkeypatch):
    monkeypatch.setattr(module, "COMPARED", 2)
    labels = labels_for(3, ("cat", "goldfish", "elephant"))
    with pytest.raises(LabelError, match=r"Did you mean goldfish\?"):
        labels.find("goldfsh")
    with pytest.raises(LabelError, match="Use an index"):
        labels.find("elefant")


@pytest.mark.parametrize(("length", "suggested"), [(99, True), (100, False)])
def test_spelling_is_not_compared_for_long_names(length, suggested):
    with pytest.raises(LabelError) as caught:
        labels_for(2, ("x" * 99 + "y", "cat")).find("x" * length + "z")
    assert ("Did you mean" in str(caught.value)) == suggested


def test_the_first_of_the_groups_of_one_name_has_it():
    assert Labels((("a",), ("b",)), (Group("one", (0,)), Group("One", (1,)))).find("ONE").members == (0,)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_names_in_another_encoding(encoding, tmp_path):
    (tmp_path / "names.txt").write_text("Bär\nKatze\n", encoding=encoding)
    with pytest.raises(LabelError, match=r"names.txt: is not UTF-8 text; save it as UTF-8"):
        read_labels(tmp_path / "names.txt")
