"""Classes that are asked for together: WordNet's groups, groups of one's own, and the probability of any of several."""

import collections
import itertools
import json
import math
import os
import pathlib
import re

import numpy as np
import pytest
import wordnet_groups
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from paths import ROOT
from typer.testing import CliRunner

from vggfcn.errors import LabelError
from vggfcn.labels.custom_groups import read_groups
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import Labels, imagenet_labels, labels_for
from vggfcn.maps.geometry import ReceptiveField
from vggfcn.maps.score_map import ScoreMap, log_softmax
from vggfcn.networks.classifier import load

DATA = ROOT / "vggfcn" / "data"
HIERARCHY = DATA / "imagenet_hierarchy.tsv"

# WordNet's format, with a synset of ten words (0a), one of two parents, an instance, and pointers of other kinds.
NOUNS = """\
  1 This software and database is being provided to you, the LICENSEE, by  
00000001 03 n 01 entity 0 001 ~ 00000002 n 0000 | what is  
00000002 03 n 02 animal 0 living_thing 1 003 @ 00000001 n 0000 ~ 00000004 n 0000 + 00000001 v 0101 | alive | so far  
00000003 18 n 01 pet 0 002 @ 00000001 n 0000 %p 00000009 n 0000 | kept; "a @ 00000009 n 0000"  
00000004 05 n 0a dog 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 domestic_dog 0 002 @ 00000002 n 0000 @ 00000003 n 0000 | barks  
00000005 05 n 02 beagle 0 small_hound 1 002 @ 00000004 n 0000 #m 00000008 n 0000 | small  
00000006 05 n 01 Laika 0 001 @i 00000004 n 0000 | flew  
00000007 05 n 01 cat 0 001 @ 00000003 n 0000 | purrs  
00000008 14 n 01 pack 0 001 @ 00000001 n 0000 | many  
00000009 06 n 01 collar 0 001 @ 00000001 n 0000 | worn  
"""  # noqa: W291
ROWS = """\
n00000001\tentity\tn00000002, n00000003
n00000002\tanimal, living thing\tn00000004
n00000003\tpet\tn00000004
n00000004\tdog, b, c, d, e, f, g, h, i, domestic dog\tn00000005, n00000006
"""


def run_recipe(folder, classes, nouns=None):
    if nouns is None:
        nouns = folder / "data.noun"
        nouns.write_text(NOUNS)
    (folder / "classes.tsv").write_text(classes)
    arguments = [nouns, "--classes", folder / "classes.tsv", "--output", folder / "out.tsv"]
    return CliRunner().invoke(wordnet_groups.app, list(map(str, arguments)))


def test_the_recipe_reads_wordnets_format(tmp_path):
    done = run_recipe(tmp_path, "n00000006\tLaika\nn00000005\tbeagle, small hound\n")
    assert done.output.startswith("4 synsets above 2 classes")
    assert (tmp_path / "out.tsv").read_text() == ROWS


@pytest.mark.parametrize(
    "classes", ["n00000005\tbeagle\n", "n00000010\tbeagle\n"], ids=["other names", "an id that is not there"]
)
def test_the_recipe_refuses_classes_that_wordnet_has_otherwise(tmp_path, classes):
    done = run_recipe(tmp_path, f"n00000006\tLaika\n{classes}")
    assert done.exit_code == 1
    assert f"classes.tsv: {classes[:9]}; is it WordNet 3.0?" in done.output
    assert not (tmp_path / "out.tsv").exists()


def test_the_bundled_hierarchy_is_what_the_recipe_writes(tmp_path):
    nouns = pathlib.Path(os.environ.get("WORDNET", "/usr/share/wordnet")) / "data.noun"
    if not nouns.exists():
        pytest.skip("WordNet 3.0 is not on this machine: name its folder in the variable WORDNET")
    done = run_recipe(tmp_path, (DATA / "imagenet_classes.tsv").read_text(), nouns)
    assert "860 synsets above 1000 classes" in done.output
    assert (tmp_path / "out.tsv").read_bytes() == HIERARCHY.read_bytes()


