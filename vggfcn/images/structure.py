"""Small image files whose structure would take Pillow all memory or hours: many tags, comments or scans."""

import collections
import io
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from vggfcn.errors import ImageError

# All as Pillow reads them: its headers of TIFF, its sizes of the types of tags, its tags that point to a directory.
_TIFF = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_EXIF_START = b"Exif\0\0"
_EXIF_TEXT = "Raw profile type exif"
# A JPEG marker that begins a segment with a length, or ends the image. Others are alone, or bytes of the pixels.
_MARKER = re.compile(rb"\xff([^\x00\x01\xc8\xd0-\xd8\xf0-\xfd\xff])", re.DOTALL)
_END, _SCAN, _APP1, _APP2 = 0xD9, 0xDA, 0xE1, 0xE2
_BLOCK = 1 << 16  # Read at once from a JPEG.

# Honest files have about 100 tags, whose values do not overlap, 10 to 50 scans, and a few comments.
_MAX_TAGS = 5_000
_MAX_SEGMENTS = 1_000  # of a JPEG, of each kind of marker
_MAX_COMMENTS = 10_000  # of a GIF, in blocks of at most 255 bytes
_MAX_STARTS = 10  # of EXIF data
_SPARE = 1 << 20  # bytes


def check_file(file: BinaryIO) -> None:
    """Look at a TIFF, JPEG or GIF file before Pillow opens it; raises `ImageError` if it would cost too much."""
    file.seek(0)
    start = file.read(6)
    if start.startswith(_TIFF):
        _check_tags("tags", file)
    elif start.startswith(b"\xff\xd8\xff"):
        _check_jpeg(file)
    elif start in (b"GIF87a", b"GIF89a"):
        _check_gif(file)
    file.seek(0)


def check_exif(info: Mapping[Any, Any]) -> None:
    """Look at the EXIF data in Pillow's `info` of an image before it is used; raises `ImageError` as above."""
    data = info.get("exif")
    if data is None and _EXIF_TEXT in info:  # In PNG: three lines about it, then hexadecimal digits.
        data = bytes.fromhex("".join(info[_EXIF_TEXT].split("\n")[3:]))
    _check_exif(data or b"")


def _check_exif(data: bytes) -> None:
    starts = 0
    while data.startswith(_EXIF_START, starts * len(_EXIF_START)):
        starts += 1
    if starts > _MAX_STARTS:  # Pillow copies the rest of the data at each.
        raise _refusal(f"{starts:,} starts of EXIF data", "one")
    _check_tags("EXIF tags", io.BytesIO(data[starts * len(_EXIF_START) :]))


def _check_tags(name: str, file: BinaryIO) -> None:
    """Follow the directories that Pillow reads: the first one, and those that its tags point to."""
    size = file.seek(0, 2)
    tags = nbytes = 0
    for found, length in _directories(file, size):
        tags, nbytes = tags + found, nbytes + length
        if tags > _MAX_TAGS:
            raise _refusal(f"more than {_MAX_TAGS:,} {name}", "about 100")
        if nbytes > size + _SPARE:
            raise _refusal(f"{name} of more than {nbytes:,} bytes in {size:,} bytes", "tags that do not overlap")


