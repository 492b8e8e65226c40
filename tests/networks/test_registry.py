"""Known weights: where they are looked for, and how they come from the network (here: a server on loopback)."""

import gc
import hashlib
import http.server
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.errors import WeightsError
from vggfcn.files import cache_folder
from vggfcn.networks import download, registry
from vggfcn.networks.classifier import choose

CONTENT = b"weights" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9"
# A connection that is cut leaves its socket to the garbage collector, in urllib3 or in this server.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Server(http.server.BaseHTTPRequestHandler):
    """Answers each path in its own way."""

    requests: list[str]

    def do_GET(self):
        self.requests.append(self.path)
        name = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", f"/{name}")
            self.end_headers()
        elif name != "w.h5":
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.answer(self.path.split("/")[1])

    def answer(self, manner):
        if manner == "cut":
            self.wfile.write(CONTENT[:2500])
        elif manner == "stalled":
            self.wfile.write(CONTENT[:2500])
            self.wfile.flush()
            time.sleep(1.5)
        elif manner == "trickle":
            for start in range(0, len(CONTENT), 500):
                self.wfile.write(CONTENT[start : start + 500])
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    for name in ("VGGFCN_CACHE", "KERAS_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("VGGFCN_MIRROR", raising=False)


@pytest.fixture
def server():
    Server.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def known(monkeypatch):
    """Make an address known as "test"."""

    def make(url, known_hash=f"md5:{MD5}", size=7000):
        entry = registry.KnownWeights("w.h5", "vgg16", FileFormat.KERAS_HDF5, 7, "none", url, size, known_hash)
        monkeypatch.setitem(registry.REGISTRY, "test", entry)

    return make


def files():
    return [path for path in cache_folder().glob("*") if path.is_file()]


def test_downloads_once_and_then_finds_it(server, known):
    known(f"{server}/w.h5")
    path = registry.fetch("test")
    assert path == cache_folder() / "w.h5"
    assert path.read_bytes() == CONTENT
    known(NOWHERE)
    assert registry.fetch("test") == path
    assert files() == [path]


@pytest.mark.parametrize("address", ["elsewhere/w.h5", "trickle/w.h5"])
def test_redirects_and_slow_servers_are_followed_to_the_end(server, known, address):
    known(f"{server}/{address}")
    assert registry.fetch("test").read_bytes() == CONTENT


def test_the_beginning_of_a_hash_is_enough_as_torchvision_publishes_it(server, known):
    known(f"{server}/w.h5", f"sha256:{SHA256[:8]}", size=0)
    assert registry.fetch("test").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "known_hash", "message"),
    [
        pytest.param(
            "w.h5",
            f"md5:{'0' * 32}",
            f"expected the md5 hash 0{{32}}, got {MD5}; the file was deleted",
            id="wrong hash",
        ),
        pytest.param(
            "w.h5",
            "sha256:00000000",
            f"expected the sha256 hash 00000000, got {SHA256}",
            id="wrong beginning of a hash",
        ),
        pytest.param("gone.h5", f"md5:{MD5}", "404", id="not found"),
        pytest.param("cut/w.h5", f"md5:{MD5}", "IncompleteRead|md5 hash", id="cut connection"),
        pytest.param("stalled/w.h5", f"md5:{MD5}", "timed out", id="stalled"),
        pytest.param(None, f"md5:{MD5}", "refused", id="nobody answers"),
    ],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(server, known, monkeypatch, path, known_hash, message):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    known(f"{server}/{path}" if path else NOWHERE, known_hash)
    with pytest.raises(WeightsError, match=message) as caught:
        registry.fetch("test")
    text = str(caught.value)
    for folder in registry.REGISTRY["test"].folders():
        assert str(folder) in text
    assert "You can try again when you are online" in text
    assert f"put the file into {cache_folder()} yourself" in text
    assert 'or use the bundled weights="scene-digits"' in text
    assert files() == []
    del caught
    gc.collect()


def test_after_a_failure_the_next_attempt_starts_anew(server, known):
    known(f"{server}/cut/w.h5")
    with pytest.raises(WeightsError):
        registry.fetch("test")
    known(f"{server}/w.h5")
    assert registry.fetch("test").read_bytes() == CONTENT


