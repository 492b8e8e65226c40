"""WordNet's groups: the bundled hierarchy is sound, and each group has the classes below it as members."""

import pytest
from wordnet import DATA, classes_below, hyponyms

from vggfcn.labels.groups import Group, Synset, normalized, synsets, wordnet_groups
from vggfcn.labels.labels import imagenet_labels


@pytest.fixture(scope="module")
def kinds():
    return hyponyms()


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


def test_members_of_every_group_are_the_classes_below_it(kinds):
    names = imagenet_labels().names
    groups = wordnet_groups(names)
    assert [synset.wordnet_id for synset, _ in groups] == sorted(kinds)
    for synset, group in groups:
        assert group.members == tuple(sorted(set(group.members)))
        assert {names[index][-1] for index in group.members} == classes_below(kinds, synset.wordnet_id)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("Canis_familiaris", "canis familiaris", id="case and underscores"),
        pytest.param("  motor \t vehicle\n", "motor vehicle", id="any white space"),
        pytest.param("STRASSE", "strasse", id="case folding"),
        pytest.param("Straße", "strasse", id="case folding beyond lower case"),
        pytest.param("__", "", id="nothing else"),
    ],
)
def test_names_are_compared_without_case_underscores_and_repeated_spaces(name, expected):
    assert normalized(name) == expected


def test_a_synset_has_wordnets_names_with_spaces_and_is_shown_with_its_id():
    dog = next(synset for synset in synsets() if synset.wordnet_id == "n02084071")
    assert dog.names == ("dog", "domestic dog", "Canis familiaris")
    assert str(Synset("n1", ("dog", "domestic dog"), frozenset())) == "n1 (dog, domestic dog)"
