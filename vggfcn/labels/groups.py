"""Groups of classes, and the groups that WordNet defines for ImageNet's classes."""

import dataclasses
import functools
import importlib.resources


@dataclasses.dataclass(frozen=True)
class Group:
    """A set of classes under one name: `members` are their indices, unique and ascending.

    A single class is a group with one member.
    """

    name: str
    members: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Synset:
    """A WordNet synset above some of ImageNet's classes.

    `names` are WordNet's, with spaces for underscores, the most common one first; `classes` are the WordNet ids of the
    classes below it.
    """

    wordnet_id: str
    names: tuple[str, ...]
    classes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.wordnet_id} ({', '.join(self.names)})"


def normalized(name: str) -> str:
    """A name in the form in which names are compared: lower case, with single spaces and no underscores."""
    return " ".join(name.casefold().replace("_", " ").split())


@functools.cache
def synsets() -> tuple[Synset, ...]:
    """All synsets of WordNet 3.0 that are above at least one of ImageNet's 1000 classes, by ascending WordNet id.

    A synset is above a class if it is the class's hypernym, the hypernym of that one, and so on.
    """
    table = importlib.resources.files("vggfcn") / "data" / "imagenet_hierarchy.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    hyponyms = {wordnet_id: below.split(", ") for wordnet_id, _, below in rows}

    @functools.cache
    def classes(wordnet_id: str) -> frozenset[str]:
        if wordnet_id not in hyponyms:
            return frozenset([wordnet_id])
        return frozenset().union(*map(classes, hyponyms[wordnet_id]))

    return tuple(Synset(wordnet_id, tuple(names.split(", ")), classes(wordnet_id)) for wordnet_id, names, _ in rows)


@functools.cache
def wordnet_groups(names: tuple[tuple[str, ...], ...]) -> tuple[tuple[Synset, Group], ...]:
    """The synsets above at least one of a classifier's classes, each with the group of those classes.

    `names[i]` holds the names of class i; WordNet knows the class if one of them is its WordNet id.
    """
    indices: dict[str, list[int]] = {}
    for index, own in enumerate(names):
        for name in own:
            indices.setdefault(name, []).append(index)
    groups = []
    for synset in synsets():
        members = tuple(sorted({index for wordnet_id in synset.classes for index in indices.get(wordnet_id, ())}))
        if members:
            groups.append((synset, Group(synset.names[0], members)))
    return tuple(groups)
