"""TIFF and BigTIFF files, of which only the tiles or strips that are asked for are decoded."""

import logging
import pathlib
import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vggfcn.errors import ImageError
from vggfcn.images import reading
from vggfcn.images.source import SegmentedSource, check_segment, damaged, needed

# Decoders that stop at the size that they are told, but for JPEG, whose size is looked up before.
_NONE, _JPEG = 1, 7
_COMPRESSIONS = {_NONE, 5, _JPEG, 8, 32946, 32773, 50000}
_WHITE_IS_ZERO, _GREY, _RGB, _YCBCR = 0, 1, 2, 6
# What Pillow makes of (interpretation, bits, samples, kinds of those beyond colour): its mode, and how bytes become it.
_PIXELS = {
    (_WHITE_IS_ZERO, 8, 1, ()): ("L", "L;I"),
    (_GREY, 8, 1, ()): ("L", "L"),
    (_GREY, 16, 1, ()): ("I;16", "I;16N"),
    (_GREY, 8, 2, (0,)): ("L", "L"),
    (_GREY, 8, 2, (1,)): ("La", "La"),
    (_GREY, 8, 2, (2,)): ("LA", "LA"),
    (_RGB, 8, 3, ()): ("RGB", "RGB"),
    (_RGB, 8, 4, ()): ("RGBA", "RGBA"),
    (_RGB, 8, 4, (0,)): ("RGB", "RGBX"),
    (_RGB, 8, 4, (1,)): ("RGBA", "RGBa"),
    (_RGB, 8, 4, (2,)): ("RGBA", "RGBA"),
    (_RGB, 16, 3, ()): ("RGB", "RGB;16N"),
    (_RGB, 16, 4, ()): ("RGBA", "RGBA;16N"),
    (_RGB, 16, 4, (0,)): ("RGB", "RGBX;16N"),
    (_RGB, 16, 4, (1,)): ("RGBA", "RGBa;16N"),
    (_RGB, 16, 4, (2,)): ("RGBA", "RGBA;16N"),
}
# JPEG's markers before that of its size, and those of its size.
_SKIPPED = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
_SIZED = {0xC0, 0xC1, 0xC2, 0xC3}
_RAW_BYTES = 1 << 20  # of an uncompressed strip at a time
_EXPECTED = "expected upright grey or RGB of 8 or 16 bits, with or without alpha"
# What tifffile says of damaged files goes to a log that somebody has set up, and nowhere else.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffSource(SegmentedSource):
    """The first page of a TIFF file: RGB uint8.

    Tiled or in strips, grey, RGB or either with alpha, 8 or 16 bits per sample, samples together or in planes of their
    own; uncompressed, or compressed by LZW, deflate, PackBits, Zstandard or JPEG. Raises `ImageError` for other kinds
    and damaged files, and if the extra `large` is missing.
    """

    def __init__(self, path: pathlib.Path):
        tifffile = needed("tifffile", path)
        needed("imagecodecs", path)
        try:
            with tifffile.TiffFile(path, _multifile=False) as file:
                self._take(path, file.pages.first, file.byteorder)
        except Exception as error:  # A damaged header leads to whatever it leads to.
            raise damaged(path, error) from None

    def _take(self, path: pathlib.Path, page: Any, order: str) -> None:
        self._modes = _pillow_modes(path, page)
        self._page, self._decode = page, page.decode
        self._spans = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        self._dtype = np.dtype(f"{order}u{page.bitspersample // 8}")
        self._planes = page.samplesperpixel if page.planarconfig == 2 else 1
        self._samples = page.samplesperpixel // self._planes
        height, width = page.imagelength, page.imagewidth
        self._stored = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
        self._row_bytes = width * self._samples * self._dtype.itemsize
        self._raw = not page.is_tiled and (page.compression, page.predictor, page.fillorder) == (_NONE, 1, 1)
        rows = max(1, _RAW_BYTES // max(1, self._row_bytes))
        super().__init__(path, (height, width), (min(rows, height), width) if self._raw else self._stored)
        check_segment(path, (*self.grid, page.samplesperpixel), self._dtype.itemsize)

    def _segment(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        with self.path.open("rb") as file:
            if self._raw:
                planes = [self._uncompressed(file, plane, top, bottom) for plane in range(self._planes)]
            else:
                planes = [self._coded(file, plane, top, left) for plane in range(self._planes)]
        pixels = np.concatenate(planes, -1) if self._planes > 1 else planes[0]
        pixels = pixels[: bottom - top, : right - left]
        if pixels.shape != (bottom - top, right - left, self._samples * self._planes):
            raise ValueError(f"pixels of shape {pixels.shape}")
        return pixels

    def _uncompressed(self, file: BinaryIO, plane: int, top: int, bottom: int) -> np.ndarray:
        """Rows of a plane whose strips are not compressed: they may begin and end in the middle of one."""
        height, read, row = self._stored[0], [], top
        while row < bottom:
            strip, skipped = divmod(row, height)
            rows = min(height - skipped, bottom - row)
            offset, _ = self._spans[plane * -(-self.shape[0] // height) + strip]
            read.append(_bytes(file, offset + skipped * self._row_bytes, rows * self._row_bytes))
            row += rows
        pixels = np.frombuffer(b"".join(read), self._dtype).reshape(bottom - top, self.shape[1], self._samples)
        return pixels.astype(self._dtype.newbyteorder("="), copy=False)

    def _coded(self, file: BinaryIO, plane: int, top: int, left: int) -> np.ndarray:
        (height, width), (rows, columns) = self._stored, self.shape[:2]
        across = -(-columns // width)
        index = plane * -(-rows // height) * across + top // height * across + left // width
        offset, size = self._spans[index]
        if not size:  # A sparse file leaves out tiles without content.
            return np.full((height, width, self._samples), self._page.nodata, self._page.dtype)
        data = _bytes(file, offset, size)
        tables: dict[str, Any] = {}
        if self._page.compression == _JPEG:
            _check_jpeg(data, self._stored)
            tables = {"jpegtables": self._page.jpegtables}
        return self._decode(data, index, **tables)[0][0]

    def _rgb(self, pixels: np.ndarray) -> np.ndarray:
        mode, raw = self._modes
        if raw == "RGB":
            return pixels
        if mode == "L":
            pixels = pixels[..., :1]  # What may follow has no known meaning, and no raw mode before Pillow 13.
        size = pixels.shape[1], pixels.shape[0]
        image = Image.frombytes(mode, size, np.ascontiguousarray(pixels).tobytes(), "raw", raw)
        return np.asarray(reading.to_rgb(image))


def _pillow_modes(path: pathlib.Path, page: Any) -> tuple[str, str]:
    """Pillow's mode and raw mode for the page's pixels; refuses what cannot be read in parts, or stands on its side."""
    orientation, numbers = page.tags.valueof(274, 1), page.tags.valueof(339, 1)
    # A JPEG's own colours are brought to RGB by its decoder.
    colours = _RGB if page.photometric == _YCBCR and page.compression == _JPEG else int(page.photometric)
    found = (colours, page.bitspersample, page.samplesperpixel, tuple(map(int, page.extrasamples)))
    if page.compression not in _COMPRESSIONS:
        expected = "none, LZW, deflate, PackBits, Zstandard or JPEG"
        raise ImageError(f"{path}: is compressed by {_name(page.compression)}; expected {expected}: convert it")
    if orientation != 1 or set(np.atleast_1d(numbers)) != {1} or page.imagedepth != 1 or found not in _PIXELS:
        raise ImageError(
            f"{path}: is {_name(page.photometric)} of {page.samplesperpixel} samples of {page.bitspersample} bits "
            f"(sample format {numbers}, orientation {orientation}); {_EXPECTED}: convert it"
        )
    return _PIXELS[found]


def _name(value: Any) -> str:
    return getattr(value, "name", str(value))


def _bytes(file: BinaryIO, offset: int, size: int) -> bytes:
    """Refuses before memory is taken for what the file does not hold."""
    available = file.seek(0, 2) - offset
    if offset < 0 or size > available:
        raise ImageError(f"{file.name}: breaks off; expected {size:,} bytes at {offset:,}, found {max(0, available):,}")
    file.seek(offset)
    return file.read(size)


def _check_jpeg(data: bytes, expected: tuple[int, int]) -> None:
    """A JPEG tile states a size of its own, and its decoder would make room for it."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF and (data[place + 1] in _SKIPPED or data[place + 1] in _SIZED):
        if data[place + 1] in _SIZED:
            size = struct.unpack_from(">HH", data, place + 5)
            if size[0] > expected[0] or size[1] > expected[1]:
                raise ValueError(f"a JPEG of {size[0]} x {size[1]} pixels in a tile of {expected[0]} x {expected[1]}")
            return
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    raise ValueError("a JPEG that does not state its size")
