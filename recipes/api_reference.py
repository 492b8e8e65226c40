"""The reference of all public names, from signatures and docstrings to `docs/api.md`: nothing is imported or run."""

import ast
import dataclasses
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import vggfcn

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
WIDTH = 100  # of a signature on one line

HEAD = """\
# Reference

Every public name: `import vggfcn`, then `vggfcn.name`. `python recipes/api_reference.py` writes this page from the
docstrings, and the tests hold it to the code. [The other pages](README.md) explain what it is all for.
"""
CLASSES = "What the functions take and return."
DATA = "Values that do not change."
ERRORS = "All are `vggfcn.VGGFCNError`, so that one `except` catches them."


# Of these nobody makes one himself, so that it does not matter how it is done.
GIVEN = ("Engine", "ImageSource", "Weights")


@dataclasses.dataclass(frozen=True)
class Module:
    """A module's source, and its functions, classes and constants."""

    source: str
    definitions: dict[str, Any]
    origins: dict[str, str]  # name -> the module of vggfcn that it is imported from

    @classmethod
    def read(cls, name: str) -> "Module":
        """The module `vggfcn.<name>`."""
        source = (ROOT / "vggfcn" / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        nodes = ast.parse(source).body
        found = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        constants = {ast.unparse(node.targets[0]): node for node in nodes if isinstance(node, ast.Assign)}
        imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "")[:7] == "vggfcn."]
        origins = {alias.name: str(node.module)[7:] for node in imports for alias in node.names}
        return cls(source, found | constants, origins)

    def comment(self, name: str) -> str:
        """What the line of comment above a constant says."""
        above = self.source.splitlines()[self.definitions[name].lineno - 2]
        return above.removeprefix("# ")

    def value(self, node: ast.expr) -> str:
        """The source of a value; that of a constant's value in place of its name."""
        if not isinstance(node, ast.Name):
            return self.text(node)
        if node.id in self.definitions:
            return self.value(self.definitions[node.id].value)
        return Module.read(self.origins[node.id]).value(node)

    def text(self, node: ast.AST) -> str:
        """A piece of the source, on one line."""
        return " ".join((ast.get_source_segment(self.source, node) or "").split())


def page() -> str:
    """The whole page, in Markdown."""
    found = {name: Module.read(module) for name, module in sorted(vggfcn._MODULES.items()) if module != "errors"}
    kinds: dict[type, list[str]] = {ast.FunctionDef: [], ast.ClassDef: [], ast.Assign: []}
    for name, module in found.items():
        kinds[type(module.definitions[name])].append(name)
    functions, classes, data = kinds.values()
    return "\n".join(
        [
            HEAD,
            *(entry(found[name], name) for name in functions),
            f"## Classes\n\n{CLASSES}\n",
            *(entry(found[name], name, "###") for name in classes),
            f"## Data\n\n{DATA}\n",
            "".join(f"- `vggfcn.{name}`: {found[name].comment(name)}\n" for name in data),
            f"## Errors\n\n{ERRORS}\n\n{errors()}",
        ]
    )


def entry(module: Module, name: str, heading: str = "##") -> str:
    """One function or class with all that is public of it."""
    node = module.definitions[name]
    parts = [f"{heading} `vggfcn.{name}`", signature(module, node), doc(node)]
    if isinstance(node, ast.ClassDef):
        parts += [member(module, name, part) for part in methods(node)]
    return "\n\n".join(filter(None, parts)) + "\n"


def signature(module: Module, node: ast.FunctionDef | ast.ClassDef) -> str:
    """How it is called, as a block of code; a class without a constructor of its own is called with its fields."""
    if isinstance(node, ast.FunctionDef):
        return called(node.name, list(parameters(module, node)), returned(module, node))
    if node.name in GIVEN:
        return ""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return called(node.name, list(parameters(module, method)), "")
    return called(node.name, list(fields(module, node)), "")


def fields(module: Module, node: ast.ClassDef) -> Iterator[str]:
    """A dataclass's fields, those of the class that it extends first."""
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in module.origins:
            other = Module.read(module.origins[base.id])
            yield from fields(other, other.definitions[base.id])
    for field in node.body:
        if isinstance(field, ast.AnnAssign):
            default = f" = {module.value(field.value)}" if field.value else ""
            yield f"{module.text(field.target)}: {module.text(field.annotation)}{default}"


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
    return module.text(node) + (f" = {module.value(default)}" if default else "")


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
    return "".join(f"- `vggfcn.{node.name}({ast.unparse(node.bases[0])})`: {doc(node)}\n" for node in nodes)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
