"""What a running server answers to requests that the page does not make."""

import contextlib
import json
import os
import re

import pytest
from sample_scenes import SCENES, STRIP

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')

from page_server import Server, Visitor

from vggfcn.app.safety.guard import MAX_REQUESTS

IMAGE = STRIP.read_bytes()
META = {"_type": "gradio.FileData"}


def drawing(values):
    """The address of the heatmap among an evaluation's outputs."""
    return next(value["url"] for value in values if isinstance(value, dict) and "url" in value)


def test_an_honest_visitor_gets_a_map_and_its_files(visitor):
    assert visitor.drop("strip.png", IMAGE) == ""
    visitor.choose_weights("mnist-lenet5")
    drawn = drawing(visitor.evaluate("mnist-lenet5", 4))
    assert visitor.ask("GET", f"/{drawn}")[2].startswith(b"\xff\xd8")


def paths(server):
    """Files of the server's disk, and names by which one could try to reach them."""
    link = server.folder / "link.png"
    if not link.is_symlink():
        link.symlink_to(SCENES / "rocket.jpg")
    if not (server.folder / "fifo").exists():
        os.mkfifo(server.folder / "fifo")
    rocket = str(SCENES / "rocket.jpg")
    yield from (rocket, str(link), str(server.folder / "fifo"), "/dev/zero", "/proc/self/environ", f"//{rocket}", "")
    yield from (f"file://{rocket}", "http://127.0.0.1:9/a.png", "../" * 20 + rocket, f"{rocket}\0.png", "a" * 255)


@pytest.mark.parametrize("number", range(12))
def test_no_file_of_the_server_can_be_named(server, visitor, number):
    path = list(paths(server))[number]
    before = server.files()
    for value in ({"path": path, "meta": META}, {"path": path, "url": path, "meta": META, "is_stream": True}, path):
        assert "drop it again" in visitor.name_file(value)
    for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/proxy=", "/proxy=", "/gradio_api/file/"):
        status = visitor.ask("GET", prefix + path.replace("\0", "%00"))[0]
        assert status == 404, prefix
    assert server.files() == before


def test_files_elsewhere_in_an_event_are_refused(server, visitor):
    file = {"path": str(SCENES / "rocket.jpg"), "meta": META}
    before = server.files()
    for data in ([[file]], [[[file]]], [{"path": file}]):
        assert visitor.join(visitor.function(1, "upload"), data)[0] == 400
    values = ["scene-digits", file, 32, [file], 0.5]
    assert visitor.join(visitor.function(5), values)[0] == 400
    assert visitor.join(visitor.function(0, "select"), [], event_data={"index": file})[0] == 400
    assert server.files() == before


def test_another_visitors_upload_and_session_are_out_of_reach(server, visitor):
    token = visitor.upload("a.png", IMAGE)[1]
    assert visitor.name_file({"path": token, "meta": META}) == ""
    visitor.choose_weights("mnist-lenet5")
    address = next(
        value["url"] for value in visitor.evaluate("mnist-lenet5", 4) if isinstance(value, dict) and "url" in value
    )
    mallory = server.visitor()
    assert mallory.session == visitor.session  # The name that the page draws is of no use to another.
    assert "drop it again" in mallory.name_file({"path": token, "meta": META})
    assert mallory.ask("GET", f"/gradio_api/file={token}")[0] == 404
    assert mallory.ask("GET", f"/{address}")[0] == 404
    mallory.session = re.search("session=([^&]+)", address)[1]
    assert mallory.join(mallory.function(2), ["", 0.5])[0] == 400
    assert mallory.ask("GET", f"/gradio_api/queue/data?session_hash={mallory.session}")[0] == 400
    assert mallory.ask("GET", f"/gradio_api/heartbeat/{mallory.session}")[0] == 404
    assert visitor.ask("GET", f"/{address}")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/{path}") for path in ("monitoring", "openapi.json", "docs", "redoc", "config", "login", "logout")),
        *(("GET", f"/{path}") for path in ("robots.txt", "pwa_icon", "svelte/a.js", "monitoring/summary", "x")),
        *(("GET", f"/gradio_api/{path}") for path in ("info", "openapi.json", "app_id", "user", "token", "runs")),
        *(("GET", f"/gradio_api/{path}") for path in ("queue/status", "startup-events", "vibe-code", "deep_link")),
        *(("GET", f"/gradio_api/{path}") for path in ("stream/a/b/1/playlist.m3u8", "dev/reload", "call/x/y")),
        *(("POST", f"/gradio_api/{path}") for path in ("api/predict", "call/x", "component_server", "cancel")),
        *(("POST", f"/gradio_api/{path}") for path in ("process_recording", "stream/x", "vibe-edit", "run/x", "reset")),
        *(("POST", "/"), ("PUT", "/gradio_api/upload"), ("DELETE", "/theme.css"), ("OPTIONS", "/gradio_api/upload")),
        *(("GET", f"/assets/{path}") for path in ("../../routes.py", "", "/etc/passwd", "%2e%2e/x", "..%2fx")),
        *(("GET", f"/{path}") for path in ("static/a%00.js", "files/", "files/../x", "samples/99")),
    ],
)
def test_what_the_page_does_not_use_is_not_there(visitor, method, path):
    status, headers, body = visitor.ask(method, path, b"{}" if method == "POST" else None)
    assert status == 404, body[:200]
    assert_safe(headers)


