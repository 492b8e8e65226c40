"""Members of zip archives: where stored ones lie, and small ones read without trusting the sizes the archive states."""

import contextlib
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Iterator

from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.tensors import EXPANSION
from vggfcn.errors import WeightsError

SIGNATURE = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature ... length of the name, length of the extra field


@contextlib.contextmanager
def open_archive(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; any problem with it becomes a `WeightsError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as error:
        raise damaged(path, f"the zip archive is damaged ({error})") from None


def stored_span(path: pathlib.Path, member: zipfile.ZipInfo) -> tuple[int, int]:
    """(first byte, number of bytes) of an uncompressed member in the archive.

    Raises `WeightsError` if the member is compressed or encrypted, or extends beyond the end of the archive.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise WeightsError(
            f"{path}: expected {member.filename} uncompressed, as torch and Keras store it; save the file again"
        )
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(SIGNATURE):
        raise damaged(path, f"{member.filename} is not where the archive's directory says")
    _, name, extra = _LOCAL_HEADER.unpack(header)
    start = member.header_offset + _LOCAL_HEADER.size + name + extra
    if start + member.file_size > path.stat().st_size:
        raise damaged(path, f"{member.filename} extends beyond the end of the file")
    return start, member.file_size


def read_member(path: pathlib.Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member; raises `WeightsError` if it unpacks to far more than the whole file."""
    limit = EXPANSION * path.stat().st_size
    with archive.open(name) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise WeightsError(f"{path}: {name} unpacks to over {EXPANSION} times the file's size: a decompression bomb")
    return data
