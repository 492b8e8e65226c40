"""Members of zip files: where they lie, and small ones read without trusting what the archive says of their size."""

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
def opened(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever is wrong with it becomes a `WeightsError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as error:
        raise damaged(path, f"the zip archive is damaged ({error})") from None


def span(path: pathlib.Path, member: zipfile.ZipInfo) -> tuple[int, int]:
    """(first byte, number of bytes) in the archive of a member that is stored as it is.

    Raises `WeightsError` if it is compressed, encrypted, or reaches beyond the archive.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise WeightsError(f"{path}: {member.filename} is compressed, which torch and Keras never do; save it anew")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(SIGNATURE):
        raise damaged(path, f"{member.filename} is not where the archive says")
    _, name, extra = _LOCAL_HEADER.unpack(header)
    start = member.header_offset + _LOCAL_HEADER.size + name + extra
    if start + member.file_size > path.stat().st_size:
        raise damaged(path, f"{member.filename} reaches beyond the end of the file")
    return start, member.file_size


def content(path: pathlib.Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes; raises `WeightsError` if they are far more than the whole file."""
    limit = EXPANSION * path.stat().st_size
    with archive.open(name) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise WeightsError(f"{path}: {name} is more than {EXPANSION} times the file, a decompression bomb")
    return data
