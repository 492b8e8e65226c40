"""Downloads are verified, whole or not there at all, and end well for everybody (from a server on loopback)."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest
from file_server import CONTENT, MD5, NOWHERE, OLDER, SHA256, observed

from vggfcn import answers
from vggfcn.errors import WeightsError
from vggfcn.networks import download

# A connection that is cut leaves its socket to the garbage collector, in urllib3 or in this server.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Small blocks and no pauses; no mirrors."""
    monkeypatch.delenv("VGGFCN_MIRROR", raising=False)
    monkeypatch.setattr(download, "PAUSES", (0, 0))
    for module in (answers, download):
        monkeypatch.setattr(module, "BLOCK", 500)


@pytest.fixture
def server():
    with observed() as (address, requests, asked):
        yield types.SimpleNamespace(address=address, requests=requests, asked=asked)


@pytest.fixture
def part(tmp_path):
    return tmp_path / "w.h5.part"


@pytest.fixture
def retrieve(tmp_path):
    """Download the file from an address into a new folder."""

    def run(url, known_hash=f"md5:{MD5}", size=7000, progress=None):
        return download.retrieve("w.h5", url, known_hash, size, tmp_path, progress)

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", ["w.h5", "elsewhere/w.h5", "trickle/w.h5"])
def test_the_file_comes_whole_also_by_redirects_and_from_slow_servers(server, retrieve, tmp_path, path):
    assert retrieve(f"{server.address}/{path}") == tmp_path / "w.h5"
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [CONTENT]


def test_a_file_that_is_there_is_not_downloaded_again(server, retrieve):
    retrieve(f"{server.address}/w.h5")
    retrieve(f"{server.address}/w.h5")
    assert server.requests == ["/w.h5"]


def test_the_beginning_of_a_hash_is_enough_as_torchvision_publishes_it(server, retrieve):
    assert retrieve(f"{server.address}/w.h5", f"sha256:{SHA256[:8]}", size=0).read_bytes() == CONTENT


