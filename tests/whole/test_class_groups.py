"""Groups of classes from recipe to weights: WordNet's format, the bundled file, the page's numbers, loaded groups."""

import collections
import itertools
import os
import pathlib
import re

import pytest
import wordnet_groups
from paths import ROOT
from typer.testing import CliRunner
from wordnet import DATA, HIERARCHY, classes_below, hyponyms

from vggfcn.evaluation.loading import load
from vggfcn.labels.groups import Group
from vggfcn.labels.labels import imagenet_labels

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


def test_the_pages_numbers():
    kinds = hyponyms()
    page = (ROOT / "docs" / "class-groups.md").read_text()
    labels = imagenet_labels()
    rows = re.findall(r"^\| ([a-z ]+) \| (n\d{8}) \| (\d+) \|$", page, re.M)
    assert len(rows) == 11
    for name, wordnet_id, count in rows:
        assert labels.find(name) == labels.find(wordnet_id)
        assert len(labels.find(name).members) == int(count)
    below = collections.Counter(kind for found in kinds.values() for kind in found)
    groups_of, first_of = collections.defaultdict(set), collections.defaultdict(set)
    for line in HIERARCHY.read_text("utf-8").splitlines():
        wordnet_id, names, _ = line.split("\t")
        for name in names.casefold().split(", "):
            groups_of[name].add(frozenset(classes_below(kinds, wordnet_id)))
        first_of[names.casefold().split(", ")[0]].add(frozenset(classes_below(kinds, wordnet_id)))
    both = {name.casefold() for names in labels.names for name in names} & set(groups_of)
    refused = [
        name for name, found in groups_of.items() if len(found) > 1 and len(first_of[name]) != 1 and name not in both
    ]
    vehicles = labels.find("vehicle").members
    single = sum(len(classes_below(kinds, group)) == 1 for group in kinds)
    for said in (
        f"That matters for {len(both)} names",
        f"{len(refused)} of the groups' {len(groups_of)} names",
        f"there are {len(kinds)} groups, {single} of them with one",
        f"{sum(count > 1 for count in below.values())} synsets have more than one",
        f"the {len(vehicles)} vehicles lie between {vehicles[0]} and {vehicles[-1]} in "
        f"{1 + sum(second - first > 1 for first, second in itertools.pairwise(vehicles))} runs",
    ):
        assert said in " ".join(page.split())


def test_weights_are_loaded_with_groups(tmp_path):
    path = tmp_path / "groups.json"
    path.write_text('{"round": [0, 6, 8, 9]}')
    labels = load("scene-digits", groups=path).labels
    assert labels.find("round") == Group("round", (0, 6, 8, 9))
    assert labels.background == 10
    assert load("scene-digits").labels.groups == ()
