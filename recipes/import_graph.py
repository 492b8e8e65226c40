"""What imports what in the package, read from the sources, drawn into `ARCHITECTURE.md`: nothing is imported or run."""

import ast
import functools
import pathlib
import re
from collections.abc import Iterator, Mapping

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
# A package may import from itself and from the floors below its own; "" is the root's own modules.
FLOORS = (
    ("",),
    ("maps", "images", "labels", "checkpoints"),
    ("graph",),
    ("conversion", "engines"),
    ("networks", "exports", "streaming"),
    ("evaluation",),
    ("app",),
    ("cli",),
)
WIDTH = 118
Graph = dict[str, set[str]]


def modules_in(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Dotted name below the package -> file; a package's own name stands for its `__init__`."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports_of(source: str, package: str, modules: Mapping[str, object], *, lazy: bool = True) -> Iterator[str]:
    """The package's own modules that a source imports, and others by their full names.

    What is imported for type checking alone is left out; with `lazy=False` so is what functions import when they run.
    """
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            nodes += node.orelse
        elif lazy or not isinstance(node, ast.FunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix(f"{package}.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = (node.module or "").removeprefix(package).removeprefix(".")
            for alias in node.names:
                whole = f"{inner}.{alias.name}".strip(".")
                yield whole if whole in modules else inner


def graph_of(folder: pathlib.Path, *, lazy: bool = True) -> Graph:
    """Module -> what it imports: the package's own modules by their names below it."""
    modules = modules_in(folder)
    return {
        name: set(imports_of(path.read_text(encoding="utf-8"), folder.name, modules, lazy=lazy)) - {name, ""}
        for name, path in modules.items()
    }


def package_of(module: str) -> str:
    """The package directly below the root that a module is in; "" for the root's own modules."""
    first = module.partition(".")[0]
    return first if any(first in floor for floor in FLOORS) else ""


def arrows(graph: Graph) -> Graph:
    """Package -> the other packages that its modules import from."""
    found: Graph = {package: set() for floor in FLOORS for package in floor}
    for module, imported in graph.items():
        found[package_of(module)] |= {package_of(other) for other in imported & graph.keys()} - {package_of(module)}
    return found


def upward(graph: Graph) -> list[str]:
    """The imports that lead to another package on the same floor or a higher one."""
    height = {package: number for number, floor in enumerate(FLOORS) for package in floor}
    return [
        f"{module} imports {other}"
        for module, imported in graph.items()
        for other in sorted(imported & graph.keys())
        if package_of(other) != package_of(module) and height[package_of(other)] >= height[package_of(module)]
    ]


def longest_chain(graph: Graph) -> list[str]:
    """Modules of which each imports the next, as many as there are; raises `ValueError` if some import in a circle."""
    walked: list[str] = []

    @functools.cache
    def below(module: str) -> list[str]:
        if module in walked:
            raise ValueError(f"{module} imports itself by way of {', '.join(walked)}")
        walked.append(module)
        chains = [below(other) for other in sorted(graph[module] & graph.keys())]
        walked.pop()
        return [module, *max(chains, key=len, default=[])]

    return max((below(module) for module in sorted(graph)), key=len)


def drawing(graph: Graph) -> str:
    """The floors from top to bottom, what each package imports from, and the longest chain of imports."""
    found = arrows(graph)
    order = [package for floor in FLOORS for package in floor]
    lines = []
    for floor in reversed(FLOORS[1:]):
        for package in floor:
            below = " ".join(sorted(found[package] - {""}, key=order.index, reverse=True))
            lines.append(f"{package:11} -> {below or '(the root alone)'}")
        lines.append("")
    chain = longest_chain(graph)
    text = f"longest chain, {len(chain)} modules:"
    for number, module in enumerate(chain):
        piece = f" {module}" if number == 0 else f" -> {module}"
        if len(text.rpartition("\n")[2]) + len(piece) > WIDTH:
            text += "\n   "
        text += piece
    return "\n".join([*lines, text])


def page(text: str) -> str:
    """`ARCHITECTURE.md` with the drawing as it is now: the block of code that begins with the uppermost floor."""
    drawn = f"```text\n{drawing(graph_of(ROOT / 'vggfcn'))}\n```"
    return re.sub(rf"```text\n{FLOORS[-1][0]} .*?```", lambda _: drawn, text, flags=re.S)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
