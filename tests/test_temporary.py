"""Temporary folders go when their block ends; what a killed process left goes with the next one, and nothing else."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import pytest

from vggfcn import temporary
from vggfcn.temporary import PREFIX, libraries_tidied, remove_abandoned, temporary_folder

HOLDER = """
import pathlib, sys, time
from vggfcn.temporary import temporary_folder
with temporary_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "file").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def holder(parent):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, parent], stdout=subprocess.PIPE, text=True)
    return process, pathlib.Path(process.stdout.readline().strip())


@pytest.fixture(autouse=True)
def another_process(monkeypatch):
    """Each test looks for what others left, as a new process does."""
    monkeypatch.setattr(temporary, "_swept", set())


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, OSError])
def test_it_is_removed_however_the_block_ends(tmp_path, error):
    def use():
        with temporary_folder(tmp_path) as folder:
            (folder / "in it").mkdir()
            assert folder.parent == tmp_path
            if error:
                raise error

    if error:
        with pytest.raises(error):
            use()
    else:
        use()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_is_removed_does_not_keep_it(tmp_path, monkeypatch):
    calls = []

    def rmtree(folder, original=temporary.shutil.rmtree, **options):
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        original(folder, **options)

    monkeypatch.setattr(temporary.shutil, "rmtree", rmtree)
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_uses_stays_and_goes_once_it_was_killed(tmp_path):
    process, folder = holder(tmp_path)
    with process:
        remove_abandoned(tmp_path)
        assert (folder / "file").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder.exists()
        remove_abandoned(tmp_path)
        assert folder.exists()  # A process looks into a folder once.
        temporary._swept.clear()
        with temporary_folder(tmp_path) as other:
            assert list(tmp_path.iterdir()) == [other]


ALIKE = {
    "a file": lambda path: path.write_text("precious"),
    "a link to a folder": lambda path: path.symlink_to(path.parent / "precious", target_is_directory=True),
}
NAMES = [
    ".vggfcn-",
    ".vggfcn-short",
    ".vggfcn-toolongname",
    ".vggfcn-UPPERCAS",
    "vggfcn-abcdefgh",
    ".vggfcn-abcdefgh.old",
]


def test_what_only_looks_alike_stays(tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
    for number, make in enumerate(ALIKE.values()):
        make(tmp_path / f"{PREFIX}abcdefg{number}")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("precious")
    before = {path: path.lstat().st_ino for path in tmp_path.rglob("*")}
    (tmp_path / f"{PREFIX}abcdefgh").mkdir()
    with temporary_folder(tmp_path):
        pass
    assert {path: path.lstat().st_ino for path in tmp_path.rglob("*")} == before


def test_where_nothing_can_be_locked_nothing_is_taken_for_abandoned(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary, "lock", lambda file, wait: False)
    (tmp_path / f"{PREFIX}abcdefgh").mkdir()
    with temporary_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}abcdefgh"]


def test_one_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """As by another process that looks for abandoned ones at this very moment."""
    made = []

    def mkdtemp(original=tempfile.mkdtemp, **options):
        made.append(original(**options))
        if len(made) == 1:
            pathlib.Path(made[0]).rmdir()
        return made[-1]

    monkeypatch.setattr(temporary.tempfile, "mkdtemp", mkdtemp)
    with temporary_folder(tmp_path) as folder:
        assert folder.exists()
        assert len(made) == 2


def test_one_that_is_removed_while_it_is_being_locked_is_made_again(tmp_path, monkeypatch):
    locked = []

    def lock(file, wait, original=temporary.lock):
        locked.append(file)
        if len(locked) == 1:
            next(tmp_path.iterdir()).rmdir()
        return original(file, wait=wait)

    monkeypatch.setattr(temporary, "lock", lock)
    with temporary_folder(tmp_path) as folder:
        assert folder.exists()
        assert len(locked) == 2


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), temporary_folder(tmp_path / "gone"):
        pytest.fail("it cannot be made")


@pytest.fixture
def tmpdir(tmp_path, monkeypatch):
    """The folder for temporary files, of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TEMP", raising=False)
    return tmp_path


def test_what_libraries_leave_is_removed(tmpdir):
    with libraries_tidied():
        file = tempfile.mkstemp()[1]
        folder = tempfile.mkdtemp()
        subprocess.run(["mktemp"], check=True, capture_output=True)
        inside = {pathlib.Path(name).parent for name in (file, folder, os.environ["TEMP"] + "/x")}
        assert list(tmpdir.iterdir()) == list(inside)
        assert len(list(inside.pop().iterdir())) == 3
    assert list(tmpdir.iterdir()) == []
    assert (tempfile.gettempdir(), os.environ["TMPDIR"], os.environ.get("TEMP")) == (str(tmpdir), str(tmpdir), None)


def test_threads_share_the_folder_until_the_last_one_ends(tmpdir):
    inside, go_on = threading.Event(), threading.Event()

    def use():
        with libraries_tidied():
            inside.set()
            go_on.wait(10)
            tempfile.mkstemp()

    thread = threading.Thread(target=use)
    with libraries_tidied():
        thread.start()
        assert inside.wait(10)
        assert len(list(tmpdir.iterdir())) == 1
    assert len(list(tmpdir.iterdir())) == 1
    go_on.set()
    thread.join()
    assert list(tmpdir.iterdir()) == []
    assert tempfile.gettempdir() == str(tmpdir)