def assert_safe(headers):
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    assert not any(name.startswith("access-control") for name in headers)


def test_every_answer_has_the_headers(server, visitor):
    answers = [
        visitor.ask("GET", "/"),
        visitor.ask("GET", "/theme.css"),
        visitor.ask("GET", "/files/heatmap.png?session=x"),
        visitor.ask("GET", "/files/heatmap.png"),
        visitor.ask("POST", "/gradio_api/queue/join", b"["),
        visitor.ask("POST", "/gradio_api/upload", b"x", {"Content-Type": "multipart/form-data; boundary=X"}),
        visitor.ask("GET", "/", headers={"Host": "evil.example"}),
        visitor.ask("GET", "/", headers={"Content-Length": "x"}),
    ]
    assert [status for status, _, _ in answers] == [200, 200, 404, 422, 400, 400, 400, 400]
    for _, headers, _ in answers:
        assert_safe(headers)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_foreign_names_are_refused_on_every_local_address(tmp_path, server, host):
    with contextlib.nullcontext(server) if host == server.host else Server(tmp_path, host) as running:
        visitor = running.visitor()
        for name in ("evil.example", f"evil.example:{running.port}", "localhost:1", "10.1.2.3", "a b"):
            status, _, body = visitor.ask("GET", "/", headers={"Host": name})
            assert (status, body.decode()) == (
                400,
                "this server does not have that name; use the address that it printed",
            )
        for name in ("localhost", f"127.0.0.9:{running.port}", f"[::1]:{running.port}"):
            assert visitor.ask("GET", "/", headers={"Host": name})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_pages_of_others_change_and_read_nothing(visitor, headers):
    assert visitor.upload("a.png", IMAGE, headers)[0] == 403
    assert visitor.join(visitor.function(1, "upload"), ["x"], headers)[0] == 403
    for path in ("/files/heatmap.png?session=a", "/gradio_api/heartbeat/a", "/theme.css"):
        assert visitor.ask("GET", path, headers=headers)[0] == 403
    assert visitor.ask("GET", "/", headers=headers)[0] == 200  # as a link on their page leads here


def test_without_the_pages_cookie_nothing_can_be_sent(server):
    stranger = Visitor(server.host, server.port)
    for cookie in ("", f"vggfcn-{server.port}=short", f"vggfcn-1={'a' * 32}"):
        stranger.cookie = cookie
        assert stranger.upload("a.png", IMAGE) == (
            403,
            "this browser has no cookie of this server; open the page at / first",
        )


def test_bodies_and_files_are_bounded(visitor):
    body = json.dumps({"data": ["a" * 70000], "fn_index": 0, "session_hash": "a"}).encode()
    status, _, said = visitor.ask("POST", "/gradio_api/queue/join", body)
    assert (status, said) == (413, b"the request has more than 65,536 bytes; send less")
    status, said = visitor.upload("a.png", bytes(33 * 2**20))
    assert status == 413
    assert "bytes; " in said


def test_one_visitors_requests_at_the_same_time_are_limited(server, visitor):
    opened = []
    for _ in range(MAX_REQUESTS[0]):
        one = server.connect()
        one.sendall(visitor.raw("/gradio_api/heartbeat/abc"))
        assert b"200 OK" in one.recv(100)
        opened.append(one)
    assert visitor.ask("GET", "/gradio_api/heartbeat/abc")[0] == 429
    assert server.visitor().upload("a.png", IMAGE)[0] == 200
    for one in opened:
        one.close()
