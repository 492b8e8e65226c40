"""A server that the tests of requests share."""

import pytest
from page_server import Server


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")) as running:
        running.visitor()
        yield running


@pytest.fixture
def visitor(server):
    return server.visitor()
