"""Members of zip archives are where Python's `zipfile` put them, and archives that lie about them are refused."""

import os
import shutil
import struct
import zipfile

import pytest

from vggfcn.checkpoints import budget, zip_members
from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.tensors import EXPANSION
from vggfcn.errors import WeightsError

CONTENT = bytes(range(256))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "w.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first", "x" * 100)
        stored = zipfile.ZipInfo("stored")
        stored.extra = b"\x34\x12\x04\x00abcd"  # A field of four bytes between the name and the content.
        archive.writestr(stored, CONTENT)
        archive.writestr("packed", CONTENT, zipfile.ZIP_DEFLATED)
    return path


def member(path, name, **changes):
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    for attribute, value in changes.items():
        setattr(info, attribute, value)
    return info


def test_a_stored_member_lies_in_its_span(path):
    start, size = zip_members.stored_span(path, member(path, "stored"))
    assert path.read_bytes()[start : start + size] == CONTENT


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        pytest.param("packed", {}, "expected 'packed' uncompressed, as torch and Keras store it", id="compressed"),
        pytest.param("stored", {"flag_bits": 1}, "expected 'stored' uncompressed", id="encrypted"),
        pytest.param("stored", {"header_offset": 5}, "is not where the archive's directory says", id="somewhere else"),
        pytest.param("stored", {"header_offset": 10**6}, "is not where the archive's", id="a header beyond the end"),
        pytest.param("stored", {"file_size": 10**6}, "extends beyond the end of the file", id="longer than the file"),
    ],
)
def test_refuses_a_member_that_is(path, name, changes, message):
    with pytest.raises(WeightsError, match=message):
        zip_members.stored_span(path, member(path, name, **changes))


def budget_of(path):
    return Budget(path, path.stat().st_size)


@pytest.mark.parametrize("name", ["stored", "packed"])
def test_reads_a_small_member_whole(path, name):
    spent = budget_of(path)
    before = spent.bytes
    with zip_members.open_archive(path) as archive:
        assert zip_members.read_member(path, archive, name, spent) == CONTENT
    assert spent.bytes == before - len(CONTENT)


@pytest.mark.parametrize("name", ["stored", "packed"])
def test_unpacks_a_member_into_a_file_without_a_name(path, name, tmp_path, monkeypatch):
    monkeypatch.setattr(zip_members.tempfile, "tempdir", str(tmp_path))
    with zip_members.open_archive(path) as archive, zip_members.unpack(path, archive, name, budget_of(path)) as file:
        assert file.read() == CONTENT
        assert [item.name for item in tmp_path.iterdir()] == ["w.zip"]


@pytest.fixture
def bomb(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(1_000_000))
    assert path.stat().st_size * EXPANSION < 1_000_000
    return path


def test_refuses_a_decompression_bomb(bomb, monkeypatch):
    with (
        zip_members.open_archive(bomb) as archive,
        pytest.raises(WeightsError, match="'bomb' unpacks to over 32 times the file's size: a decompression bomb"),
    ):
        zip_members.unpack(bomb, archive, "bomb", budget_of(bomb))
    monkeypatch.setattr(budget, "ROOM", 900_000)
    with (
        zip_members.open_archive(bomb) as archive,
        pytest.raises(WeightsError, match="reading it would take over 0 MiB beyond twice its size"),
    ):
        zip_members.read_member(bomb, archive, "bomb", budget_of(bomb))


def test_refuses_a_member_for_which_the_disk_has_no_room(path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1000, 900, 100))
    message = "unpacking 'packed' takes 256 bytes in .*, where 100 are free; make room there, or set TMPDIR"
    with zip_members.open_archive(path) as archive, pytest.raises(WeightsError, match=message):
        zip_members.unpack(path, archive, "packed", budget_of(path))


def test_a_damaged_archive_is_refused_whether_it_is_opened_or_read(path):
    data = bytearray(path.read_bytes())
    where = data.index(CONTENT)
    data[where] ^= 1
    path.write_bytes(data)
    for read in (zip_members.read_member, zip_members.unpack):
        with (
            pytest.raises(WeightsError, match=r"the zip archive is damaged \(Bad CRC-32 for file 'stored'\); download"),
            zip_members.open_archive(path) as archive,
        ):
            read(path, archive, "stored", budget_of(path))
    path.write_bytes(data[:-30])
    with pytest.raises(WeightsError, match="the zip archive is damaged"), zip_members.open_archive(path):
        pass


def with_list(path, offset, value, which=0):
    """Change an entry of the list of members."""
    data = bytearray(path.read_bytes())
    start = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"][which]
    data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        pytest.param(8, b"\x01", "expected members stored or deflated, found 'first', which is", id="encrypted"),
        pytest.param(10, b"\x0e", "expected members stored or deflated, found 'first', which is", id="LZMA"),
        pytest.param(20, struct.pack("<I", 101), "the member 'stored' overlaps another one", id="overlapping"),
        pytest.param(46, b"/", "the member '/irst', which lies outside of it", id="an absolute name"),
        pytest.param(46, b"../a/", "the member '../a/', which lies outside of it", id="a name in another folder"),
    ],
)
def test_refuses_a_list_of_members(path, offset, value, message):
    with_list(path, offset, value)
    with pytest.raises(WeightsError, match=message), zip_members.open_archive(path):
        pass


def test_two_dots_may_be_part_of_a_name(path):
    with_list(path, 46, b"a..d/")
    with zip_members.open_archive(path) as archive:
        assert archive.namelist()[0] == "a..d/"


def test_refuses_a_member_that_extends_into_the_list(path):
    with_list(path, 20, struct.pack("<I", 10_000), which=2)
    with (
        pytest.raises(WeightsError, match="a member of the zip archive extends into the list of members"),
        zip_members.open_archive(path),
    ):
        pass


def test_refuses_two_members_of_one_name(tmp_path):
    path = tmp_path / "w.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with (
        pytest.raises(WeightsError, match="the zip archive has two members of the name 'a'"),
        zip_members.open_archive(path),
    ):
        pass


def test_a_long_list_of_members_is_not_read(path, monkeypatch):
    monkeypatch.setattr(zip_members, "MAX_DIRECTORY", 100)
    message = "expected a list of members of up to 100 bytes in the zip archive, found 1[0-9]{2}"
    with pytest.raises(WeightsError, match=message), zip_members.open_archive(path):
        pass


def test_a_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="expected a file, found a pipe"), zip_members.open_archive(tmp_path / "pipe"):
        pass