@pytest.fixture(scope="module")
def kinds():
    """The bundled file, WordNet id -> ids of its kinds, read without the package."""
    rows = [line.split("\t") for line in HIERARCHY.read_text().splitlines()]
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    return {wordnet_id: below.split(", ") for wordnet_id, _, below in rows}


def test_the_hierarchy_is_of_classes_alone_without_circles_under_one_root(kinds):
    classes = {names[-1] for names in imagenet_labels().names}
    known, level = set(classes), set(classes)
    while level:  # Whatever has only known kinds becomes known: a circle never does.
        level = {synset for synset in kinds if synset not in known and known.issuperset(kinds[synset])}
        known |= level
    assert known == classes | set(kinds)
    assert not classes & set(kinds)
    below = {kind for found in kinds.values() for kind in found}
    assert (classes | set(kinds)) - below == {"n00001740"}
    assert imagenet_labels().find("entity") == Group("entity", tuple(range(1000)))


def test_wordnets_licence_comes_with_what_is_taken_from_it():
    words = " ".join((DATA / "WORDNET-LICENSE.txt").read_text().split())
    for sentence in (
        "Permission to use, copy, modify and distribute this software and database",
        "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved.",
        'THIS SOFTWARE AND DATABASE IS PROVIDED "AS IS"',
    ):
        assert sentence in words


# Told from the list of classes by eye: the first and the last of each run.
RUNS = [
    ("animal", ["tench", "puffer"]),
    ("fish", ["tench", "stingray", "barracouta", "puffer"]),
    ("bird", ["cock", "great grey owl", "black grouse", "black swan", "white stork", "albatross"]),
    ("n01627424", ["European fire salamander", "tailed frog"]),
    ("reptile", ["loggerhead", "sidewinder"]),
    ("snake", ["thunder snake", "sidewinder"]),
    ("spider", ["black and gold garden spider", "wolf spider"]),
    ("dog", ["Chihuahua", "Mexican hairless"]),
    ("terrier", ["Staffordshire bullterrier", "Lhasa"]),
    ("domestic cat", ["tabby", "Egyptian cat"]),
    ("true cat", ["tabby", "lynx"]),
    ("big cat", ["leopard", "cheetah"]),
    ("bear", ["brown bear", "sloth bear"]),
    ("insect", ["tiger beetle", "lycaenid"]),
    ("butterfly", ["admiral", "lycaenid"]),
    ("primate", ["orangutan", "indri"]),
    ("fungus", ["coral fungus", "bolete"]),
]


@pytest.mark.parametrize(("name", "ends"), RUNS, ids=[name for name, _ in RUNS])
def test_groups_that_are_runs_of_classes(name, ends):
    usual = [names[0] for names in imagenet_labels().names]
    borders = [usual.index(end) for end in ends]
    runs = zip(borders[::2], borders[1::2], strict=True)
    expected = tuple(index for first, last in runs for index in range(first, last + 1))
    assert imagenet_labels().find(name).members == expected


def test_well_known_numbers_of_classes():
    find = imagenet_labels().find
    assert find("dog").members == tuple(range(151, 269))
    assert [len(find(name).members) for name in ("dog", "bird", "animal", "retriever")] == [118, 59, 398, 5]


def closure(kinds, wordnet_id):
    """By levels, as the package does not."""
    found, level = set(), {wordnet_id}
    while level:
        found |= level - set(kinds)
        level = {kind for synset in level & set(kinds) for kind in kinds[synset]}
    return found


def test_members_of_every_group_are_the_classes_below_it(kinds):
    labels = imagenet_labels()
    for wordnet_id in kinds:
        members = labels.find(wordnet_id).members
        assert members == tuple(sorted(members))
        assert {labels.names[index][-1] for index in members} == closure(kinds, wordnet_id)
        assert len(members) == len(set(members)) > 0


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


