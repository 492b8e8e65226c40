"""The user's own groups: members by name, index or group, and files that are refused."""

import itertools
import json
import re
import time

import numpy as np
import pytest

from vggfcn.errors import LabelError
from vggfcn.labels.custom_groups import groups_from, read_groups
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels, imagenet_labels, labels_for

SIX = labels_for(6, ("car", "truck", "cat", "dog", "7", "none"))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param({"vehicle": ["car", "truck"]}, {"vehicle": (0, 1)}, id="by name"),
        pytest.param({"vehicle": [1, "0", "TRUCK"]}, {"vehicle": (0, 1)}, id="by index, ascending, each once"),
        pytest.param({"odd": ["7"], "even": [4]}, {"odd": (4,), "even": (4,)}, id="a numeral that is a name"),
        pytest.param(
            {"all": ["Moving_things", "pet"], "pet": ["cat", "dog"], "moving things": ["car", "pet"]},
            {"all": (0, 2, 3), "pet": (2, 3), "moving things": (0, 2, 3)},
            id="groups of groups that come later",
        ),
        pytest.param({}, {}, id="none"),
    ],
)
def test_groups_from_a_file(tmp_path, written, expected):
    path = tmp_path / "groups.json"
    path.write_text(json.dumps(written))
    found = read_groups(path, SIX)
    assert found == tuple(Group(name, members) for name, members in expected.items())
    labels = Labels(SIX.names, found)
    assert [labels.find(name.upper()) for name in expected] == list(found)
    assert labels.find("car").members == (0,)


def test_groups_may_contain_wordnets_and_come_before_them(tmp_path):
    path = tmp_path / "groups.json"
    path.write_text('\ufeff{"pet": ["dog", "domestic cat", "goldfish"], "cat": ["true cat"], "both": ["cat", "tench"]}')
    labels = Labels(imagenet_labels().names, read_groups(path, imagenet_labels()))
    assert labels.find("pet").members == (1, *range(151, 269), *range(281, 286))
    assert labels.find("cat").members == tuple(range(281, 288))
    assert labels.find("both").members == (0, *range(281, 288))
    assert labels.find("dog").members == tuple(range(151, 269))


SHAPE = 'expected JSON such as {"vehicle": ["car", "truck", 5]}: the name of each group and a list of its members'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("vehicle: car", SHAPE, id="no JSON"),
        pytest.param('["car"]', SHAPE, id="a list"),
        pytest.param('{"vehicle": "car"}', SHAPE, id="a name for a list"),
        pytest.param('{"vehicle": {"car": [0]}}', SHAPE, id="an object for a list"),
        pytest.param('{"vehicle": [true]}', SHAPE, id="a truth value"),
        pytest.param('{"vehicle": [0.0]}', SHAPE, id="a fraction"),
        pytest.param("[" * 100_000, SHAPE, id="too deep"),
        pytest.param('{"vehicle": [' + "9" * 5000 + "]}", SHAPE, id="a number too long to read"),
        pytest.param('{"vehicle": []}', "group 'vehicle': expected at least one member, found none", id="empty"),
        pytest.param(
            '{"vehicle": ["bus"]}', "group 'vehicle': Unknown class 'bus'. Use an index from 0 to 5, or", id="unknown"
        ),
        pytest.param(
            '{"vehicle": [6]}', "group 'vehicle': Unknown class 6. Use an index from 0 to 5", id="no such index"
        ),
        pytest.param(
            '{"vehicle": [-1]}', "group 'vehicle': Unknown class -1. Use an index from 0 to 5", id="from the end"
        ),
        pytest.param(
            '{"Car": ["truck"]}',
            "'Car' is already the name or index of a class; give the group another name",
            id="a class's name",
        ),
        pytest.param('{"3": ["truck"]}', "'3' is already the name or index of a class", id="a class's index"),
        pytest.param(
            '{"pet": [2], "Pet": [3]}',
            "several groups are called 'Pet'; give each group its own name",
            id="the same name",
        ),
        pytest.param('{"pet": ["pet", 2]}', "a group cannot contain itself: 'pet' is in 'pet'", id="itself"),
        pytest.param(
            '{"a": ["b", 2], "b": ["c"], "c": ["a"]}', "itself: '(a|b|c)' is in '(a|b|c)', which is in '", id="a circle"
        ),
    ],
)
def test_files_of_groups_that_are_refused(tmp_path, text, message):
    path = tmp_path / "groups.json"
    path.write_text(text)
    pattern = message if "(a|b|c)" in message else re.escape(message)
    with pytest.raises(LabelError, match=rf"groups\.json: .*{pattern}|groups\.json: {pattern}"):
        read_groups(path, SIX)


def test_groups_in_python():
    """A range, or indices of NumPy, mean what the same numbers mean in a file."""
    groups = groups_from({"a": range(2), "b": np.array([2, 3]), "c": ("a", np.int64(5))}, SIX)
    assert [(group.name, group.members) for group in groups] == [("a", (0, 1)), ("b", (2, 3)), ("c", (0, 1, 5))]


@pytest.mark.parametrize("members", ["12", b"12", {"1": 2}, 3, None, [None], [2.0], [True], [[1]]], ids=repr)
def test_groups_in_python_that_are_refused(members):
    with pytest.raises(LabelError, match="expected JSON such as"):
        groups_from({"a": members}, labels_for(4, tuple("1234")))


def test_a_circle_is_listed_from_the_inside_out(tmp_path):
    path = tmp_path / "groups.json"
    path.write_text('{"inner": ["outer"], "middle": ["inner"], "outer": ["middle"]}')
    with pytest.raises(LabelError) as caught:
        read_groups(path, SIX)
    listed = re.findall("'(.*?)'", str(caught.value))
    assert {*itertools.pairwise(listed)} == {("inner", "middle"), ("middle", "outer"), ("outer", "inner")}


def test_a_file_of_groups_that_cannot_be_read(tmp_path):
    with pytest.raises(LabelError, match=r"gone: cannot be read \(.*\); expected a JSON file of groups of classes"):
        read_groups(tmp_path / "gone", SIX)


def test_a_chain_of_groups_longer_than_pythons_stack(tmp_path):
    chain = {f"group {number}": [f"group {number + 1}"] for number in range(1200)}
    (tmp_path / "groups.json").write_text(json.dumps({**chain, "group 1200": ["cat"]}))
    assert {group.members for group in read_groups(tmp_path / "groups.json", SIX)} == {(2,)}


@pytest.mark.parametrize("member", ["cat", "g 0"], ids=["a class", "a group"])
def test_the_time_for_groups_grows_with_their_number(member):
    """With the square of it, 20,000 would take a minute."""
    started = time.process_time()
    groups = groups_from({"g 0": [2], **{f"g {number}": [member] for number in range(1, 20_000)}}, SIX)
    assert time.process_time() - started < 5
    assert {group.members for group in groups} == {(2,)}


def test_an_unknown_member_brings_the_names_of_all_groups_to_mind():
    with pytest.raises(LabelError, match=r"group 'a': Unknown class 'vehicel'\. Did you mean vehicle\?"):
        groups_from({"a": ["vehicel"], "vehicle": ["car"]}, SIX)
