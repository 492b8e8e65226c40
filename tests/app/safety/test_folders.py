"""The server's temporary folder, and what killed servers left."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from vggfcn.app.safety.folders import PREFIX, temporary_folder

pytest.importorskip("fcntl", reason="folders are locked on POSIX alone")
HOLD = """
import time
from vggfcn.app.safety.folders import temporary_folder
with temporary_folder() as folder:
    (folder / "upload.png").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def parent(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other(parent):
    """Another server's process, and its folder."""
    environment = {**os.environ, "TMPDIR": str(parent)}
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process, parent / pathlib.Path(process.stdout.readline().strip()).name
        process.kill()


def test_a_folder_is_this_users_alone_and_goes(parent):
    with temporary_folder() as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o77 == 0
    assert list(parent.iterdir()) == []


def test_a_running_servers_folder_stays_and_a_killed_ones_goes(other):
    process, folder = other
    with temporary_folder():
        assert (folder / "upload.png").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.exists()
    with temporary_folder():
        assert not folder.exists()


def test_a_folder_without_a_lock_goes_once_it_cannot_be_new(parent):
    new, old = parent / f"{PREFIX}new", parent / f"{PREFIX}old"
    for folder in (new, old):
        folder.mkdir()
    os.utime(old, (time.time() - 3600,) * 2)
    with temporary_folder():
        assert (new.exists(), old.exists()) == (True, False)


def test_links_and_files_of_such_a_name_stay(parent, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    os.utime(elsewhere, (0, 0))
    (parent / f"{PREFIX}link").symlink_to(elsewhere)
    (parent / f"{PREFIX}file").touch()
    with temporary_folder():
        assert elsewhere.exists()
        assert (parent / f"{PREFIX}file").exists()
