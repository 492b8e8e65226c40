"""What the tests of the page share: LeNet-5 built once, and a session with a map."""

import pytest
from sample_scenes import LENET5, STRIP

from vggfcn.app.networks import Networks
from vggfcn.app.sessions import Sessions


@pytest.fixture(scope="session")
def networks():
    """Networks that build LeNet-5 once."""
    return Networks()


@pytest.fixture
def sessions(tmp_path, networks):
    """Sessions of which none has an image yet."""
    sessions = Sessions(tmp_path)
    sessions.networks = networks
    return sessions


@pytest.fixture(scope="session")
def result(tmp_path_factory, networks):
    """The strip of ten digits, evaluated for the class 0; nothing in it can be changed."""
    sessions = Sessions(tmp_path_factory.mktemp("result"))
    sessions.networks = networks
    sessions.add_image("ann", STRIP)
    return sessions.evaluate("ann", LENET5, "0")


@pytest.fixture
def evaluated(sessions, result):
    """Sessions in which ann has that result."""
    sessions.add_image("ann", STRIP)
    sessions._keep(sessions._session("ann"), result)
    return sessions
