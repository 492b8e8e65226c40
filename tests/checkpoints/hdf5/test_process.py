"""A child process may crash, hang or ask for everything: the file is refused, and the next one is read."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import broken_hdf5
import h5py
import numpy as np
import pytest

from vggfcn.checkpoints.hdf5 import process, tree, worker
from vggfcn.checkpoints.reading import reading
from vggfcn.errors import WeightsError

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "sound.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=VALUES, chunks=True)
        file.attrs["text"] = "some"
    return path


def read(path):
    with reading(path) as budget:
        return tree.read(tree.whole(path), budget)


def is_sound(path):
    return np.array_equal(read(path).dataset("a").read(), VALUES)


CRASH = """
import os, signal
from vggfcn.checkpoints.hdf5 import worker
worker._TASKS["describe"] = lambda *arguments: os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_crash_of_the_library_is_a_refusal(sound, monkeypatch):
    process._helper.stop()
    with monkeypatch.context() as patched:
        patched.setattr(process, "_HELPER", process._HELPER.replace("process.serve", f"{CRASH}process.serve"))
        with pytest.raises(
            WeightsError, match=r"sound.h5: the HDF5 library crashed on it, or took more time or memory"
        ):
            read(sound)
    process._helper.stop()
    assert is_sound(sound)


def test_texts_that_crash_the_library_are_not_read(sound):
    broken_hdf5.crash(sound, "labels")
    code = f"import h5py; h5py.File({str(sound)!r}).attrs['labels']"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGSEGV
    assert read(sound).attributes["labels"] is None
    with pytest.raises(WeightsError, match="the attribute 'labels' is not a list of texts"):
        read(sound).texts("labels")


def test_a_library_that_never_comes_back_is_a_refusal(sound, tmp_path, monkeypatch):
    path = tmp_path / "hang.h5"
    path.write_bytes(sound.read_bytes())
    broken_hdf5.hang(path)
    start = time.perf_counter()
    with pytest.raises(WeightsError, match=r"hang.h5: the HDF5 library crashed on it, or took more time"):
        read(path)
    assert 1 < time.perf_counter() - start < 4 * process.CPU_SECONDS
    assert is_sound(sound)


def in_child(action, size=0):
    """What `action` gives in a forked process with the limits of a child: its text, or "signal" and a number."""
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.closerange(3, writing_end)
            process._limit(size)
            try:
                result = str(action())
            except BaseException as error:
                result = type(error).__name__
            os.write(writing_end, result.encode())
        os._exit(0)
    os.close(writing_end)
    text = os.read(reading_end, 1000).decode()
    os.close(reading_end)
    status = os.waitpid(child, 0)[1]
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else text


FORBIDDEN = {
    "opening another file": (lambda: os.open("/etc/passwd", os.O_RDONLY), "OSError"),
    "starting a program": (lambda: subprocess.run(["/bin/true"]), "OSError"),
    "a connection": (lambda: socket.socket(), "OSError"),
    "writing to a file": (lambda: os.write(1000, b"x"), "OSError"),
    "memory": (lambda: len(np.empty(2 << 30, np.uint8)), "MemoryError"),
}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_child_may_not(name):
    action, expected = FORBIDDEN[name]
    assert in_child(action).endswith(expected)
    if name == "memory":
        assert in_child(action, size=1 << 30) == str(2 << 30), "a large file needs more"


def test_a_helper_that_was_killed_is_started_again(sound):
    assert is_sound(sound)
    helper = process._helper._process
    helper.kill()
    helper.wait()
    assert is_sound(sound)
    assert process._helper._process.pid != helper.pid


