"""Classes that are asked for together, and the groups that WordNet makes of ImageNet's classes."""

import dataclasses
import functools
import importlib.resources


@dataclasses.dataclass(frozen=True)
class Group:
    """Classes that are asked for together: `members` are indices, each once, ascending. One class is a group of one."""

    name: str
    members: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Synset:
    """A WordNet synset above ImageNet's classes: its names, the usual one first; the WordNet ids of classes below it.

    Names are as WordNet has them, with spaces for underscores.
    """

    wordnet_id: str
    names: tuple[str, ...]
    classes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.wordnet_id} ({', '.join(self.names)})"


def normalized(name: str) -> str:
    """What two ways of writing a name have in common: case and underscores for spaces do not matter."""
    return " ".join(name.casefold().replace("_", " ").split())


@functools.cache
def synsets() -> tuple[Synset, ...]:
    """Every synset of WordNet 3.0 that is above at least one of ImageNet's 1000 classes, by ascending WordNet id.

    "Above" is a hypernym, or a hypernym's hypernym and so on; a synset may have several.
    """
    table = importlib.resources.files("vggfcn") / "data" / "imagenet_hierarchy.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    kinds = {wordnet_id: below.split(", ") for wordnet_id, _, below in rows}

    @functools.cache
    def classes(wordnet_id: str) -> frozenset[str]:
        if wordnet_id not in kinds:
            return frozenset([wordnet_id])
        return frozenset().union(*map(classes, kinds[wordnet_id]))

    return tuple(Synset(wordnet_id, tuple(names.split(", ")), classes(wordnet_id)) for wordnet_id, names, _ in rows)


@functools.cache
def wordnet_groups(names: tuple[tuple[str, ...], ...]) -> tuple[tuple[Synset, Group], ...]:
    """The synsets above at least one of a classifier's classes, and which classes that are.

    `names[i]` holds the names of class i; one of them is the class's WordNet id if WordNet is to know the class.
    """
    found = []
    for synset in synsets():
        members = tuple(index for index, own in enumerate(names) if not synset.classes.isdisjoint(own))
        if members:
            found.append((synset, Group(synset.names[0], members)))
    return tuple(found)
