"""Progress and status: callbacks mean the same everywhere in the package."""

import ast

import pytest
from paths import ROOT

# Parameter -> the annotations that it may have.
MEANT = {
    "progress": {"gr.Progress", "Progress", "Progress | None", "contextlib.AbstractContextManager[Progress]"},
    "status": {"Status", "Status | None"},
}


def annotated():
    """(place, parameter, annotation) of every parameter in the package that is called so."""
    for path in (ROOT / "vggfcn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for one in [*node.args, *node.kwonlyargs] if isinstance(node, ast.arguments) else []:
                if one.arg in MEANT and one.annotation:
                    yield f"{path.relative_to(ROOT)}:{one.lineno}", one.arg, ast.unparse(one.annotation)


def test_a_parameter_of_that_name_takes_that_callback():
    found = list(annotated())
    assert len(found) > 5
    assert [row for row in found if row[2].strip('"') not in MEANT[row[1]]] == []


@pytest.mark.parametrize("name", ["Progress", "Status"])
def test_each_type_is_defined_once(name):
    definitions = [
        path
        for path in (ROOT / "vggfcn").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    assert definitions == [ROOT / "vggfcn" / "progress.py"]
