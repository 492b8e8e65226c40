"""The public names: what a person, an editor and a type checker see of `import vggfcn`."""

import ast
import importlib.metadata
import inspect
import pydoc
import subprocess
import sys

import pytest
from paths import ROOT

import vggfcn
import vggfcn.errors


def seen_by_type_checkers():
    """Public name -> module, of the imports under `if TYPE_CHECKING`."""
    tree = ast.parse((ROOT / "vggfcn" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.asname: node.module for node in block.body for alias in node.names if alias.name == alias.asname}


def test_type_checkers_see_the_names_that_python_sees():
    assert seen_by_type_checkers() == {name: f"vggfcn.{module}" for name, module in vggfcn._MODULES.items()}


def test_every_public_name_is_what_it_says():
    assert vggfcn.__all__ == sorted(vggfcn.__all__)
    for name in vggfcn.__all__:
        found = getattr(vggfcn, name)
        assert getattr(found, "__name__", name) == name
        assert not callable(found) or found.__doc__, name


def test_no_module_hides_a_public_name():
    """A submodule that is imported becomes an attribute of its package, whatever the package's own `__getattr__`."""
    modules = {path.stem for path in (ROOT / "vggfcn").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(vggfcn.__all__)


def test_every_exception_is_public():
    errors = {name for name, one in vars(vggfcn.errors).items() if inspect.isclass(one) and issubclass(one, Exception)}
    assert errors <= set(vggfcn.__all__)


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'vggfcn' has no attribute 'biuld'"):
        vggfcn.biuld  # noqa: B018


def test_the_version_is_that_of_the_installed_package():
    assert vggfcn.__version__ == importlib.metadata.version("vggfcn")


def test_tab_completion_shows_every_name():
    assert {*vggfcn.__all__, "__version__"} <= set(dir(vggfcn))


def test_help_shows_every_name_and_signatures():
    text = pydoc.render_doc(vggfcn, renderer=pydoc.plaintext)
    assert [name for name in vggfcn.__all__ if f"\n    {name}(" not in text and f"\n    class {name}" not in text] == [
        name for name in vggfcn.__all__ if not callable(getattr(vggfcn, name))
    ]
    assert "max_memory: 'int | str | None' = None" in text or "max_memory: int | str | None = None" in text


def test_importing_the_package_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import vggfcn; dir(vggfcn); print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed = set(sys.stdlib_module_names)
    assert {name.partition(".")[0] for name in done.stdout.split()} - allowed == {"vggfcn"}
