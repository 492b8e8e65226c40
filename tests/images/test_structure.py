"""Small files that would take Pillow all memory or hours are refused at once; honest ones of these kinds are read."""

import io
import pathlib
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from bad_images import bomb
from PIL import Image

from vggfcn.errors import ImageError
from vggfcn.images import reading, structure

CHELSEA = pathlib.Path(__file__).parent.parent / "data" / "chelsea.jpg"
PNG_START = b"\x89PNG\r\n\x1a\n"
ADVICE = "open it in an image editor and save it again"
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965


def directories(*tables, order="<", big=False, size=0):
    """A TIFF of directories of (tag, type, count, value), the first one first; `size` bytes follow.

    A value `("directory", n)` is the place of directory n, and `"data"` that of the bytes behind them all.
    """
    word, entry, counter = ("Q", "HHQQ", "Q") if big else ("L", "HHLL", "H")
    start = struct.pack(f"{order}2sHHHQ", b"II" if order == "<" else b"MM", 43, 8, 0, 16)
    start = start if big else struct.pack(f"{order}2sHL", b"II" if order == "<" else b"MM", 42, 8)
    sizes = [struct.calcsize(f"{order}{counter}{word}") + len(t) * struct.calcsize(f"{order}{entry}") for t in tables]
    places = [len(start) + sum(sizes[:n]) for n in range(len(tables) + 1)]

    def packed(tag, kind, count, value):
        value = places[-1] if value == "data" else places[value[1]] if isinstance(value, tuple) else value
        return struct.pack(f"{order}{entry}", tag, kind, count, value)

    body = [
        struct.pack(f"{order}{counter}", len(t))
        + b"".join(packed(*row) for row in t)
        + struct.pack(f"{order}{word}", 0)
        for t in tables
    ]
    return start + b"".join(body) + bytes(size)


def overlapping(number, length, first=50_000):
    return [(first + n % 10_000, 7, length, "data") for n in range(number)]


def pointing(*tags):
    """Directories each of which points to the next one by one of the tags, and the last of which is costly."""
    tables = [[(tag, 4, 1, ("directory", n + 1))] for n, tag in enumerate(tags)]
    return directories(*tables, overlapping(4000, 60_000), size=60_000)


COSTLY = directories(overlapping(4000, 60_000), size=60_000)
SMALL = directories(overlapping(2000, 30_000), size=30_000)  # Fits into a segment of a JPEG.
MANY = directories([(50_000 + n % 10_000, 3, 1, 0) for n in range(5001)])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return PNG_START + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(bytes(72))) + chunk(b"IEND", b"")


def raw_profile(data, kind=b"zTXt"):
    text = f"\nexif\n{len(data)}\n{data.hex()}".encode()
    start = b"Raw profile type exif\0"
    return chunk(kind, start + (b"\0" + zlib.compress(text) if kind == b"zTXt" else text))


def late(data):
    """A PNG with EXIF data behind the pixels, where Pillow reads it with them."""
    whole = png()
    return whole[:-12] + chunk(b"eXIf", data) + whole[-12:]


def saved(name, **options):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(file, name, **options)
    return file.getvalue()


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments, rest=None):
    whole = saved("JPEG")
    return whole[:2] + b"".join(segments) + (whole[2:] if rest is None else rest)


