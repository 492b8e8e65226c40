"""What the tests of engines share: a cache folder of their own, and one small VGG16."""

import networks
import pytest
from writers import TINY

import vggfcn


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory):
    """No test uses the cache of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGGFCN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; its folder of engines, which does not exist yet."""
    monkeypatch.setenv("VGGFCN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines"


@pytest.fixture(scope="session")
def tiny():
    return networks.randomize(vggfcn.build(TINY, weights=None))
