"""The bundled hierarchy of WordNet, read without the package."""

from paths import ROOT

DATA = ROOT / "vggfcn" / "data"
HIERARCHY = DATA / "imagenet_hierarchy.tsv"


def hyponyms():
    """WordNet id -> ids of the direct hyponyms."""
    rows = [line.split("\t") for line in HIERARCHY.read_text("utf-8").splitlines()]
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    return {wordnet_id: below.split(", ") for wordnet_id, _, below in rows}


def classes_below(kinds, wordnet_id):
    """The WordNet ids of the classes below a synset, found level by level, unlike in the package."""
    found, level = set(), {wordnet_id}
    while level:
        found |= level - set(kinds)
        level = {kind for synset in level & set(kinds) for kind in kinds[synset]}
    return found
