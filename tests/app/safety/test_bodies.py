"""Bodies of requests: their limits, and events rebuilt from what is known."""

import asyncio
import json

import pytest

from vggfcn.app.safety import bodies
from vggfcn.app.safety.bodies import RequestError

FILE = {"path": "/etc/passwd", "url": "http://evil.example/", "meta": {"_type": "gradio.FileData"}}


def rebuilt(**parts):
    given = {"data": ["a"], "fn_index": 3, "session_hash": "s1", "trigger_id": 4, **parts}
    return json.loads(bodies.event(json.dumps(given).encode(), "ann", {3: 1, 5: 5}))


def test_an_event_of_the_page_passes_under_the_visitors_name():
    expected = {"data": ["a"], "fn_index": 3, "session_hash": "ann-s1", "trigger_id": 4, "event_data": None}
    assert rebuilt() == expected
    values = ["w", None, 32, [1, 1.5], True]
    assert rebuilt(data=values, fn_index=5)["data"] == values
    assert rebuilt(event_data={"index": [3.5, 4], "value": FILE})["event_data"] == {"index": [3.5, 4], "value": None}


def test_of_a_file_only_the_text_of_its_path_is_left():
    assert rebuilt(data=[FILE])["data"] == ["/etc/passwd"]


def test_parts_that_the_page_does_not_send_are_left_out():
    assert rebuilt(event_id="x", request={}, batched=True, simple_format=True) == rebuilt()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param({"data": [[FILE]]}, "data: expected texts", id="a list of files"),
        pytest.param({"data": [{"x": FILE}]}, None, id="a file inside an object"),
        pytest.param({"data": [{"path": FILE}]}, "data: expected texts", id="a file inside a file"),
        pytest.param({"data": [[[1]]]}, "data: expected texts", id="nested lists"),
        pytest.param({"data": [10**400]}, "data: expected texts", id="a number beyond all others"),
        pytest.param({"data": []}, "data: expected a list of 1 values", id="too few values"),
        pytest.param({"data": FILE}, "data: expected a list of 1 values", id="no list"),
        pytest.param({"fn_index": 4}, "fn_index: expected a function of this page", id="another function"),
        pytest.param({"fn_index": True}, "fn_index: expected a function of this page", id="no number"),
        pytest.param({"fn_index": [3]}, "fn_index: expected a function of this page", id="a list"),
        pytest.param({"session_hash": "../x"}, "session_hash: expected", id="a session with dots"),
        pytest.param({"session_hash": "bob-s1"}, "session_hash: expected", id="another visitor's session"),
        pytest.param({"session_hash": None}, "session_hash: expected", id="no session"),
        pytest.param({"session_hash": "a" * 33}, "session_hash: expected", id="a long session"),
        pytest.param({"event_data": FILE}, "event_data: expected", id="a file as event data"),
        pytest.param({"event_data": {"index": FILE}}, "event_data: expected", id="a file as index"),
        pytest.param({"event_data": {"index": [1, 2, 3]}}, "event_data: expected", id="three coordinates"),
    ],
)
def test_what_the_page_does_not_send_is_refused_or_left_out(parts, message):
    if message is None:
        assert rebuilt(**parts)["data"] == [None]
        return
    with pytest.raises(RequestError, match=message) as refused:
        rebuilt(**parts)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"[" * 60000, b'{"fn_index": NaN}', b"9" * 5000, b"\xff", b'"a"'], ids=repr
)
def test_what_is_no_event_is_refused(body):
    with pytest.raises(RequestError, match=r"expected an event as (a )?JSON"):
        bodies.event(body, "ann", {3: 1})


def reading(messages, wait=0.0):
    async def receive():
        await asyncio.sleep(wait)
        return messages.pop(0)

    return asyncio.run(bodies.read(receive))


def test_a_body_is_read_to_its_end():
    assert reading([{"body": b"a", "more_body": True}, {"body": b"b"}]) == b"ab"


def test_a_body_that_is_too_long_or_too_slow_is_refused(monkeypatch):
    with pytest.raises(RequestError, match="more than 65,536 bytes") as refused:
        reading([{"body": bytes(40000), "more_body": True}] * 2)
    assert refused.value.code == 413
    monkeypatch.setattr(bodies, "EVENT_SECONDS", 0.05)
    with pytest.raises(RequestError, match=r"longer than 0\.05 seconds") as refused:
        reading([{"body": b"a", "more_body": True}] * 9, wait=0.02)
    assert refused.value.code == 408
