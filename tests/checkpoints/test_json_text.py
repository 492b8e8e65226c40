"""JSON of weight files is what Python's parser makes of it, within limits."""

import json
import pathlib

import pytest

from vggfcn.checkpoints.budget import OBJECTS, ROOM, TEXT, Budget
from vggfcn.checkpoints.json_text import MAX_DEPTH, parse
from vggfcn.errors import WeightsError

VALUE = {"a": [1, 2.5, None, {"b": "\xe9[{,"}], "c": []}


def budget():
    return Budget(pathlib.Path("w.bin"), 0)


@pytest.mark.parametrize("text", [json.dumps(VALUE), json.dumps(VALUE).encode(), json.dumps(VALUE).encode("utf-16")])
def test_reads_json(text):
    assert parse(budget(), text, "it") == VALUE


def test_counts_what_it_will_make():
    spent = budget()
    parse(spent, "[{}, [1, 2]]", "it")
    assert OBJECTS - spent.objects == 1 + 3 + 2  # the text, three containers and two commas
    assert ROOM - spent.bytes == len("[{}, [1, 2]]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[1,", r"it is not valid JSON \(Expecting value: line 1 column 4 .char 3.\); download", id="cut"),
        pytest.param(b"\xff\xfe\xff", "it is not valid JSON", id="bytes that are no text"),
        pytest.param("[" * 100_000, "it is not valid JSON", id="too deep for the parser"),
        pytest.param("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "it is nested over 200 levels deep", id="too deep"),
        pytest.param('{"a":' * 201 + "1" + "}" * 201, "it is nested over 200 levels deep", id="objects too deep"),
        pytest.param("9" * 5000, "it is not valid JSON .Exceeds the limit", id="a number of many digits"),
        pytest.param('"' + " " * TEXT + '"', "it has 8,388,610 bytes, more than any network's", id="too long"),
        pytest.param("[" + "0," * OBJECTS + "0]", "would take over 1,000,000 objects", id="too many values"),
        pytest.param("[" + "{}," * (OBJECTS // 2) + "0]", "would take over 1,000,000 objects", id="too many objects"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(WeightsError, match=f"^w.bin: .*{message}|^w.bin: {message}"):
        parse(budget(), text, "it")


def test_the_deepest_that_is_read():
    value = parse(budget(), "[" * MAX_DEPTH + "]" * MAX_DEPTH, "it")
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []


def test_names_may_have_to_differ():
    text = '{"a": {"b": 1, "b": 2}}'
    assert parse(budget(), text, "it") == {"a": {"b": 2}}
    with pytest.raises(WeightsError, match=r"it is not valid JSON \(duplicate name\)"):
        parse(budget(), text, "it", unique=True)