def test_many_threads_read_at_once(sound):
    results = []
    threads = [threading.Thread(target=lambda: results.append(is_sound(sound))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 16


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("ending", ["it ends", "it is killed"])
def test_the_helper_ends_with_the_process_that_started_it(ending, sound):
    code = (
        "import pathlib, sys, time\nfrom vggfcn.checkpoints.hdf5 import process, tree, worker\n"
        "from vggfcn.checkpoints.reading import reading\n"
        f"path = pathlib.Path({str(sound)!r})\n"
        "with reading(path) as budget:\n    tree.read(tree.whole(path), budget)\n"
        "print(process._helper._process.pid, flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        helper = int(user.stdout.readline())
        assert alive(helper)
        if ending == "it is killed":
            user.kill()
        user.stdin.close()
        user.wait()
    end = time.monotonic() + 10
    while alive(helper) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(helper)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_the_process_has_a_helper_of_its_own(sound):
    assert is_sound(sound)
    child = os.fork()
    if child == 0:
        before = process._helper._process.pid
        good = is_sound(sound) and process._helper._process.pid != before
        process._helper.stop()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert is_sound(sound)


def test_a_running_program_is_not_imported_again(tmp_path, sound):
    """As multiprocessing does, which runs a script without a guard twice."""
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib\nfrom vggfcn.checkpoints.hdf5 import tree\nfrom vggfcn.checkpoints.reading import reading\n"
        f"print('once')\npath = pathlib.Path({str(sound)!r})\n"
        "with reading(path) as budget:\n    print(list(tree.read(tree.whole(path), budget).members))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("once\n['a']\n", "")


def test_without_fork_a_thread_reads(sound, monkeypatch):
    monkeypatch.setattr(process, "CAN_FORK", False)
    monkeypatch.delattr(os, "pread")
    assert is_sound(sound)
    sound.write_bytes(sound.read_bytes()[:100])
    with pytest.raises(WeightsError, match="the HDF5 file is damaged"):
        read(sound)


def test_an_answer_of_another_size_is_a_refusal(sound):
    dataset = read(sound).dataset("a")
    rows = np.empty((2, 3), np.float32)
    with dataset.source.session() as session, pytest.raises(WeightsError, match="another size than the file states"):
        session.into({"do": "read", "name": "/a", "start": 0, "stop": 1}, rows)


def test_the_rest_of_an_answer_is_not_taken_for_the_next(sound):
    request = {"do": "read", "name": "/a", "start": 0, "stop": 2}
    with tree.whole(sound).session() as session:
        with pytest.raises(WeightsError, match="another size than the file states"):
            session.into(request, np.empty((1, 3), np.float32))
        with pytest.raises(WeightsError, match="the HDF5 library crashed on it"):
            session.into(request, np.empty((2, 3), np.float32))


def test_a_session_answers_many_questions_and_asks_one_child(sound, monkeypatch):
    started = []
    send = process._helper.send
    monkeypatch.setattr(process._helper, "send", lambda *arguments: (started.append(1), send(*arguments)))
    source = tree.whole(sound)
    with reading(sound) as budget, source.session():
        for _ in range(3):
            assert np.array_equal(tree.read(source, budget).dataset("a").read(), VALUES)
    assert len(started) == 1
    with reading(sound) as budget:
        assert np.array_equal(tree.read(source, budget).dataset("a").read(), VALUES)
    assert len(started) == 3


def test_threads_that_share_a_session_get_their_own_answers(sound):
    rows = [np.full((1, 3), np.nan, np.float32) for _ in range(200)]
    with tree.whole(sound).session() as session:

        def ask(number):
            start = number % 2
            session.into({"do": "read", "name": "/a", "start": start, "stop": start + 1}, rows[number])

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(np.array_equal(row[0], VALUES[number % 2]) for number, row in enumerate(rows))


def test_numbers_that_are_damaged_after_others_are_a_refusal(tmp_path):
    """In the child's second block, of fewer bytes than what it says of the damage."""
    path, size = tmp_path / "w.h5", (worker.BLOCK >> 2) + 5
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.full(size, 1000.5, "f4"), chunks=(worker.BLOCK >> 2,), fletcher32=True)
        where = file["a"].id.get_chunk_info(1).byte_offset
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="the HDF5 library crashed on it, or took more"):
        read(path).dataset("a").read()