def test_a_name_of_several_groups_is_refused_with_what_may_be_said_instead():
    message = (
        "'Car' stands for several groups of classes; say which by its WordNet id: "
        "n02958343 (car, auto, automobile, machine, motorcar) with 10; "
        "n02959942 (car, railcar, railway car, railroad car) with 2"
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
    with pytest.raises(LabelError, match=r"'dog' is no class: expected 0 to 1 or a name .* such as beagle, tabby$"):
        labels_for(2, ("beagle", "tabby")).find("dog")


def test_the_pages_figures(kinds):
    page = (ROOT / "docs" / "class-groups.md").read_text()
    labels = imagenet_labels()
    rows = re.findall(r"^\| ([a-z ]+) \| (n\d{8}) \| (\d+) \|$", page, re.M)
    assert len(rows) == 11
    for name, wordnet_id, count in rows:
        assert labels.find(name) == labels.find(wordnet_id)
        assert len(labels.find(name).members) == int(count)
    below = collections.Counter(kind for found in kinds.values() for kind in found)
    groups_of, first_of = collections.defaultdict(set), collections.defaultdict(set)
    for line in HIERARCHY.read_text().splitlines():
        wordnet_id, names, _ = line.split("\t")
        for name in names.casefold().split(", "):
            groups_of[name].add(frozenset(closure(kinds, wordnet_id)))
        first_of[names.casefold().split(", ")[0]].add(frozenset(closure(kinds, wordnet_id)))
    both = {name.casefold() for names in labels.names for name in names} & set(groups_of)
    refused = [
        name for name, found in groups_of.items() if len(found) > 1 and len(first_of[name]) != 1 and name not in both
    ]
    vehicles = labels.find("vehicle").members
    for said in (
        f"That matters for {len(both)} names",
        f"{len(refused)} of the groups' {len(groups_of)} names",
        f"there are {len(kinds)} groups, {sum(len(closure(kinds, group)) == 1 for group in kinds)} of them with one",
        f"{sum(count > 1 for count in below.values())} synsets have more than one",
        f"the {len(vehicles)} vehicles lie between {vehicles[0]} and {vehicles[-1]} in "
        f"{1 + sum(second - first > 1 for first, second in itertools.pairwise(vehicles))} runs",
    ):
        assert said in " ".join(page.split())


FIELD = ReceptiveField(224, 32, 0)
LOGITS = st.floats(-80, 80, width=32)


@settings(deadline=None)
@given(arrays.arrays(np.float32, (2, 3, 6), elements=LOGITS), st.lists(st.integers(0, 5), min_size=1))
def test_the_probability_of_any_of_several_is_the_sum_of_theirs(logits, classes):
    found = ScoreMap(logits, FIELD).log_probability(classes)
    assert (found.dtype, found.shape) == (np.float64, (2, 3))
    for row, column in np.ndindex(2, 3):
        terms = [math.exp(float(logit)) for logit in logits[row, column]]
        expected = math.fsum(terms[index] for index in set(classes)) / math.fsum(terms)
        assert math.isclose(math.exp(found[row, column]), expected, rel_tol=1e-11)


@pytest.mark.parametrize("classes", [3, (3,), [3, 3], np.int64(3), np.array([3])], ids=repr)
def test_one_class_is_exactly_as_it_was(classes):
    logits = np.random.default_rng(0).normal(0, 20, (4, 5, 6)).astype(np.float32)
    scores = ScoreMap(logits, FIELD)
    np.testing.assert_array_equal(scores.log_probability(classes), log_softmax(logits)[..., 3])


def test_probabilities_that_round_to_one_stay_apart_for_groups_too():
    logits = np.zeros((1, 2, 4), np.float32)
    logits[0, 0, :2], logits[0, 1, :2] = 50, 60
    found = ScoreMap(logits, FIELD).log_probability((0, 1))
    np.testing.assert_allclose(found, [[-math.exp(-50), -math.exp(-60)]], rtol=1e-12)
    assert (np.exp(found) == 1).all()
    assert ScoreMap(logits, FIELD).peak((0, 1)) == (0, 1)
    assert (ScoreMap(logits, FIELD).log_probability(range(4)) == 0).all()


def test_a_group_peaks_where_its_members_have_most_together():
    probabilities = np.array([[[0.6, 0.0, 0.4], [0.45, 0.35, 0.2], [0.1, 0.7, 0.2]]]) + 1e-9
    scores = ScoreMap(np.log(probabilities).astype(np.float32), FIELD)
    assert [scores.peak(classes) for classes in (0, 1, (0, 1))] == [(0, 0), (0, 2), (0, 1)]
    drawn = scores.heatmap((0, 1), 224, 288)
    np.testing.assert_allclose(drawn[100, [111, 143, 144, 176]], [0.6, 0.796875, 0.8, 0.8], atol=4e-3)


@pytest.mark.parametrize("classes", [(), 6, -1, (0, 6), (-1, 5)], ids=repr)
def test_classes_that_a_map_does_not_have(classes):
    scores = ScoreMap(np.zeros((1, 1, 6), np.float32), FIELD)
    message = f"classes: expected at least one, each from 0 to 5, got {classes}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        scores.log_probability(classes)


OWN = labels_for(6, ("car", "truck", "cat", "dog", "7", "none"))


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
def test_groups_of_ones_own(tmp_path, written, expected):
    path = tmp_path / "groups.json"
    path.write_text(json.dumps(written))
    found = read_groups(path, OWN)
    assert found == tuple(Group(name, members) for name, members in expected.items())
    labels = Labels(OWN.names, found)
    assert [labels.find(name.upper()) for name in expected] == list(found)
    assert labels.find("car").members == (0,)


def test_ones_own_groups_may_hold_wordnets_and_come_before_them(tmp_path):
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
        pytest.param('{"vehicle": ["bus"]}', "group 'vehicle': 'bus' is no class: expected 0 to 5 or", id="unknown"),
        pytest.param('{"vehicle": [6]}', "group 'vehicle': 6 is no class: expected 0 to 5", id="no such index"),
        pytest.param('{"vehicle": [-1]}', "group 'vehicle': -1 is no class: expected 0 to 5", id="from the end"),
        pytest.param(
            '{"Car": ["truck"]}', "'Car' is a class already; give the group another name", id="a class's name"
        ),
        pytest.param('{"3": ["truck"]}', "'3' is a class already", id="a class's index"),
        pytest.param('{"pet": [2], "Pet": [3]}', "'Pet' is there twice; give each group a name", id="the same name"),
        pytest.param('{"pet": ["pet", 2]}', "a group cannot be within itself, and here is 'pet' in 'pet'", id="itself"),
        pytest.param('{"a": ["b", 2], "b": ["c"], "c": ["a"]}', "here is '(a|b|c)' in '(a|b|c)' in '", id="a circle"),
    ],
)
def test_files_of_groups_that_are_refused(tmp_path, text, message):
    path = tmp_path / "groups.json"
    path.write_text(text)
    pattern = message if "(a|b|c)" in message else re.escape(message)
    with pytest.raises(LabelError, match=rf"groups\.json: .*{pattern}|groups\.json: {pattern}"):
        read_groups(path, OWN)


