"""TIFF and BigTIFF files, of which only the required tiles or strips are decoded."""

import logging
import pathlib
import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vggfcn.errors import ImageError
from vggfcn.images import reading
from vggfcn.images.source import SegmentedSource, check_segment, damage_error, import_extra

# Their decoders stop at a given size. JPEG's does not, so `_check_jpeg` looks at the size first.
_NONE, _JPEG = 1, 7
_COMPRESSIONS = {_NONE, 5, _JPEG, 8, 32946, 32773, 50000}
_WHITE_IS_ZERO, _GREY, _RGB, _YCBCR = 0, 1, 2, 6
# (photometric interpretation, bits, samples, extra samples) -> Pillow's mode and raw mode.
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
# The JPEG markers that may precede the frame header, and those of the frame header, which holds the size.
_BEFORE_FRAME = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
_FRAME = {0xC0, 0xC1, 0xC2, 0xC3}
_RAW_BYTES = 1 << 20  # Read at once from an uncompressed strip.
_EXPECTED = "expected upright grey or RGB of 8 or 16 bits, with or without alpha"
# Without a handler, Python would print tifffile's messages about damaged files to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffSource(SegmentedSource):
    """The first page of a TIFF file: RGB uint8.

    The file may be tiled or in strips; grey or RGB, with or without alpha; of 8 or 16 bits per sample, interleaved or
    planar; uncompressed, or compressed with LZW, deflate, PackBits, Zstandard or JPEG. Raises `ImageError` for other
    kinds of files and damaged ones, and if the extra `large` is missing.
    """

    def __init__(self, path: pathlib.Path):
        tifffile = import_extra("tifffile", path)
        import_extra("imagecodecs", path)
        try:
            with tifffile.TiffFile(path, _multifile=False) as file:
                self._set_layout(path, file.pages.first, file.byteorder)
        except Exception as error:  # tifffile raises all kinds of exceptions for damaged headers.
            raise damage_error(path, error) from None

    def _set_layout(self, path: pathlib.Path, page: Any, order: str) -> None:
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
        with reading.opened(self.path) as file:
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
        """Rows of a plane with uncompressed strips; they may begin and end in the middle of a strip."""
        height, read, row = self._stored[0], [], top
        while row < bottom:
            strip, skipped = divmod(row, height)
            rows = min(height - skipped, bottom - row)
            offset, _ = self._spans[plane * -(-self.shape[0] // height) + strip]
            read.append(self._bytes(file, offset + skipped * self._row_bytes, rows * self._row_bytes))
            row += rows
        pixels = np.frombuffer(b"".join(read), self._dtype).reshape(bottom - top, self.shape[1], self._samples)
        return pixels.astype(self._dtype.newbyteorder("="), copy=False)

    def _coded(self, file: BinaryIO, plane: int, top: int, left: int) -> np.ndarray:
        (height, width), (rows, columns) = self._stored, self.shape[:2]
        across = -(-columns // width)
        index = plane * -(-rows // height) * across + top // height * across + left // width
        offset, size = self._spans[index]
        if not size:  # A sparse file omits empty tiles.
            return np.full((height, width, self._samples), self._page.nodata, self._page.dtype)
        data = self._bytes(file, offset, size)
        tables: dict[str, Any] = {}
        if self._page.compression == _JPEG:
            _check_jpeg(data, self._stored)
            tables = {"jpegtables": self._page.jpegtables}
        return self._decode(data, index, **tables)[0][0]

    def _bytes(self, file: BinaryIO, offset: int, size: int) -> bytes:
        """Read from the file; raises `ImageError` before allocating memory if it is too short."""
        available = file.seek(0, 2) - offset
        if offset < 0 or size > available:
            found = max(0, available)
            raise ImageError(f"{self.path}: truncated; expected {size:,} bytes at {offset:,}, found {found:,}")
        file.seek(offset)
        return file.read(size)

    def _rgb(self, pixels: np.ndarray) -> np.ndarray:
        mode, raw = self._modes
        if raw == "RGB":
            return pixels
        if mode == "L":
            pixels = pixels[..., :1]  # A second sample is unspecified here, and has a raw mode only since Pillow 13.
        size = pixels.shape[1], pixels.shape[0]
        image = Image.frombytes(mode, size, np.ascontiguousarray(pixels).tobytes(), "raw", raw)
        return np.asarray(reading.to_rgb(image))


def _pillow_modes(path: pathlib.Path, page: Any) -> tuple[str, str]:
    """Pillow's mode and raw mode for the page's pixels; raises `ImageError` if the page cannot be read in parts."""
    orientation = page.tags.valueof(274, 1)
    sample_formats = sorted({*map(int, np.atleast_1d(page.tags.valueof(339, 1)))})
    # JPEG's decoder converts YCbCr to RGB.
    colours = _RGB if page.photometric == _YCBCR and page.compression == _JPEG else int(page.photometric)
    layout = (colours, page.bitspersample, page.samplesperpixel, tuple(map(int, page.extrasamples)))
    if page.compression not in _COMPRESSIONS:
        expected = "none, LZW, deflate, PackBits, Zstandard or JPEG"
        raise ImageError(f"{path}: has {_name(page.compression)} compression; expected {expected}: convert it")
    if orientation != 1 or sample_formats != [1] or page.imagedepth != 1 or layout not in _PIXELS:
        raise ImageError(
            f"{path}: is {_name(page.photometric)} with {page.samplesperpixel} samples of {page.bitspersample} bits "
            f"(sample format {', '.join(map(str, sample_formats))}, orientation {orientation}); {_EXPECTED}: convert it"
        )
    return _PIXELS[layout]


def _name(value: Any) -> str:
    return getattr(value, "name", str(value))


def _check_jpeg(data: bytes, expected: tuple[int, int]) -> None:
    """Refuse a JPEG whose header states a larger size than its tile: the decoder would allocate memory for that."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF and (marker := data[place + 1]) in _BEFORE_FRAME | _FRAME:
        if marker in _FRAME:
            size = struct.unpack_from(">HH", data, place + 5)
            if size[0] > expected[0] or size[1] > expected[1]:
                raise ValueError(f"a JPEG of {size[0]} x {size[1]} pixels in a tile of {expected[0]} x {expected[1]}")
            return
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    raise ValueError("a JPEG that does not state its size")