def scans(number, between=b""):
    """A progressive JPEG whose last scan is repeated."""
    whole = saved("JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + (between + last) * number + whole[-2:]


def gif(*extensions, **options):
    whole = saved("GIF", **options)
    place = 13 + (3 << (whole[10] & 7) + 1 if whole[10] & 128 else 0)
    return whole[:place] + b"".join(extensions) + whole[place:]


def comment(*blocks):
    return b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


OVERLAP = "tags of more than .* bytes in .* bytes; expected tags that do not overlap"
TOO_MANY = "more than 5,000 {}tags; expected about 100"
EXIF_OVERLAP = f"EXIF {OVERLAP}"
COMMENTS = "more than 10,000 blocks or 1,048,576 bytes of comments; expected a few lines"
SCANS = "more than 1,000 scans; expected at most 50"
REFUSED = {
    "TIFF tags with the same bytes": (COSTLY, OVERLAP),
    "the same, big-endian": (directories(overlapping(4000, 60_000), order=">", size=60_000), OVERLAP),
    "the same, BigTIFF": (directories(overlapping(4000, 60_000), big=True, size=60_000), OVERLAP),
    "the same, of eight bytes each": (directories([(5, 12, 7000, "data")] * 99, size=56_000), OVERLAP),
    "the same, with a mixed-up header": (b"II\0*" + COSTLY[4:], OVERLAP),
    "many TIFF tags": (MANY, TOO_MANY.format("")),
    "many BigTIFF tags": (directories([(7, 3, 1, 0)] * 9999, big=True), TOO_MANY.format("")),
    "many tags in several directories": (
        directories(
            [(EXIF, 4, 1, ("directory", 1))],
            [(GPS, 4, 1, ("directory", 2)), *[(7, 3, 1, 0)] * 3000],
            [(7, 3, 1, 0)] * 3000,
        ),
        TOO_MANY.format(""),
    ),
    "the directory EXIF": (pointing(EXIF), OVERLAP),
    "the directory GPS": (pointing(GPS), OVERLAP),
    "the directory of interoperability": (pointing(EXIF, INTEROPERABILITY), OVERLAP),
    "PNG": (png(chunk(b"eXIf", COSTLY)), EXIF_OVERLAP),
    "PNG, behind the pixels": (late(COSTLY), EXIF_OVERLAP),
    "PNG, many tags": (png(chunk(b"eXIf", MANY)), TOO_MANY.format("EXIF ")),
    "PNG, as a compressed text": (png(raw_profile(COSTLY)), EXIF_OVERLAP),
    "PNG, as a text": (png(raw_profile(COSTLY, b"tEXt")), EXIF_OVERLAP),
    "PNG, many starts": (png(chunk(b"eXIf", b"Exif\0\0" * 999)), "1,000 starts of EXIF data; expected one"),
    "WebP": (saved("WEBP", exif=COSTLY), EXIF_OVERLAP),
    "JPEG": (jpeg(segment(0xE1, b"Exif\0\0" + SMALL)), EXIF_OVERLAP),
    "JPEG, in several segments": (
        jpeg(*(segment(0xE1, b"Exif\0\0" + COSTLY[n : n + 60_000]) for n in range(0, len(COSTLY), 60_000))),
        EXIF_OVERLAP,
    ),
    "JPEG, an index of pictures": (
        jpeg(segment(0xE2, b"MPF\0" + SMALL)),
        "tags of its index of more than",
    ),
    "JPEG, behind a marker without a length": (
        jpeg(
            b"\xff\xd8",
            b"\xff\xf0",
            b"\xff\xd9",
            segment(0xE1, b"Exif\0\0" + SMALL),
        ),
        EXIF_OVERLAP,
    ),
    "many JPEG segments": (jpeg(segment(0xE1, b"Exif\0\0a") * 1001), "more than 1,000 segments FF E1; expected a few"),
    "many ends of a JPEG": (jpeg(b"\xff\xd9" * 1001), "more than 1,000 segments FF D9"),
    "many scans": (scans(1001), SCANS),
    "many scans, after an end within a comment": (scans(1000, segment(0xFE, b"\xff\xd9")), SCANS),
    "many comments": (gif(comment(b"a") * 10_001), COMMENTS),
    "a comment of many blocks": (gif(comment(*[b"a"] * 10_001)), COMMENTS),
    "a long comment": (gif(comment(*[b"a" * 255] * 4200)), COMMENTS),
    "many comments, behind other extensions": (
        gif(b"\x21\xf9\0\x04\0\0\0\0\0", b"\x21\xff\x0bNETSCAPE2.0\0\x01,\0", b"xyz", comment(b"a") * 10_001),
        COMMENTS,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_at_once(tmp_path, name):
    content, message = REFUSED[name]
    (tmp_path / "image").write_bytes(content)
    start = time.monotonic()
    with pytest.raises(ImageError, match=f"^{tmp_path / 'image'}: has {message}.*: {ADVICE}$"):
        reading.read_image(tmp_path / "image")
    assert time.monotonic() - start < 2
    assert len(content) < 2_000_000


def tags_of(size):
    exif = Image.Exif()
    exif[270] = "a" * size
    exif[274] = 3
    exif.get_ifd(EXIF)[37510] = b"b" * size
    exif.get_ifd(GPS)[29] = "2020:01:01"
    return exif


def looping():
    return directories([(EXIF, 4, 1, ("directory", 0)), (GPS, 4, 1, ("directory", 0))])


def pages(number):
    file = io.BytesIO()
    first, *others = [Image.new("L", (4, 4))] * number
    first.save(file, "TIFF", save_all=True, append_images=others)
    return file.getvalue()


def frames(number):
    file = io.BytesIO()
    first, *others = [Image.new("L", (4, 4), n % 256) for n in range(number)]
    first.save(file, "GIF", save_all=True, append_images=others, loop=0, comment=b"about it")
    return file.getvalue()


TRUNCATED = directories([(270, 2, 900_000, "data"), *[(n, 7, 1 << 30, "data") for n in range(700, 710)]], size=10)
READ = {
    "a photo": CHELSEA.read_bytes(),
    "a photo with all its EXIF data": saved("JPEG", exif=tags_of(30_000)),
    "EXIF data in PNG": saved("PNG", exif=tags_of(3_000_000)),
    "EXIF data in WebP": saved("WEBP", exif=tags_of(300_000)),
    "EXIF data in TIFF": saved("TIFF", exif=tags_of(3_000_000)),
    "a raw profile in PNG": png(raw_profile(b"Exif\0\0" + directories([(274, 3, 1, 3)]))),
    "EXIF data that is cut": jpeg(segment(0xE1, b"Exif\0\0" + TRUNCATED)),
    "EXIF data that points to itself": jpeg(segment(0xE1, b"Exif\0\0" + looping())),
    "EXIF data that points beyond every end": jpeg(
        segment(0xE1, b"Exif\0\0" + directories([(GPS, 16, 1, "data")]) + b"\xff" * 8)
    ),
    "a few tags that overlap": jpeg(segment(0xE1, b"Exif\0\0" + directories(overlapping(30, 30_000), size=30_000))),
    "no EXIF data": jpeg(segment(0xE1, b"Exif\0\0")),
    "strips of one row": saved("TIFF", tiffinfo={278: 1}),
    "a TIFF of 700 pages with about 7,000 tags": pages(700),
    "a progressive JPEG": saved("JPEG", progressive=True),
    "EXIF data between scans, which Pillow skips": scans(2, segment(0xE1, b"Exif\0\0" + SMALL)),
    "900 scans": scans(900),
    "a film behind a photo": saved("JPEG") + b"\xff\xda\0\2" * 5000,
    "scans in a thumbnail": jpeg(*[segment(0xE2, b"\xff\xda" * 1500)] * 4),
    "an animation": frames(300),
    "comments between the frames": gif() + comment(b"a") * 20_000,
    "a comment": gif(comment(*[b"a" * 255] * 4000)),
    "many other extensions": gif(b"\x21\xff\x0bSOMETHING01\x01a\0" * 20_000),
}


@pytest.mark.parametrize("name", READ)
def test_reads_honest_files(tmp_path, name):
    (tmp_path / "image").write_bytes(READ[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's of damaged EXIF data.
        with Image.open(io.BytesIO(READ[name])) as image:
            size = image.size
    assert reading.read_image(tmp_path / "image").shape == (*size[::-1], 3)


def test_a_file_with_too_many_pixels_is_still_refused_for_that(tmp_path):
    (tmp_path / "image").write_bytes(bomb(60_000))
    with pytest.raises(ImageError, match="more than 89,478,485 pixels"):
        reading.read_image(tmp_path / "image")


@pytest.mark.parametrize("name", [name for name in REFUSED if not name.startswith(("PNG", "WebP"))])
@pytest.mark.parametrize("part", [0.001, 0.01, 0.3, 0.9])
def test_cut_files_raise_nothing_else(name, part):
    content = REFUSED[name][0]
    try:
        structure.check_file(io.BytesIO(content[: int(len(content) * part)]))
    except ImageError as error:
        assert ADVICE in str(error)
