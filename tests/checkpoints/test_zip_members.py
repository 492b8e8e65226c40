"""Members of zip archives are where Python's `zipfile` put them, and archives that lie about them are refused."""

import zipfile

import pytest

from vggfcn.checkpoints import zip_members
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
        pytest.param("packed", {}, "expected packed uncompressed, as torch and Keras store it", id="compressed"),
        pytest.param("stored", {"flag_bits": 1}, "expected stored uncompressed", id="encrypted"),
        pytest.param("stored", {"header_offset": 5}, "is not where the archive's directory says", id="somewhere else"),
        pytest.param("stored", {"header_offset": 10**6}, "is not where the archive's", id="a header beyond the end"),
        pytest.param("stored", {"file_size": 10**6}, "extends beyond the end of the file", id="longer than the file"),
    ],
)
def test_refuses_a_member_that_is(path, name, changes, message):
    with pytest.raises(WeightsError, match=message):
        zip_members.stored_span(path, member(path, name, **changes))


@pytest.mark.parametrize("name", ["stored", "packed"])
def test_reads_a_small_member_whole(path, name):
    with zip_members.open_archive(path) as archive:
        assert zip_members.read_member(path, archive, name) == CONTENT


def test_refuses_a_decompression_bomb(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(1_000_000))
    assert path.stat().st_size * EXPANSION < 1_000_000
    with (
        zip_members.open_archive(path) as archive,
        pytest.raises(WeightsError, match="bomb unpacks to over 32 times the file's size: a decompression bomb"),
    ):
        zip_members.read_member(path, archive, "bomb")


def test_a_damaged_archive_is_refused_whether_it_is_opened_or_read(path):
    data = bytearray(path.read_bytes())
    where = data.index(CONTENT)
    data[where] ^= 1
    path.write_bytes(data)
    with (
        pytest.raises(WeightsError, match=r"the zip archive is damaged \(Bad CRC-32 for file 'stored'\); download"),
        zip_members.open_archive(path) as archive,
    ):
        zip_members.read_member(path, archive, "stored")
    path.write_bytes(data[:-30])
    with pytest.raises(WeightsError, match="the zip archive is damaged"), zip_members.open_archive(path):
        pass
