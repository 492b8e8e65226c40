"""What every request passes first: the closed list of routes, and who may ask for what."""

import asyncio
import collections
import contextlib
import hashlib
import re
import secrets
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from vggfcn.app.safety import bodies
from vggfcn.app.safety.bodies import Receive, RequestError
from vggfcn.app.safety.headers import hashes, policy, security_headers
from vggfcn.app.safety.names import Names, is_foreign, is_loopback

Scope = dict[str, Any]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

STATIC = re.compile(r"/(?:(?:assets|static)/(?!.*\.\.)[\w./-]+|theme\.css|favicon\.ico|manifest\.json|samples/\d+)")
FILES = re.compile(r"/files/[\w.]+|/gradio_api/file=[\w-]{32}")
STREAMS = re.compile(r"/gradio_api/(?:heartbeat/(\w+)|queue/data|upload_progress)")
EVENTS = ("/gradio_api/queue/join", "/gradio_api/run/predict")
UPLOAD = "/gradio_api/upload"
# Requests in progress: of one visitor, of one address of another machine, and of all visitors.
MAX_REQUESTS = (16, 64, 160)
DRAWING = 2  # files of one visitor that are made at the same time
ANSWER_SECONDS = 30.0  # for an answer that is no stream
_PLACE = "vggfcn-host.invalid"  # stands for the server's name in the page as it is kept
_PIECE = 2**16  # bytes
_PASSED_ON = {b"accept", b"accept-encoding", b"content-length", b"content-type", b"host", b"user-agent"}


