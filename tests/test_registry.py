"""Known weights: where they are looked for, and how they come from the network (here: a server on loopback)."""

import functools
import gc
import hashlib
import http.server
import pathlib
import threading

import pytest

from vggfcn import registry
from vggfcn.errors import WeightsError
from vggfcn.pretrained import choose


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("VGGFCN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "w.h5").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


CONTENT = b"weights" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


def entry(server, name="w.h5", md5=MD5):
    return registry.Entry("w.h5", f"{server}/{name}", 7000, md5)


def test_downloads_once_and_then_finds_it(server, monkeypatch):
    monkeypatch.setitem(registry.REGISTRY, "test", entry(server))
    path = registry.fetch("test")
    assert path == registry.cache_folder() / "w.h5"
    assert path.read_bytes() == CONTENT
    monkeypatch.setitem(registry.REGISTRY, "test", entry("http://127.0.0.1:9"))
    assert registry.fetch("test") == path


# urllib3 leaves the socket of a refused connection to the garbage collector, which is called here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        pytest.param(lambda server: entry(server, md5="0" * 32), "(?i)md5 hash of downloaded file", id="wrong hash"),
        pytest.param(lambda server: entry(server, name="gone.h5"), "404", id="not found"),
        pytest.param(lambda server: entry("http://127.0.0.1:9"), "refused", id="nobody answers"),
    ],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(server, monkeypatch, broken, message):
    monkeypatch.setitem(registry.REGISTRY, "test", broken(server))
    with pytest.raises(WeightsError, match=message) as caught:
        registry.fetch("test")
    assert "w.h5 could not be downloaded" in str(caught.value)
    assert 'or use weights="scene-digits"' in str(caught.value)
    assert not [path for path in registry.cache_folder().glob("*") if path.is_file()]
    del caught
    gc.collect()


def test_a_file_that_keras_has_cached_is_used_if_it_is_whole(tmp_path, monkeypatch, server):
    monkeypatch.setitem(registry.REGISTRY, "imagenet", entry(server))
    assert choose("auto")[0] == "scene-digits"
    assert "nothing large is downloaded unasked" in choose("auto")[1]
    cached = tmp_path / "keras" / "models" / "w.h5"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[:-1])
    assert choose("auto")[0] == "scene-digits"
    assert registry.fetch("imagenet") == registry.cache_folder() / "w.h5"
    registry.fetch("imagenet").unlink()
    cached.write_bytes(CONTENT)
    assert registry.fetch("imagenet") == cached
    assert choose("auto") == ("imagenet", f"found at {cached}")
    assert choose("some.h5") == ("some.h5", "as asked")


def test_a_missing_embedded_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=r"scene-digits.h5 is missing; it comes with vggfcn, so install it again"):
        registry.fetch("scene-digits")


def test_addresses_are_keras_own():
    from keras.src.applications import vgg16, vgg19

    assert registry.REGISTRY["imagenet"].url == vgg16.WEIGHTS_PATH
    assert registry.REGISTRY["imagenet-vgg19"].url == vgg19.WEIGHTS_PATH
    for module, name in ((vgg16, "imagenet"), (vgg19, "imagenet-vgg19")):
        assert registry.REGISTRY[name].md5 in pathlib.Path(module.__file__).read_text()
