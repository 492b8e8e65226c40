"""Locks keep other processes out until their own process ends; where there are none, nobody is kept out."""

import errno
import os
import subprocess
import sys
import time

import pytest

from vggfcn import locks

HOLDER = """
import os, sys, time
from vggfcn.locks import lock
lock(os.open(sys.argv[1], os.O_RDONLY), wait=False)
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


def holder(path, seconds):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.fixture
def path(tmp_path):
    return tmp_path


def opened(path):
    return os.open(path, os.O_RDONLY)


def test_a_lock_is_held_until_its_process_is_killed(path):
    with holder(path, 60) as process:
        with pytest.raises(BlockingIOError):
            locks.lock(opened(path), wait=False)
        process.kill()
    assert locks.lock(opened(path), wait=False)


def test_waiting_takes_until_the_other_process_ends(path):
    with holder(path, 0.5):
        start = time.perf_counter()
        assert locks.lock(opened(path), wait=True)
        assert time.perf_counter() - start > 0.2


@pytest.mark.parametrize("lacking", ["the system", "the disk"])
def test_without_locks_nobody_is_kept_out(path, monkeypatch, lacking):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    if lacking == "the system":
        monkeypatch.setattr(locks, "fcntl", None)
    else:
        monkeypatch.setattr(locks.fcntl, "flock", refuse)
    assert not locks.lock(opened(path), wait=False)
    assert not locks.lock(opened(path), wait=True)
