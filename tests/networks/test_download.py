"""Downloads are verified, whole or not there at all, and end well for everybody (from a server on loopback)."""

import gc
import pathlib
import subprocess
import sys

import pytest
from file_server import CONTENT, MD5, NOWHERE, SHA256, serving

from vggfcn.errors import WeightsError
from vggfcn.networks import download

# A connection that is cut leaves its socket to the garbage collector, in urllib3 or in this server.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def no_mirrors(monkeypatch):
    monkeypatch.delenv("VGGFCN_MIRROR", raising=False)


@pytest.fixture
def server():
    with serving() as (address, requests):
        yield address, requests


@pytest.fixture
def retrieve(tmp_path):
    """Download the file from an address into a new folder."""

    def run(url, known_hash=f"md5:{MD5}", size=7000, progress=None):
        return download.retrieve("w.h5", url, known_hash, size, tmp_path, progress)

    return run


@pytest.mark.parametrize("path", ["w.h5", "elsewhere/w.h5", "trickle/w.h5"])
def test_the_file_comes_whole_also_by_redirects_and_from_slow_servers(server, retrieve, tmp_path, path):
    assert retrieve(f"{server[0]}/{path}") == tmp_path / "w.h5"
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [CONTENT]


def test_a_file_that_is_there_is_not_downloaded_again(server, retrieve):
    retrieve(f"{server[0]}/w.h5")
    retrieve(f"{server[0]}/w.h5")
    assert server[1] == ["/w.h5"]


def test_the_beginning_of_a_hash_is_enough_as_torchvision_publishes_it(server, retrieve):
    assert retrieve(f"{server[0]}/w.h5", f"sha256:{SHA256[:8]}", size=0).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "known_hash", "message"),
    [
        pytest.param("w.h5", f"md5:{'0' * 32}", f"expected the md5 hash 0{{32}}, got {MD5}; the file was", id="hash"),
        pytest.param("w.h5", "sha256:00000000", f"sha256 hash 00000000, got {SHA256}", id="beginning of a hash"),
        pytest.param("gone.h5", f"md5:{MD5}", "404", id="not found"),
        pytest.param("cut/w.h5", f"md5:{MD5}", "IncompleteRead|md5 hash", id="cut connection"),
        pytest.param("stalled/w.h5", f"md5:{MD5}", "timed out", id="stalled"),
        pytest.param(None, f"md5:{MD5}", "refused", id="nobody answers"),
    ],
)
def test_a_failed_download_says_why_and_leaves_nothing(
    server, retrieve, tmp_path, monkeypatch, path, known_hash, message
):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    with pytest.raises(WeightsError, match=f"^could not be downloaded from http.*{message}") as caught:
        retrieve(f"{server[0]}/{path}" if path else NOWHERE, known_hash)
    assert list(tmp_path.iterdir()) == []
    del caught
    gc.collect()


def test_after_a_failure_the_next_attempt_starts_anew(server, retrieve):
    with pytest.raises(WeightsError):
        retrieve(f"{server[0]}/cut/w.h5")
    assert retrieve(f"{server[0]}/w.h5").read_bytes() == CONTENT


def test_mirrors_are_tried_first_and_may_fail(server, retrieve, monkeypatch):
    address, requests = server
    monkeypatch.setenv("VGGFCN_MIRROR", f"{NOWHERE} {address}/mirror/")
    retrieve(f"{address}/origin/w.h5").unlink()
    assert requests == ["/mirror/w.h5"]
    monkeypatch.setenv("VGGFCN_MIRROR", f"{address}/cut")
    assert retrieve(f"{address}/origin/w.h5").read_bytes() == CONTENT
    assert requests[1:] == ["/cut/w.h5", "/origin/w.h5"]


def test_the_room_on_the_disk_is_checked_before_half_a_gigabyte_comes(server, retrieve):
    with pytest.raises(WeightsError, match=r"1,152,921,504,606,846,976 bytes needed, [\d,]+ available"):
        retrieve(f"{server[0]}/w.h5", size=1 << 60)
    assert server[1] == []


def test_progress_goes_up_to_the_last_byte(server, retrieve):
    calls = []
    retrieve(f"{server[0]}/w.h5", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in calls} == {len(CONTENT)}


RETRIEVE = """
import pathlib, sys
from vggfcn.networks import download
{before}
print(download.retrieve("w.h5", sys.argv[1], "md5:" + sys.argv[2], 7000, pathlib.Path(sys.argv[3])))
"""


def process(url, folder, before=""):
    return subprocess.Popen(
        [sys.executable, "-c", RETRIEVE.format(before=before), url, MD5, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_both_end_well(server, tmp_path):
    both = [process(f"{server[0]}/trickle/w.h5", tmp_path) for _ in range(2)]
    for one in both:
        out, error = one.communicate(timeout=60)
        assert (one.returncode, error) == (0, "")
        assert pathlib.Path(out.strip()).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["w.h5"]


def test_a_disk_that_fills_up_leaves_nothing(server, tmp_path):
    """A limit on the size of files stands in for the full disk: the write fails in the middle."""
    before = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    before += "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    one = process(f"{server[0]}/w.h5", tmp_path, before)
    _, error = one.communicate(timeout=60)
    assert one.returncode == 1
    assert "File too large" in error
    assert list(tmp_path.iterdir()) == []