def _directories(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The number of tags of each directory, and the bytes of their values that lie elsewhere in the file."""
    file.seek(0)
    header = file.read(16)
    if not header.startswith(_TIFF) or len(header) < 16:
        return
    order, big = "<" if header.startswith(b"II") else ">", header[2] == 43
    waiting, seen = [*struct.unpack_from(f"{order}{'Q' if big else 'L'}", header, 8 if big else 4)], set[int]()
    while waiting:
        start = waiting.pop()
        if start in seen or start >= size:
            continue
        seen.add(start)
        tags, nbytes = 0, 0
        for tag, length, place in _tags(file, start, order, big):
            tags += 1
            if place + length > size:  # Pillow skips the values of a truncated file.
                continue
            nbytes += length
            if tag in (_EXIF, _GPS, _INTEROPERABILITY) and length <= 8:
                file.seek(place)
                waiting.append(int.from_bytes(file.read(length), "little" if order == "<" else "big"))
        yield tags, nbytes


def _tags(file: BinaryIO, start: int, order: str, big: bool) -> list[tuple[int, int, int]]:
    """The tags of a directory, no more than are needed to refuse it: (tag, bytes of its value, where they lie)."""
    counter, entry, room = ("Q", "HHQQ", 8) if big else ("H", "HHLL", 4)
    step, first = struct.calcsize(f"{order}{entry}"), start + struct.calcsize(f"{order}{counter}")
    file.seek(start)
    number = int.from_bytes(file.read(first - start), "little" if order == "<" else "big")
    data = file.read(min(number, _MAX_TAGS + 1) * step)
    tags = []
    for index, (tag, kind, count, place) in enumerate(
        struct.iter_unpack(f"{order}{entry}", data[: len(data) // step * step])
    ):
        length = count * _TYPE_SIZES.get(kind, 0)
        tags.append((tag, length, place if length > room else first + (index + 1) * step - room))
    return tags


def _check_jpeg(file: BinaryIO) -> None:
    counts, exif = collections.Counter[int](), []
    for marker, place in _segments(file):
        counts[marker] += 1
        if counts[marker] > _MAX_SEGMENTS:
            name = "scans" if marker == _SCAN else f"segments FF {marker:02X}"
            raise _refusal(f"more than {_MAX_SEGMENTS:,} {name}", "at most 50" if marker == _SCAN else "a few")
        if marker in (_APP1, _APP2) and not counts[_SCAN]:
            file.seek(place)
            data = file.read(max(0, int.from_bytes(file.read(2), "big") - 2))
            if marker == _APP1 and data.startswith(_EXIF_START):
                exif.append(data[len(_EXIF_START) :])
            elif marker == _APP2 and data.startswith(b"MPF\0"):  # An index of several pictures, in the same form.
                _check_tags("tags of its index", io.BytesIO(data[4:]))
    _check_exif(b"".join(exif))


def _segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """The segments of a JPEG up to its end, also those between scans: (marker, place of the length)."""
    place, scanned = 2, False
    while True:
        file.seek(place)
        block = file.read(_BLOCK)
        found = _MARKER.search(block)
        if found is None:
            if len(block) < 2:
                return
            place += len(block) - 1  # The last byte may be the first of a marker.
            continue
        marker, place, rest = found[1][0], place + found.end(), block[found.end() : found.end() + 2]
        if marker == _END and scanned:
            return
        yield marker, place
        if marker == _END:  # Pillow goes on.
            continue
        scanned = scanned or marker == _SCAN
        if len(rest) < 2:
            file.seek(place)
            rest = file.read(2)
        place += max(2, int.from_bytes(rest, "big"))


def _check_gif(file: BinaryIO) -> None:
    """Read the extensions before the first image exactly as Pillow does, which joins the comments one by one."""
    file.seek(10)
    flags = (file.read(1) or b"\0")[0]
    file.seek(13 + (3 << (flags & 7) + 1 if flags & 128 else 0))
    blocks = nbytes = 0
    while (kind := file.read(1)) and kind not in b";,":
        if kind != b"!":
            continue
        label, block = file.read(1), _gif_block(file)
        if label != b"\xfe":
            if label == b"\xff" and block.startswith(b"NETSCAPE2.0"):
                _gif_block(file)
            while _gif_block(file):
                pass
            continue
        blocks += 1
        while block:
            blocks, nbytes = blocks + 1, nbytes + len(block)
            if blocks > _MAX_COMMENTS or nbytes > _SPARE:
                raise _refusal(f"more than {_MAX_COMMENTS:,} blocks or {_SPARE:,} bytes of comments", "a few lines")
            block = _gif_block(file)


def _gif_block(file: BinaryIO) -> bytes:
    size = file.read(1)
    return file.read(size[0]) if size else b""


def _refusal(found: str, expected: str) -> ImageError:
    return ImageError(f"has {found}; expected {expected}: open it in an image editor and save it again")
