"""What servers answer: whole files and the rest of files, and never more, longer or from elsewhere than asked for."""

import re
import time
import types

import pytest
from file_server import CONTENT, observed

from vggfcn import answers
from vggfcn.answers import BrokenError, RefusedError, answer, blocks, extent, version_of

# A thread that was left behind leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(answers, "BLOCK", 1000)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(answers, "PATIENCE", 1)


@pytest.fixture
def server():
    with observed() as (address, requests, asked):
        yield types.SimpleNamespace(address=address, requests=requests, asked=asked)


def test_the_whole_file_comes_in_blocks(server):
    with answer(f"{server.address}/w.h5") as response:
        parts = list(blocks(response))
        assert (extent(response, 0), version_of(response)) == ((0, 7000), '"one"')
    assert (max(map(len, parts)), b"".join(parts)) == (1000, CONTENT)
    assert "Range" not in server.asked[0]


def test_the_rest_comes_if_the_server_gives_parts(server):
    with answer(f"{server.address}/w.h5", 2500, '"one"') as response:
        assert (response.status_code, extent(response, 2500)) == (206, (2500, 7000))
        assert b"".join(blocks(response)) == CONTENT[2500:]
    assert (server.asked[0]["Range"], server.asked[0]["If-Range"]) == ("bytes=2500-", '"one"')
    with answer(f"{server.address}/whole/w.h5", 2500) as response:
        assert (response.status_code, extent(response, 2500)) == (200, (0, 7000))
        assert b"".join(blocks(response)) == CONTENT


@pytest.mark.parametrize("folder", ["elsewhere", "far", "endless-redirect"])
def test_redirects_are_followed_and_their_bodies_not_read(server, folder):
    with answer(f"{server.address}/{folder}/w.h5") as response:
        assert b"".join(blocks(response)) == CONTENT


@pytest.mark.parametrize(
    ("folder", "kind", "message"),
    [
        pytest.param("gone", RefusedError, "the server answers 404 Not", id="not found"),
        pytest.param("down", BrokenError, "the server answers 500 Internal Server Error", id="out of order"),
        pytest.param("cannot", RefusedError, "the server answers 416", id="no such part, though none was asked for"),
        pytest.param("round", RefusedError, "redirects more than 5 times", id="in a circle"),
        pytest.param(
            "file",
            RefusedError,
            "redirects to file:///etc/hostname, expected an address that starts with",
            id="to a file",
        ),
        pytest.param("gzip", RefusedError, "in the encoding gzip, expected it as it is", id="compressed"),
        pytest.param("slow-headers", BrokenError, "sent less than 1,000 bytes in 1 s", id="slow headers"),
    ],
)
def test_what_is_no_answer(server, impatient, folder, kind, message):
    start = time.perf_counter()
    with pytest.raises(kind, match=re.escape(message)) as caught, answer(f"{server.address}/{folder}/w.h5"):
        pytest.fail("there is no answer")
    assert type(caught.value) in (kind, answers._StalledError)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        pytest.param("cut", "IncompleteRead", id="cut"),
        pytest.param("drip", "sent less than 1,000 bytes in 1 s", id="a byte now and then"),
        pytest.param("stalled", "sent less than 1,000 bytes in 1 s", id="nothing any more"),
    ],
)
def test_a_body_that_does_not_come(server, impatient, folder, message):
    start = time.perf_counter()
    with pytest.raises(BrokenError, match=message), answer(f"{server.address}/{folder}/w.h5") as response:
        list(blocks(response))
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/w.h5", "http://[/w.h5", "ftp://127.0.0.1/w.h5", "w.h5"])
def test_an_address_where_nobody_answers(address):
    with pytest.raises(RefusedError), answer(address):
        pytest.fail("there is no answer")


def test_an_encrypted_connection_is_not_left():
    assert answers._target("https://a/b", "/c") == "https://a/c"
    assert answers._target("http://a/b", "https://c/d") == "https://c/d"
    with pytest.raises(RefusedError, match=r"redirects to http://a/b, expected an address that starts with https$"):
        answers._target("https://a/b", "http://a/b")


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {"Content-Length": "7000"}, (0, 7000)),
        (200, {}, (0, 0)),
        (200, {"Content-Length": "-1"}, (0, 0)),
        (200, {"Content-Length": "9" * 99}, (0, 0)),
        (206, {"Content-Range": "bytes 10-6999/7000"}, (10, 7000)),
        (206, {"Content-Range": "bytes 10-6998/7000"}, None),
        (206, {"Content-Range": "bytes 11-6999/7000"}, None),
        (206, {"Content-Range": "bytes 10-6999/*"}, None),
        (206, {"Content-Range": "bytes 10-6999/7000, 1"}, None),
        (206, {}, None),
        (416, {"Content-Range": "bytes 10-6999/7000"}, None),
    ],
)
def test_where_an_answer_begins_and_how_long_the_file_is(status, headers, expected):
    assert extent(types.SimpleNamespace(status_code=status, headers=headers), 10) == expected


@pytest.mark.parametrize(("tag", "expected"), [('"a"', '"a"'), ('W/"a"', None), (None, None)])
def test_only_a_strong_tag_promises_the_same_bytes(tag, expected):
    assert version_of(types.SimpleNamespace(headers={"ETag": tag} if tag else {})) == expected
