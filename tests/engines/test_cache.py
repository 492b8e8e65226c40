"""The engine cache: what it finds, what it deletes, and what a failure leaves behind."""

import os
import types

import pytest

from vggfcn import temporary
from vggfcn.engines import cache as cache_module
from vggfcn.temporary import temporary_folder


def store(key, times=None):
    path = cache_module.store(key, 10, lambda folder: (folder / "file").write_text(key))
    if times:
        os.utime(path, times)
    return path


def test_what_was_stored_is_found_by_its_name(cache):
    path = store("network")
    assert path == cache / "network"
    assert cache_module.find("network") == path
    assert (path / "file").read_text() == "network"
    assert cache_module.find("other") is None


def test_the_networks_last_used_are_kept(cache):
    for age in range(cache_module.CAPACITY):
        store(f"network{age}", (1000 - age, 1000 - age))
    assert cache_module.find(f"network{cache_module.CAPACITY - 1}")  # the oldest, but used now
    with temporary_folder(cache) as unfinished:  # of another process
        os.utime(unfinished, (0, 0))
        store("new")
        expected = {"new", "network0", "network1", f"network{cache_module.CAPACITY - 1}", unfinished.name}
        assert {path.name for path in cache.iterdir()} == expected


@pytest.mark.parametrize("length", range(20))
def test_a_network_that_was_cut_is_not_found(cache, length):
    """Wherever a loss of power cuts its files; they are about 70 bytes long."""
    for name in ("file", cache_module.DIGESTS):
        path = store("network")
        whole = (path / name).stat().st_size
        os.truncate(path / name, length * whole // 20)
        assert cache_module.find("network") is None
        assert not path.exists()


def test_a_network_that_was_killed_while_it_was_written_is_removed(cache, monkeypatch):
    monkeypatch.setattr(temporary, "_swept", set())
    (cache / ".vggfcn-abcdefgh").mkdir(parents=True)
    store("network")
    assert [path.name for path in cache.iterdir()] == ["network"]


DAMAGES = {
    "a changed file": lambda folder: (folder / "file").write_text("netwark"),
    "a missing file": lambda folder: (folder / "file").unlink(),
    "one file too many": lambda folder: (folder / "more").write_text("more"),
    "no digests": lambda folder: (folder / cache_module.DIGESTS).unlink(),
    "digests that are not text": lambda folder: (folder / cache_module.DIGESTS).write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_network_is_not_found_and_deleted(cache, damage):
    path = store("network")
    DAMAGES[damage](path)
    assert cache_module.find("network") is None
    assert not path.exists()


def test_a_network_stored_by_another_process_meanwhile_stays(cache):
    def write(folder):
        (folder / "file").write_text("mine")
        store("network")

    path = cache_module.store("network", 10, write)
    assert (path / "file").read_text() == "network"
    assert list(cache.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(cache):
    def write(folder):
        (folder / "file").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        cache_module.store("network", 10, write)
    assert list(cache.iterdir()) == []


def test_a_full_disk_is_an_error_before_anything_is_written(cache, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=9))
    with pytest.raises(OSError, match=r"not enough disk space in .*: 10 bytes needed, 9 available"):
        store("network")
    assert list(cache.iterdir()) == []
