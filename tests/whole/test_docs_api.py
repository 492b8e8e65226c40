"""The reference is that of the code as it is."""

import ast
import dataclasses
import inspect
import re

import api_reference
import pytest

import vggfcn
import vggfcn.errors

PAGE = api_reference.PAGE.read_text(encoding="utf-8")
# Name and signature.
ENTRY = re.compile(r"^###? `vggfcn\.(\w+)`\n\n```py\n(.*?)\n```", re.M | re.S)
ENTRIES = [pytest.param(*found, id=found[0]) for found in ENTRY.findall(PAGE)]


def test_the_page_is_what_the_script_writes():
    assert api_reference.page() == PAGE, "python recipes/api_reference.py writes it anew"


def test_every_public_name_is_on_it_once():
    assert sorted(re.findall(r"^(?:###? |- )`vggfcn\.(\w+)", PAGE, re.M)) == vggfcn.__all__


def test_every_error_is_on_it_with_what_it_is_a_kind_of():
    errors = [one for one in vars(vggfcn.errors).values() if inspect.isclass(one) and issubclass(one, Exception)]
    assert [f"- `vggfcn.{one.__name__}({one.__base__.__name__})`: {one.__doc__}" for one in errors] == re.findall(
        r"^- `vggfcn\.\w+Error\(\w+\)`: .*$", PAGE, re.M
    )


@pytest.mark.parametrize(("name", "signature"), ENTRIES)
def test_signatures_are_those_that_python_has(name, signature):
    found = getattr(vggfcn, name)
    arguments = ast.parse(f"def {signature}: ...").body[0].args
    written = [one.arg for one in (*arguments.args, *arguments.kwonlyargs)]
    parameters = inspect.signature(found).parameters
    assert written == list(parameters)
    assert [one.arg for one in arguments.kwonlyargs] == [
        one.name for one in parameters.values() if one.kind is one.KEYWORD_ONLY
    ]
    defaults = [*arguments.defaults, *(one for one in arguments.kw_defaults if one)]
    given = [one.default for one in parameters.values() if one.default is not inspect.Parameter.empty]
    assert [ast.literal_eval(one) for one in defaults] == given


@pytest.mark.parametrize(("name", "signature"), ENTRIES)
def test_nothing_public_of_a_class_is_left_out(name, signature):
    found = getattr(vggfcn, name)
    if inspect.isclass(found):
        fields = {field.name for field in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else set()
        public = {one for one in vars(found) if not one.startswith("_")} - fields
        assert set(re.findall(rf"^- `{name}\.(\w+)", PAGE, re.M)) == public
