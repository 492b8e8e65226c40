"""Files are replaced whole or not at all; what does not fit on the disk is refused before anything is written."""

import hashlib
import os
import pathlib
import re
import types

import numpy as np
import pytest

from vggfcn import files
from vggfcn.errors import MapError
from vggfcn.files import (
    cache_folder,
    check_folder,
    check_room,
    digest,
    joint_digest,
    replacing,
    replacing_all,
    span,
    write_all,
)


def test_replacing_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with replacing(target) as unfinished:
        unfinished.write_text("new")
        assert (unfinished.parent.parent, target.read_text()) == (tmp_path, "old")
    assert target.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), replacing(target) as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "new")]


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    target = tmp_path / ("n" * 255)
    with replacing(target) as unfinished:
        unfinished.write_text("new")
    assert target.read_text() == "new"


@pytest.mark.parametrize("replace", [replacing, lambda path: replacing_all([path])], ids=["one", "all"])
def test_a_new_file_is_on_the_disk_before_it_replaces_the_old_one(tmp_path, monkeypatch, replace):
    target = tmp_path / "x"
    target.write_text("old")
    synced = []
    monkeypatch.setattr(files.os, "fsync", lambda file: synced.append((os.fstat(file).st_ino, target.read_text())))
    with replace(target) as unfinished:
        (unfinished / "x" if unfinished.is_dir() else unfinished).write_text("new")
    assert synced == [(target.stat().st_ino, "old"), (tmp_path.stat().st_ino, "new")]


def test_all_is_written_though_each_write_takes_less():
    class Slow:
        written = b""

        def write(self, content):
            self.written += bytes(content[:3])
            return min(3, len(content))

    file = Slow()
    write_all(file, np.arange(5, dtype=np.int16).data)
    assert file.written == np.arange(5, dtype=np.int16).tobytes()
    full = types.SimpleNamespace(write=lambda content: None, name="x")
    with pytest.raises(OSError, match="cannot be written"):
        write_all(full, b"abc")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_target_appears_in_place_of_the_old_one(tmp_path, kind):
    target = tmp_path / "x"
    for content in ("old", "new"):
        with replacing_all([target]) as folder:
            if kind == "folder":
                (folder / "x").mkdir()
            (folder / "x" / "in it" if kind == "folder" else folder / "x").write_text(content)
    assert (target / "in it" if kind == "folder" else target).read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_two_files_appear_together_or_not_at_all(tmp_path, monkeypatch, failing):
    targets = [tmp_path / "x.bin", tmp_path / "x.xml"]
    for path in targets:
        path.write_text("old")
    moves = []

    def rename(source, to, original=pathlib.Path.rename):
        moves.append(source)
        if len(moves) == failing + 1:
            raise OSError("no")
        return original(source, to)

    with pytest.raises(OSError, match="no"), replacing_all(targets) as folder:
        for path in targets:
            (folder / path.name).write_text("new")
        monkeypatch.setattr(pathlib.Path, "rename", rename)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.bin", "x.xml"]
    assert [path.read_text() for path in targets] == ["old", "old"]


def test_a_missing_folder_is_named_with_what_to_do(tmp_path):
    check_folder(tmp_path / "map.npy", "name another file", MapError)
    expected = "gone/map.npy: there is no folder gone; create it, or name another file"
    with pytest.raises(MapError, match=re.escape(expected)):
        check_folder("gone/map.npy", "name another file", MapError)


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    asked = []

    def usage(path):
        asked.append(path)
        return types.SimpleNamespace(free=1999)

    monkeypatch.setattr(files.shutil, "disk_usage", usage)
    check_room(tmp_path / "not" / "yet", 1999)
    with pytest.raises(OSError, match=r"not enough disk space in .*yet: 2,000 bytes needed, 1,999 available"):
        check_room(tmp_path / "not" / "yet", 2000)
    assert asked == [tmp_path] * 2


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 5000  # more than a block
    (tmp_path / "file").write_bytes(content)
    assert digest(tmp_path / "file", "sha256") == hashlib.sha256(content).hexdigest()


def test_a_joint_digest_goes_by_the_parts_their_order_and_their_borders():
    parts = [b"ab", np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::2]]
    pieces = [b"ab", parts[1].tobytes()]
    whole = b"".join(b"%d:" % number + hashlib.sha256(piece).digest() for number, piece in enumerate(pieces))
    assert joint_digest(parts) == hashlib.sha256(whole).hexdigest()
    assert len({joint_digest(some) for some in ([b"ab"], [b"a", b"b"], [b"b", b"a"], [b"", b"ab"])}) == 4


@pytest.mark.parametrize(
    ("wanted", "expected"), [(slice(None), (0, 9)), (slice(2), (0, 2)), (slice(3, 9), (3, 9)), (slice(4, 4), (4, 4))]
)
def test_a_slice_as_a_span(wanted, expected):
    assert span("rows", wanted, 9) == expected


@pytest.mark.parametrize("wanted", [slice(-1, 9), slice(0, 10), slice(5, 4), slice(0, 9, 2)])
def test_a_slice_that_is_no_span_within_the_length(wanted):
    with pytest.raises(ValueError, match="rows: expected start and stop from 0 to 9, got "):
        span("rows", wanted, 9)


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected a file name, but this is a folder"), replacing(tmp_path):
        pytest.fail("nothing may be written")


def test_the_cache_folder_is_the_variables_or_the_platforms(monkeypatch):
    monkeypatch.setenv("VGGFCN_CACHE", "somewhere")
    assert cache_folder() == pathlib.Path("somewhere")
    monkeypatch.setenv("VGGFCN_CACHE", "")
    assert cache_folder().name == "vggfcn"
    assert cache_folder().is_absolute()
