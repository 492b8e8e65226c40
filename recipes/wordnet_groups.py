"""WordNet's groups of ImageNet's classes: from WordNet 3.0's nouns to `vggfcn/data/imagenet_hierarchy.tsv`."""

import dataclasses
import pathlib
from typing import Annotated

import typer

# Where Debian's package wordnet-base puts it.
NOUNS = pathlib.Path("/usr/share/wordnet/data.noun")
DATA = pathlib.Path(__file__).parent.parent / "vggfcn" / "data"
HYPERNYMS = {"@", "@i"}  # A kind of ..., and an instance of ...

app = typer.Typer(add_completion=False)


@dataclasses.dataclass(frozen=True)
class Synset:
    """Names that mean the same, the usual one first, and the WordNet ids of what it is a kind of."""

    names: tuple[str, ...]
    parents: tuple[str, ...]


def read_nouns(path: pathlib.Path) -> dict[str, Synset]:
    """The synsets of a `data.noun` by their WordNet id; the format is that of WordNet's manual page wndb(5WN)."""
    lines = path.read_text(encoding="ascii").splitlines()
    return dict(_synset(line) for line in lines if not line.startswith("  "))  # Two spaces begin the licence's lines.


def _synset(line: str) -> tuple[str, Synset]:
    """offset, file, type, number of words (hex), (word, sense) each, number of pointers, (symbol, offset, ..) each."""
    fields = line.partition(" | ")[0].split()
    words = int(fields[3], 16)
    pointers = fields[5 + 2 * words :]
    parents = [
        f"n{offset}" for symbol, offset in zip(pointers[::4], pointers[1::4], strict=True) if symbol in HYPERNYMS
    ]
    names = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * words : 2])
    return f"n{fields[0]}", Synset(names, tuple(parents))


def read_classes(path: pathlib.Path) -> dict[str, tuple[str, ...]]:
    """The names of the classes by their WordNet id, in order."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {wordnet_id: tuple(names.split(", ")) for wordnet_id, names in rows}


def disagreements(nouns: dict[str, Synset], classes: dict[str, tuple[str, ...]]) -> list[str]:
    """The WordNet ids of classes that are no nouns, or nouns of other names."""
    return [wordnet_id for wordnet_id, names in classes.items() if nouns.get(wordnet_id, Synset((), ())).names != names]


def hierarchy(nouns: dict[str, Synset], classes: dict[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """Each synset above a class, and which of its direct kinds are classes or above one: WordNet ids."""
    children: dict[str, set[str]] = {}
    waiting = list(classes)
    while waiting:
        wordnet_id = waiting.pop()
        for parent in nouns[wordnet_id].parents:
            if parent not in children:
                waiting.append(parent)
            children.setdefault(parent, set()).add(wordnet_id)
    return children


@app.command()
def write(
    nouns: Annotated[pathlib.Path, typer.Argument(help="WordNet 3.0's data.noun.")] = NOUNS,
    classes: Annotated[pathlib.Path, typer.Option(help="WordNet ids and names of the classes.")] = (
        DATA / "imagenet_classes.tsv"
    ),
    output: Annotated[pathlib.Path, typer.Option(help="The file to write.")] = DATA / "imagenet_hierarchy.tsv",
) -> None:
    """Write a line for each synset above a class: WordNet id, names, and the WordNet ids of its kinds."""
    synsets, names = read_nouns(nouns), read_classes(classes)
    if wrong := disagreements(synsets, names):
        raise SystemExit(f"{nouns}: not as in {classes}: {', '.join(wrong)}; is it WordNet 3.0?")
    rows = [
        f"{wordnet_id}\t{', '.join(synsets[wordnet_id].names)}\t{', '.join(sorted(kinds))}\n"
        for wordnet_id, kinds in sorted(hierarchy(synsets, names).items())
    ]
    output.write_text("".join(rows), encoding="utf-8")
    print(f"{len(rows)} synsets above {len(names)} classes; all classes are named as in WordNet")


if __name__ == "__main__":
    app()
