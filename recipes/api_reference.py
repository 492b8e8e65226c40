"""The reference of all public names, from signatures and docstrings to `docs/api.md`: nothing is imported or run."""

import ast
import dataclasses
import pathlib
import re
from collections.abc import Iterator

import vggfcn

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
WIDTH = 100  # of a signature on one line

HEAD = """\
# Reference

Every public name as its docstring has it, written by `python recipes/api_reference.py`; the tests hold this page to the
code. What it is all for is said in [the other pages](README.md). Names in a signature that have no module are of the
module that is named above it.
"""
RETURNED = "What they return"
MODULES = "In modules of their own"
ERRORS = "Errors"
# Title -> what is said of the section, and (module, name) of what is in it. The functions come first, the errors last.
SECTIONS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    RETURNED: (
        "Objects to be asked: what the functions give.",
        (
            ("scoring", "ScoreMap"),
            ("checkpoints.canonical", "Weights"),
            ("engines", "Engine"),
            ("equivalence", "Equivalence"),
            ("conversion", "Conversion"),
            ("conversion_call", "LayerReport"),
            ("geometry", "Geometry"),
            ("geometry", "ReceptiveField"),
            ("geometry", "ScaledGeometry"),
            ("geometry", "ScaledField"),
        ),
    ),
    MODULES: (
        "For programs that need more of it than the functions above.",
        (
            ("streaming", "Stream"),
            ("sources", "open_source"),
            ("pretrained", "load"),
            ("pretrained", "Classifier"),
            ("labels", "Labels"),
            ("labels", "imagenet_labels"),
            ("images", "read_image"),
            ("rasters", "write_npy"),
            ("rasters", "write_tiff"),
        ),
    ),
}


# Of these nobody makes one himself, so that it does not matter how it is done.
GIVEN = ("Engine", "Weights")


@dataclasses.dataclass(frozen=True)
class Module:
    """A module's source, and its functions and classes."""

    source: str
    definitions: dict[str, ast.FunctionDef | ast.ClassDef]

    @classmethod
    def read(cls, name: str) -> "Module":
        """The module `vggfcn.<name>`."""
        source = (ROOT / "vggfcn" / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        nodes = ast.parse(source).body
        return cls(source, {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)})

    def text(self, node: ast.AST) -> str:
        """A piece of the source, on one line."""
        return " ".join((ast.get_source_segment(self.source, node) or "").split())


def page() -> str:
    """The whole page, in Markdown."""
    parts = [HEAD, *(entry("vggfcn", module, name) for name, module in sorted(vggfcn._MODULES.items()))]
    for title, (said, names) in SECTIONS.items():
        parts += [f"## {title}\n\n{said}\n", *(entry(f"vggfcn.{module}", module, name) for module, name in names)]
    parts.append(f"## {ERRORS}\n\n`from vggfcn.errors import ...`\n\n{errors()}")
    return "\n".join(parts)


def entry(where: str, module: str, name: str) -> str:
    """One function or class with all that is public of it."""
    found = Module.read(module)
    node = found.definitions[name]
    said = f"`from {where} import {name}`" if where != "vggfcn" else ""
    title = f"## `vggfcn.{name}`" if where == "vggfcn" else f"### `{name}`"
    parts = [title, said, signature(found, node), doc(node)]
    if isinstance(node, ast.ClassDef):
        parts += [member(found, name, part) for part in methods(node)]
    return "\n\n".join(filter(None, parts)) + "\n"


def signature(module: Module, node: ast.FunctionDef | ast.ClassDef) -> str:
    """How it is called, as a block of code; a class without a constructor of its own is called with its fields."""
    if isinstance(node, ast.FunctionDef):
        return called(node.name, list(parameters(module, node)), returned(module, node))
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return called(node.name, list(parameters(module, method)), "") if node.name not in GIVEN else ""
    fields = [module.text(field) for field in node.body if isinstance(field, ast.AnnAssign)]
    return called(node.name, fields, "")


def returned(module: Module, node: ast.FunctionDef) -> str:
    """The arrow and the type, if the source has one."""
    return f" -> {module.text(node.returns)}" if node.returns else ""


def called(name: str, given: list[str], returns: str) -> str:
    """`name(given) -> returns`, on one line if it is short."""
    short = f"{name}({', '.join(given)}){returns}"
    if len(short) > WIDTH:
        short = f"{name}(\n" + "".join(f"    {one},\n" for one in given) + f"){returns}"
    return f"```py\n{short}\n```"


def parameters(module: Module, node: ast.FunctionDef) -> Iterator[str]:
    """Each parameter as the source has it, and the star before those that go by name only."""
    given = node.args
    positional = [one for one in given.args if one.arg != "self"]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    for one, default in zip(positional, defaults, strict=True):
        yield parameter(module, one, default)
    if given.vararg:
        yield f"*{module.text(given.vararg)}"
    elif given.kwonlyargs:
        yield "*"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield parameter(module, one, default)
    if given.kwarg:
        yield f"**{module.text(given.kwarg)}"


def parameter(module: Module, node: ast.arg, default: ast.expr | None) -> str:
    """`name: type = default`."""
    return module.text(node) + (f" = {module.text(default)}" if default else "")


def doc(node: ast.FunctionDef | ast.ClassDef) -> str:
    """The docstring, its examples as blocks of code."""
    text = ast.get_docstring(node) or ""
    return re.sub(r"^>>> .*?(?=\n\n|\Z)", lambda found: f"```pycon\n{found[0]}\n```", text, flags=re.M | re.S)


def methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """The public methods and properties, and what makes an object callable."""
    functions = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return [part for part in functions if part.name == "__call__" or not part.name.startswith("_")]


def member(module: Module, owner: str, node: ast.FunctionDef) -> str:
    """A method or property as one entry of a list."""
    name = "" if node.name == "__call__" else f".{node.name}"
    property_ = any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)
    given = "" if property_ else f"({', '.join(parameters(module, node))})"
    said = doc(node).replace("\n", "\n  ").replace("\n  \n", "\n\n")
    return f"- `{owner}{name}{given}{returned(module, node)}`" + (f": {said}" if said else "")


def errors() -> str:
    """A list of the exceptions, each with what it is a kind of."""
    nodes = [node for node in Module.read("errors").definitions.values() if isinstance(node, ast.ClassDef)]
    return "".join(f"- `{node.name}({ast.unparse(node.bases[0])})`: {doc(node)}\n" for node in nodes)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