class Guard:
    """An ASGI application in front of the page's.

    app: the page's.
    names: of the server.
    inputs: the number of inputs of each function of the page, by its index.
    port: names the cookie, because browsers share cookies between the ports of a machine.
    """

    def __init__(self, app: App, names: Names, inputs: Mapping[int, int], port: int):
        self._app, self._names, self._inputs = app, names, inputs
        self._cookie = f"vggfcn-{port}"
        self._kept: dict[str, tuple[list[tuple[bytes, bytes]], bytes]] = {}
        self._requests: collections.Counter[str] = collections.Counter()
        self._drawing: dict[str, asyncio.Semaphore] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with one line."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send) if scope["type"] == "lifespan" else None
        started = False

        async def send_safely(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _with_security(message.get("headers", ()))}
            await send(message)

        try:
            await self._answer(scope, receive, send_safely)
        except (RequestError, TimeoutError, asyncio.TimeoutError) as error:
            if started:
                raise
            code = error.code if isinstance(error, RequestError) else 503
            await _send_text(send_safely, code, str(error) or "the answer took too long; try again")
        return None

    def is_present(self, visitor: str) -> bool:
        """Whether a visitor waits for an answer, as every opened page does."""
        return self._requests[visitor] > 0

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        path, method = scope["path"], "GET" if scope["method"] == "HEAD" else scope["method"]
        is_page = path == "/" and method == "GET"
        if not self._names.accept(headers.get("host", "")):
            raise RequestError(400, "this server does not have that name; use the address that it printed")
        if not is_page and is_foreign(headers):
            raise RequestError(403, "another site's page may not use this server; open its own page")
        if is_page or (method == "GET" and STATIC.fullmatch(path)):
            await asyncio.wait_for(self._send_kept(path, headers, send), ANSWER_SECONDS)
        else:
            await self._answer_visitor(scope, receive, send, method, self._visitor(headers))

    async def _answer_visitor(self, scope: Scope, receive: Receive, send: Send, method: str, visitor: str) -> None:
        path = scope["path"]
        known = FILES.fullmatch(path) or STREAMS.fullmatch(path) if method == "GET" else path in (*EVENTS, UPLOAD)
        if not known or method not in ("GET", "POST"):
            raise RequestError(404, "there is nothing here; open the page at /")
        if not visitor:
            raise RequestError(403, "this browser has no cookie of this server; open the page at / first")
        with self._in_progress(scope, visitor):
            if path == UPLOAD:
                await self._app(_inner(scope, visitor), receive, send)
            elif method == "POST":
                body = bodies.event(await bodies.read(receive), visitor, self._inputs)
                await self._app(_inner(scope, visitor, length=len(body)), _body(body, receive), send)
            elif FILES.fullmatch(path):
                async with self._drawing.setdefault(visitor, asyncio.Semaphore(DRAWING)):
                    inner = _inner(scope, visitor, query=scope["query_string"])
                    await asyncio.wait_for(self._app(inner, _nothing(receive), send), ANSWER_SECONDS)
            else:
                await self._app(_stream(scope, visitor), receive, send)

    @contextlib.contextmanager
    def _in_progress(self, scope: Scope, visitor: str) -> Iterator[None]:
        """Count a visitor's request; raises `RequestError` if there are too many."""
        address = (scope.get("client") or ("",))[0]
        # On this machine all visitors have the same address.
        counted = [visitor, "" if is_loopback(address) else f"from {address}", "all"]
        limits = zip(counted, MAX_REQUESTS, strict=True)
        if any(name and self._requests[name] >= most for name, most in limits):
            raise RequestError(429, "too many requests at the same time; wait for their answers")
        scope["state"]["visitor"] = visitor
        self._requests.update(counted)
        try:
            yield
        finally:
            self._requests -= collections.Counter(counted)
            if not self._requests[visitor]:
                self._drawing.pop(visitor, None)

    def _visitor(self, headers: Mapping[str, str]) -> str:
        """The name of the visitor who has the request's cookie; "" without one."""
        found = re.search(rf"(?:^|;\s*){self._cookie}=([\w-]{{32}})(?:;|$)", headers.get("cookie", ""))
        return hashlib.sha256(found[1].encode()).hexdigest()[:32] if found else ""

    async def _send_kept(self, path: str, headers: Mapping[str, str], send: Send) -> None:
        """The page or a file of it, made once: Gradio takes milliseconds for each, which a flood would add up."""
        if path not in self._kept:
            status, sent, body = await self._made(path)
            if status != 200:
                raise RequestError(404, "there is nothing here; open the page at /")
            self._kept[path] = sent, body
        sent, body = self._kept[path]
        if path == "/":
            body = body.replace(_PLACE.encode(), headers["host"].encode())
            sent = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
            sent += [(b"cache-control", b"no-store"), *security_headers(policy(hashes(body)))]
            if not self._visitor(headers):
                cookie = f"{self._cookie}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; SameSite=Lax"
                sent.append((b"set-cookie", cookie.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": sent})
        # In pieces, so that a client that reads nothing fills no memory.
        for start in range(0, len(body), _PIECE):
            await send({"type": "http.response.body", "body": body[start : start + _PIECE], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _made(self, path: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body of the application's answer."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "state": {},
            "headers": [(b"host", _PLACE.encode())],
        }
        messages: list[Any] = []

        async def collect(message: Any) -> None:
            messages.append(message)

        await self._app(scope, _body(b"", None), collect)
        started = messages[0]
        return started["status"], started["headers"], b"".join(message.get("body", b"") for message in messages)


def _headers(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case names; raises `RequestError` where one that is relied on comes twice."""
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    counts = collections.Counter(name for name, _ in pairs)
    if counts["host"] != 1 or max(counts["origin"], counts["sec-fetch-site"], counts["cookie"]) > 1:
        raise RequestError(400, "expected one header Host and no header twice; use a browser")
    return dict(pairs)


def _inner(scope: Scope, visitor: str = "", *, query: bytes = b"", length: int | None = None) -> Scope:
    """The request as the page's application sees it: no header that could say otherwise where it came from."""
    headers = [(name, value) for name, value in scope["headers"] if name in _PASSED_ON]
    if length is not None:
        headers = [pair for pair in headers if pair[0] not in (b"content-length", b"content-type")]
        headers += [(b"content-length", str(length).encode()), (b"content-type", b"application/json")]
    return {**scope, "headers": headers, "query_string": query, "state": {**scope["state"], "visitor": visitor}}


def _stream(scope: Scope, visitor: str) -> Scope:
    """The request for a stream of a session, under the session's name on the server."""
    match = STREAMS.fullmatch(scope["path"])
    if match and match[1]:
        path = f"/gradio_api/heartbeat/{bodies.session_name(visitor, match[1])}"
        return {**_inner(scope, visitor), "path": path, "raw_path": path.encode()}
    if scope["path"].endswith("upload_progress"):
        return _inner(scope, visitor)
    given = urllib.parse.parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])
    return _inner(scope, visitor, query=f"session_hash={bodies.session_name(visitor, given[0])}".encode())


def _with_security(headers: Any) -> list[tuple[bytes, bytes]]:
    own = security_headers()
    given = {name.lower() for name, _ in headers}
    # Gradio's answers to foreign origins, which never come here.
    kept = [(name, value) for name, value in headers if not name.lower().startswith(b"access-control-")]
    return [*kept, *(pair for pair in own if pair[0] not in given)]


def _body(body: bytes, receive: Receive | None) -> Receive:
    """An ASGI `receive` of this body; then what `receive` says of the connection."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_body() -> Any:
        if messages:
            return messages.pop()
        return await receive() if receive else await asyncio.Event().wait()

    return receive_body


def _nothing(receive: Receive) -> Receive:
    """An ASGI `receive` of an empty body, which ignores what the client sends."""
    return _body(b"", receive)


async def _send_text(send: Send, code: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text.encode())).encode())]
    await send({"type": "http.response.start", "status": code, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": text.encode()})