def test_a_circle_is_told_in_the_order_of_who_is_in_whom(tmp_path):
    path = tmp_path / "groups.json"
    path.write_text('{"inner": ["outer"], "middle": ["inner"], "outer": ["middle"]}')
    with pytest.raises(LabelError) as caught:
        read_groups(path, OWN)
    told = re.findall("'(.*?)'", str(caught.value))
    assert {*itertools.pairwise(told)} == {("inner", "middle"), ("middle", "outer"), ("outer", "inner")}


def test_a_file_of_groups_that_cannot_be_read(tmp_path):
    with pytest.raises(LabelError, match=r"gone: expected a JSON file of groups of classes, and it cannot be read"):
        read_groups(tmp_path / "gone", OWN)


def test_a_long_chain_of_groups(tmp_path):
    chain = {f"group {number}": [f"group {number + 1}"] for number in range(2000)}
    (tmp_path / "groups.json").write_text(json.dumps({**chain, "group 2000": ["cat"]}))
    assert {group.members for group in read_groups(tmp_path / "groups.json", OWN)} == {(2,)}


def test_weights_are_loaded_with_groups(tmp_path):
    path = tmp_path / "groups.json"
    path.write_text('{"round": [0, 6, 8, 9]}')
    labels = load("scene-digits", groups=path).labels
    assert labels.find("round") == Group("round", (0, 6, 8, 9))
    assert labels.background == 10
    assert load("scene-digits").labels.groups == ()
