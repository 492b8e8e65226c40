"""What HTTP servers answer, bounded in time, redirects and encodings; a server may be slow, broken or hostile."""

import contextlib
import queue
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from vggfcn.errors import one_line

if TYPE_CHECKING:
    import requests

TIMEOUT = 30.0  # seconds to wait for the next byte
BLOCK = 1 << 18  # bytes that must come within `PATIENCE`
PATIENCE = 60.0  # seconds
REDIRECTS = 5
_AGAIN = (408, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
T = TypeVar("T")


class RefusedError(Exception):
    """An address does not give the file."""


class BrokenError(RefusedError):
    """An address does not give the file now, but may if it is asked again."""


class _StalledError(BrokenError):
    """A thread is still waiting for the server."""


@contextlib.contextmanager
def answer(address: str, start: int = 0, version: str | None = None) -> Iterator["requests.Response"]:
    """A server's answer, after redirects, when it is asked for a file from byte `start` on; its body has not been read.

    Its status is 200 for the whole file, and 206 or 416 only after a request for a part. `version` is what `version_of`
    gave for an earlier answer; a server that has another version now sends the whole file.

    Raises `RefusedError` if there is no such answer.
    """
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        headers |= {"If-Range": version} if version else {}
    for _ in range(REDIRECTS + 1):
        response = _get(address, headers)
        try:
            if not response.is_redirect:
                _check(response, start)
                yield response
                response.close()
                return
            address = _target(address, response.headers["Location"])
        except _StalledError:  # Closing would wait for the thread that reads.
            raise
        except Exception:
            response.close()
            raise
        response.close()
    raise RefusedError(f"redirects more than {REDIRECTS} times")


def _get(address: str, headers: dict[str, str]) -> "requests.Response":
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """None, since requests reads the bodies of redirects, however long they are."""

    options = {"headers": headers, "stream": True, "timeout": TIMEOUT, "allow_redirects": False}
    return _in_time(Session().get, address, **options)


def blocks(response: "requests.Response") -> Iterator[bytes]:
    """The body in blocks of at most `BLOCK` bytes; raises `BrokenError` if one does not come in time, or at all."""
    parts = response.iter_content(BLOCK)
    while block := _in_time(next, parts, b""):
        yield block


def _in_time(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call a function that waits for a server.

    It runs in a thread of its own, which can be left behind: a timeout of the connection alone would begin anew with
    each byte of an answer, and with each of its headers.
    """
    import requests

    results: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((function(*arguments, **options), None))
        except Exception as error:
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return result
    except queue.Empty:
        raise _StalledError(f"sent less than {BLOCK:,} bytes in {PATIENCE:g} s") from None
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise BrokenError(one_line(error)) from error
    except (requests.RequestException, ValueError) as error:
        raise RefusedError(one_line(error)) from error


def _target(address: str, location: str) -> str:
    """Where a redirect leads: not to this computer's files, and from an encrypted connection to no other."""
    target = urllib.parse.urljoin(address, location)
    allowed = ("https",) if address.startswith("https:") else ("http", "https")
    if urllib.parse.urlsplit(target).scheme not in allowed:
        raise RefusedError(f"redirects to {target}, expected an address that starts with {' or '.join(allowed)}")
    return target


def _check(response: "requests.Response", start: int) -> None:
    code = response.status_code
    if code != 200 and not (start and code in (206, 416)):
        raise (BrokenError if code in _AGAIN else RefusedError)(f"the server answers {code} {response.reason}")
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise RefusedError(f"sends the file in the encoding {encoding}, expected it as it is")


def version_of(response: "requests.Response") -> str | None:
    """The entity tag, if it is a strong one: only that promises the same bytes."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else None


def extent(response: "requests.Response", start: int) -> tuple[int, int] | None:
    """Where the body begins in the file, and how long the file is, 0 if that is not said.

    None if the answer is not the rest of the file from byte `start` on, and not the whole file.
    """
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(r"\d{1,15}", length) else 0
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    first, last, total = map(int, found.groups()) if found else (0, 0, 0)
    return (first, total) if response.status_code == 206 and first == start and last == total - 1 else None
