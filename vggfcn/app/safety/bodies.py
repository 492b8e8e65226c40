"""The bodies of requests: bounded in bytes and seconds, and events rebuilt from what is known of them."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from vggfcn.errors import VGGFCNError

MAX_EVENT = 64 * 2**10  # bytes
EVENT_SECONDS = 5.0
_SESSION = re.compile("[a-z0-9]{1,32}")
Receive = Callable[[], Awaitable[Any]]


class RequestError(VGGFCNError):
    """A request that is refused, with its HTTP status."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def limited(receive: Receive, most: int, seconds: float) -> Receive:
    """An ASGI `receive` that takes at most so many bytes, and so many seconds in all.

    Raises `RequestError`, 413 for more bytes, 408 after the time.
    """
    left, end = most, asyncio.get_running_loop().time() + seconds

    async def receive_some() -> Any:
        nonlocal left
        try:
            message = await asyncio.wait_for(receive(), max(0.0, end - asyncio.get_running_loop().time()))
        except asyncio.TimeoutError:
            raise RequestError(408, f"the request took longer than {seconds:g} seconds; send it again") from None
        left -= len(message.get("body", b""))
        if left < 0:
            raise RequestError(413, f"the request has more than {most:,} bytes; send less")
        return message

    return receive_some


async def read(receive: Receive) -> bytes:
    """The whole body of an event; raises as `limited` does."""
    receive, body = limited(receive, MAX_EVENT, EVENT_SECONDS), b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def session_name(visitor: str, session: object) -> str:
    """The name by which the server knows a visitor's session; raises `RequestError` for a malformed one."""
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise RequestError(400, "session_hash: expected 1 to 32 lower-case letters and digits; reload the page")
    return f"{visitor}-{session}"


def visitor_of(session: str) -> str:
    """The visitor to whom a session belongs."""
    return session.partition("-")[0]


def event(body: bytes, visitor: str, inputs: Mapping[int, int]) -> bytes:
    """The same event for Gradio, rebuilt from its known parts.

    body: JSON as the page sends it.
    visitor: the visitor's name.
    inputs: the number of inputs of each function of the page, by its index.

    A description of a file becomes the text of its path, which Gradio does not take for a file. Raises `RequestError`
    for whatever the page does not send.
    """
    try:
        parts = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise RequestError(400, "expected an event as JSON; reload the page") from None
    if not isinstance(parts, dict):
        raise RequestError(400, "expected an event as a JSON object; reload the page")
    function, data = parts.get("fn_index"), parts.get("data")
    if type(function) is not int or inputs.get(function) is None:
        raise RequestError(400, "fn_index: expected a function of this page; reload the page")
    if not isinstance(data, list) or len(data) != inputs[function]:
        raise RequestError(400, f"data: expected a list of {inputs[function]} values; reload the page")
    rebuilt = {
        "data": [_value(value) for value in data],
        "event_data": _position(parts.get("event_data")),
        "fn_index": function,
        "trigger_id": parts["trigger_id"] if type(parts.get("trigger_id")) is int else None,
        "session_hash": session_name(visitor, parts.get("session_hash")),
    }
    return json.dumps(rebuilt).encode()


def _no_number(text: str) -> None:
    raise ValueError(text)


def _value(value: object) -> object:
    """A text, number or truth value, or a list of them; of a file, the text of its path."""
    if isinstance(value, dict):
        value = value.get("path")
    items = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, str) or _is_finite(item) for item in items):
        raise RequestError(400, "data: expected texts, numbers and lists of these; reload the page")
    return value


def _position(event_data: object) -> dict[str, Any] | None:
    """Which sample, or which point of an image (x, y) in pixels, was clicked."""
    if event_data is None:
        return None
    index = event_data.get("index") if isinstance(event_data, dict) else None
    point = isinstance(index, list) and len(index) == 2 and all(map(_is_finite, index))
    if not point and not (type(index) is int and _is_finite(index)):
        raise RequestError(400, "event_data: expected the index of a click; reload the page")
    return {"index": index, "value": None}


def _is_finite(number: object) -> bool:
    return isinstance(number, int | float) and abs(number) < 2**53
