"""Whose requests are answered."""

import pytest

from vggfcn.app.safety.names import Names, is_foreign, is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("localhost", True), ("LOCALHOST", True), ("::1", True), ("127.3.2.1", True)),
        *(("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("10.1.2.3", False), ("::", False), ("me", False)),
    ],
)
def test_which_hosts_only_this_machine_can_reach(host, loopback):
    assert is_loopback(host) is loopback


LOCAL = Names("here.test", 7860, local=True)


@pytest.mark.parametrize(
    "header",
    ["localhost", "localhost:7860", "LocalHost:7860", "127.0.0.1:7860", "127.0.0.2", "[::1]:7860", "here.test:7860"],
)
def test_local_names_with_the_right_port_or_none(header):
    assert LOCAL.accept(header)


@pytest.mark.parametrize(
    "header",
    [
        *("evil.example", "evil.example:7860", "localhost:80", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("", ":7860", "localhost:", "localhost:7860:7860", "localhost/", "a@localhost", "10.1.2.3", "[::1", "0.0.0.0"),
        *("localhost\n", "localhost:078600", "x localhost"),
    ],
)
def test_other_names_are_refused_on_a_local_server(header):
    assert not LOCAL.accept(header)


def test_a_server_for_others_answers_to_every_name_that_is_one():
    names = Names("0.0.0.0", 7860, local=False)
    assert names.accept("my-server.lan:80")
    assert not names.accept("<script>")


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"origin": "http://localhost:7860", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://localhost:7860"}, False),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://localhost:8888"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
    ],
    ids=str,
)
def test_which_pages_are_of_another_origin(headers, foreign):
    assert is_foreign({"host": "localhost:7860", **headers}) is foreign