REFUSALS = {
    "hash": ("w.h5", f"md5:{'0' * 32}", 7000, f"expected the md5 hash 0{{32}}, got {MD5}; the file was deleted"),
    "beginning of a hash": ("w.h5", "sha256:00000000", 7000, f"sha256 hash 00000000, got {SHA256}"),
    "not found": ("gone/w.h5", f"md5:{MD5}", 7000, "the server answers 404 Not.*Found"),
    "another file": ("w.h5", f"md5:{MD5}", 6999, "expected 6,999 bytes, and the file has 7,000"),
    "longer": ("longer/w.h5", f"md5:{MD5}", 7000, "expected 7,000 bytes, and the file has 9,000"),
    "longer than it says": ("endless/w.h5", f"md5:{MD5}", 7000, "sends more than the 7,000 bytes expected"),
    "endless": ("endless/w.h5", f"md5:{MD5}", 0, "sends more than the 100,000 bytes expected"),
    "too long": ("w.h5", f"md5:{MD5}", 0, "expected at most 6,000 bytes, and the file has 7,000"),
    "a file of this computer": ("file/w.h5", f"md5:{MD5}", 7000, "redirects to file:///etc/hostname"),
    "compressed": ("gzip/w.h5", f"md5:{MD5}", 7000, "in the encoding gzip"),
    "slow headers": ("slow-headers/w.h5", f"md5:{MD5}", 7000, "sent less than 500 bytes in 0.5 s"),
    "slow": ("drip/w.h5", f"md5:{MD5}", 7000, "sent less than 500 bytes in 0.5 s"),
    "nobody answers": (None, f"md5:{MD5}", 7000, "refused"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_failed_download_says_why_and_leaves_nothing(server, retrieve, tmp_path, monkeypatch, refusal):
    path, known_hash, size, message = REFUSALS[refusal]
    if "slow" in refusal:
        monkeypatch.setattr(answers, "PATIENCE", 0.5)
    monkeypatch.setattr(download, "LARGEST", 6000 if refusal == "too long" else 100_000)
    with pytest.raises(WeightsError, match=f"^could not be downloaded from http.*{message}.*\\)$") as caught:
        retrieve(f"{server.address}/{path}" if path else NOWHERE, known_hash, size)
    assert "\x1b" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_connection_that_breaks_is_made_again_for_what_is_missing(server, retrieve, tmp_path):
    retrieve(f"{server.address}/cut/w.h5")
    assert (names(tmp_path), (tmp_path / "w.h5").read_bytes()) == (["w.h5"], CONTENT)
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=2500-", "bytes=5000-"]
    assert [asked.get("If-Range") for asked in server.asked] == [None, '"one"', '"one"']


@pytest.mark.parametrize("folder", ["busy", "down"])
def test_a_server_that_is_out_of_order_is_asked_again_after_pauses(server, retrieve, monkeypatch, folder):
    pauses = []
    monkeypatch.setattr(download, "PAUSES", (1, 4))
    monkeypatch.setattr(download, "time", types.SimpleNamespace(sleep=pauses.append))
    if folder == "busy":
        retrieve(f"{server.address}/busy/w.h5")
    else:
        with pytest.raises(WeightsError, match="the server answers 500 Internal Server Error"):
            retrieve(f"{server.address}/down/w.h5")
    assert (len(server.requests), pauses) == (3, [1, 4])


def test_what_has_come_is_kept_and_the_next_time_goes_on_from_there(server, retrieve, tmp_path, part):
    with pytest.raises(WeightsError, match=r"its first 2,500 bytes are kept for the next time$"):
        retrieve(f"{server.address}/cut-whole/w.h5")
    assert (names(tmp_path), part.read_bytes()) == (["w.h5.part"], CONTENT[:2500])
    retrieve(f"{server.address}/w.h5")
    assert (names(tmp_path), (tmp_path / "w.h5").read_bytes()) == (["w.h5"], CONTENT)
    assert server.asked[-1]["Range"] == "bytes=2500-"


PARTS = {
    "nothing": b"",
    "a beginning": CONTENT[:1],
    "all but a byte": CONTENT[:-1],
    "all": CONTENT,
    "too much": CONTENT + b"s",
    "the beginning of another file": OLDER[:2500],
    "another file": OLDER,
    "much of another file": OLDER * 10,
}


@pytest.mark.parametrize("folder", ["", "whole/"])
@pytest.mark.parametrize("size", [7000, 0])
@pytest.mark.parametrize("before", PARTS)
def test_whatever_was_kept_the_file_is_right(server, retrieve, tmp_path, part, before, size, folder):
    part.write_bytes(PARTS[before])
    assert retrieve(f"{server.address}/{folder}w.h5", size=size).read_bytes() == CONTENT
    assert names(tmp_path) == ["w.h5"]
    assert (server.requests == []) == (before == "all")


@pytest.mark.parametrize("folder", ["another-range", "changing"])
def test_a_server_that_does_not_go_on_there_gives_the_whole_file_or_none(server, retrieve, tmp_path, part, folder):
    """One sends other bytes than those asked for, the other has a new version each time, so that parts never fit."""
    part.write_bytes(CONTENT[:100])
    with pytest.raises(WeightsError, match=r"does not go on where it was asked to|IncompleteRead"):
        retrieve(f"{server.address}/{folder}/w.h5")
    assert len(server.requests) < 10
    assert set(names(tmp_path)) <= {"w.h5.part"}
    assert CONTENT.startswith(part.read_bytes() if part.exists() else b"")
    assert retrieve(f"{server.address}/w.h5").read_bytes() == CONTENT


def test_a_file_of_another_size_is_replaced(server, retrieve, tmp_path):
    (tmp_path / "w.h5").write_bytes(CONTENT[:100])
    assert retrieve(f"{server.address}/w.h5").read_bytes() == CONTENT


def test_mirrors_are_tried_first_and_may_fail(server, retrieve, monkeypatch):
    address, requests = server.address, server.requests
    monkeypatch.setenv("VGGFCN_MIRROR", f"{NOWHERE} {address}/mirror/")
    retrieve(f"{address}/origin/w.h5").unlink()
    assert requests == ["/mirror/w.h5"]
    monkeypatch.setenv("VGGFCN_MIRROR", f"{address}/cut-whole")
    assert retrieve(f"{address}/origin/w.h5").read_bytes() == CONTENT
    assert requests[1:] == [*["/cut-whole/w.h5"] * 3, "/origin/w.h5"]


def test_the_room_on_the_disk_is_checked_before_half_a_gigabyte_comes(server, retrieve):
    with pytest.raises(WeightsError, match=r"1,152,921,504,606,846,976 bytes needed, [\d,]+ available"):
        retrieve(f"{server.address}/w.h5", size=1 << 60)
    assert server.requests == []


def test_progress_goes_up_to_the_last_byte(server, retrieve):
    calls = []
    retrieve(f"{server.address}/w.h5", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in calls} == {len(CONTENT)}


SMALL_BLOCKS = "from vggfcn import answers\nanswers.BLOCK = download.BLOCK = 500\n"
RETRIEVE = """
import pathlib, signal, sys
# As on a terminal: a process that a shell starts in the background ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
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
    both = [process(f"{server.address}/trickle/w.h5", tmp_path) for _ in range(2)]
    for one in both:
        out, error = one.communicate(timeout=60)
        assert (one.returncode, error) == (0, "")
        assert pathlib.Path(out.strip()).read_bytes() == CONTENT
    assert names(tmp_path) == ["w.h5"]
    assert len(server.requests) == 1


def test_a_disk_that_fills_up_leaves_nothing(server, tmp_path):
    """A limit on the size of files stands in for the full disk: the write fails in the middle."""
    before = SMALL_BLOCKS + "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    before += "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    one = process(f"{server.address}/w.h5", tmp_path, before)
    _, error = one.communicate(timeout=60)
    assert one.returncode == 1
    assert "File too large" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_download_leaves_its_part_alone_and_goes_on(server, retrieve, tmp_path, part, kind):
    one = process(f"{server.address}/trickle/w.h5", tmp_path, SMALL_BLOCKS)
    while one.poll() is None and not (part.exists() and part.stat().st_size >= 1000):
        time.sleep(0.01)
    one.send_signal(kind)
    one.communicate()
    assert names(tmp_path) == ["w.h5.part"]
    assert CONTENT.startswith(part.read_bytes())
    assert retrieve(f"{server.address}/w.h5").read_bytes() == CONTENT
    assert int(server.asked[-1]["Range"][6:-1]) >= 1000


def test_a_file_in_a_folder_that_cannot_be_written_is_found(server, retrieve, tmp_path, monkeypatch):
    (tmp_path / "w.h5").write_bytes(CONTENT)
    monkeypatch.setattr(download, "_opened", None)
    assert retrieve(f"{server.address}/w.h5") == tmp_path / "w.h5"
    assert server.requests == []


def test_a_file_is_on_the_disk_before_it_has_its_name(server, retrieve, monkeypatch):
    """A loss of power could otherwise leave a file of the right size with nothing in it."""
    synced = []
    monkeypatch.setattr("vggfcn.files.os.fsync", lambda file: synced.append(os.fstat(file).st_size))
    retrieve(f"{server.address}/w.h5")
    assert synced[0] == 7000
