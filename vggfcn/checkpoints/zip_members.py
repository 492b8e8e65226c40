"""Members of zip archives: where stored ones lie, and others unpacked without trusting the sizes the archive states."""

import contextlib
import io
import pathlib
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.tensors import EXPANSION
from vggfcn.errors import WeightsError, one_line, shown
from vggfcn.files import open_regular

SIGNATURE = b"PK\x03\x04"
# Bytes of the list of members: that of torch's files has about 100 for each array.
MAX_DIRECTORY = 4 << 20
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature ... length of the name, length of the extra field
_ENCRYPTED = 1
_BLOCK = 1 << 20


@contextlib.contextmanager
def open_archive(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose members are stored or deflated, each with a name and a place of its own.

    Any problem with it becomes a `WeightsError`.
    """
    try:
        with _Start(open_regular(path).detach(), path) as file, zipfile.ZipFile(file) as archive:
            file.opened = True
            _check_members(path, archive)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise damaged(path, f"the zip archive is damaged ({one_line(error, 200)})") from error


class _Start(io.BufferedReader):
    """A file from which `zipfile` reads no list of members that is longer than `MAX_DIRECTORY`: it reads it at once."""

    def __init__(self, raw: io.RawIOBase, path: pathlib.Path):
        super().__init__(raw)
        self.path, self.opened = path, False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.opened and size is not None and size > MAX_DIRECTORY:
            raise WeightsError(
                f"{self.path}: expected a list of members of up to {MAX_DIRECTORY:,} bytes in the zip archive, found "
                f"{size:,}; it is no archive of a network"
            )
        return super().read(size)


def _check_members(path: pathlib.Path, archive: zipfile.ZipFile) -> None:
    """Raise `WeightsError` for members that programs understand differently, or that only attacks have."""
    end = 0
    names = set()
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        name = member.filename
        if name in names:
            raise damaged(path, f"the zip archive has two members of the name {shown(name)}")
        if name.startswith("/") or ".." in name.split("/"):
            raise damaged(path, f"the zip archive has the member {shown(name)}, which lies outside of it")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & _ENCRYPTED:
            raise WeightsError(
                f"{path}: expected members stored or deflated, found {shown(name)}, which is encrypted or compressed "
                "otherwise; save the file again"
            )
        if member.header_offset < end:
            raise damaged(path, f"the member {shown(name)} overlaps another one")
        names.add(name)
        end = member.header_offset + _LOCAL_HEADER.size + len(name) + member.compress_size
    if end > archive.start_dir:
        raise damaged(path, "a member of the zip archive extends into the list of members")


def stored_span(path: pathlib.Path, member: zipfile.ZipInfo) -> tuple[int, int]:
    """(first byte, number of bytes) of an uncompressed member in the archive.

    Raises `WeightsError` if the member is compressed or encrypted, or extends beyond the end of the archive.
    """
    name = shown(member.filename)
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
        raise WeightsError(f"{path}: expected {name} uncompressed, as torch and Keras store it; save the file again")
    with open_regular(path) as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        size = file.seek(0, io.SEEK_END)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(SIGNATURE):
        raise damaged(path, f"{name} is not where the archive's directory says")
    _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    start = member.header_offset + _LOCAL_HEADER.size + name_size + extra_size
    if member.compress_size != member.file_size or start + member.file_size > size:
        raise damaged(path, f"{name} extends beyond the end of the file")
    return start, member.file_size


def read_member(path: pathlib.Path, archive: zipfile.ZipFile, name: str, budget: Budget) -> bytes:
    """The bytes of a member; raises `WeightsError` if they are more than the budget has."""
    size = archive.getinfo(name).file_size
    budget.spend(made=size)
    with archive.open(name) as file:
        return file.read(size)


def unpack(path: pathlib.Path, archive: zipfile.ZipFile, name: str, budget: Budget) -> BinaryIO:
    """The bytes of a member in an anonymous temporary file, positioned at its start.

    Raises `WeightsError` if it unpacks to far more than the whole archive, or to more than the disk has room for.
    """
    member = archive.getinfo(name)
    if member.file_size > EXPANSION * budget.size:
        raise WeightsError(
            f"{path}: {shown(name)} unpacks to over {EXPANSION} times the file's size: a decompression bomb"
        )
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if member.file_size > free:
        raise WeightsError(
            f"{path}: unpacking {shown(name)} takes {member.file_size:,} bytes in {folder}, where {free:,} are free; "
            "make room there, or set TMPDIR to another folder"
        )
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - The caller closes it.
    try:
        with archive.open(member) as file:
            shutil.copyfileobj(file, unpacked, _BLOCK)
        unpacked.seek(0)
    except BaseException:
        unpacked.close()
        raise
    return unpacked