def test_mirrors_are_asked_first_and_may_fail(server, known, monkeypatch):
    known(f"{server}/origin/w.h5")
    monkeypatch.setenv("VGGFCN_MIRROR", f"{NOWHERE} {server}/mirror/")
    assert registry.fetch("test").read_bytes() == CONTENT
    assert Server.requests == ["/mirror/w.h5"]
    registry.fetch("test").unlink()
    monkeypatch.setenv("VGGFCN_MIRROR", f"{server}/cut")
    assert registry.fetch("test").read_bytes() == CONTENT
    assert Server.requests[1:] == ["/cut/w.h5", "/origin/w.h5"]


FETCH = """
import sys
from vggfcn.networks import download, registry
registry.REGISTRY["test"] = registry.KnownWeights("w.h5", "vgg16", "", 7, "", sys.argv[1], 7000, "md5:" + sys.argv[2])
{before}
print(registry.fetch("test"))
"""


def process(url, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", FETCH.format(before=before), url, MD5],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_both_end_well(server):
    both = [process(f"{server}/trickle/w.h5") for _ in range(2)]
    for one in both:
        out, error = one.communicate(timeout=60)
        assert (one.returncode, error) == (0, "")
        assert pathlib.Path(out.strip()).read_bytes() == CONTENT
    assert [path.name for path in files()] == ["w.h5"]


def test_a_disk_that_fills_up_leaves_nothing(server):
    """A limit on the size of files stands in for the full disk: the write fails in the middle."""
    before = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    before += "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    one = process(f"{server}/w.h5", before)
    _, error = one.communicate(timeout=60)
    assert one.returncode == 1
    assert "File too large" in error
    assert files() == []


def test_room_on_the_disk_is_looked_at_before_half_a_gigabyte_comes(server, known):
    known(f"{server}/w.h5", size=1 << 60)
    with pytest.raises(WeightsError, match=r"has room for [\d,]+ bytes and 1,152,921,504,606,846,976 are needed"):
        registry.fetch("test")
    assert Server.requests == []


@pytest.mark.parametrize(("cache", "folder"), [("KERAS_HOME", "models"), ("TORCH_HOME", "hub/checkpoints")])
def test_a_file_that_others_have_cached_is_used_if_it_is_whole(tmp_path, monkeypatch, server, cache, folder):
    entry = registry.KnownWeights(
        "w.h5", "vgg16", FileFormat.KERAS_HDF5, 7, "none", f"{server}/w.h5", len(CONTENT), f"md5:{MD5}"
    )
    monkeypatch.setitem(registry.REGISTRY, "imagenet", entry)
    assert choose("auto")[0] == "scene-digits"
    assert "large files are downloaded only if you ask" in choose("auto")[1]
    cached = tmp_path / cache / folder / "w.h5"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[:-1])
    assert choose("auto")[0] == "scene-digits"
    assert registry.fetch("imagenet") == cache_folder() / "w.h5"
    registry.fetch("imagenet").unlink()
    cached.write_bytes(CONTENT)
    assert registry.fetch("imagenet") == cached
    assert choose("auto") == ("imagenet", f"found at {cached}")
    assert choose("some.h5") == ("some.h5", "as asked")


def test_a_missing_embedded_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=r"scene-digits.h5 is missing; it is part of vggfcn: install vggfcn again"):
        registry.fetch("scene-digits")


def test_addresses_are_keras_own():
    from keras.src.applications import vgg16, vgg19

    for module, name in ((vgg16, "imagenet"), (vgg19, "imagenet-vgg19")):
        for suffix, address in (("", module.WEIGHTS_PATH), ("-notop", module.WEIGHTS_PATH_NO_TOP)):
            entry = registry.REGISTRY[name + suffix]
            assert entry.url == address
            assert entry.hash.removeprefix("md5:") in pathlib.Path(module.__file__).read_text()


def test_progress_is_told_up_to_the_last_byte(server, known):
    known(f"{server}/w.h5")
    told = []
    registry.fetch("test", lambda done, total: told.append((done, total)))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in told} == {len(CONTENT)}
