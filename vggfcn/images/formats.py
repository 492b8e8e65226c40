"""The image formats that Pillow may read here, and what files of other formats are called."""

from typing import BinaryIO

from PIL import Image

# Pillow's names. Not EPS, which it runs as a program with Ghostscript, nor formats whose readers few people use and
# nobody watches. Most people's pictures have one of the first ones.
_FORMATS = (
    *("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "AVIF", "JPEG2000"),
    *("ICO", "DIB", "TGA"),  # TGA last: it has no signature, and takes some icons for its own.
)
_EXPORT = "export it as PNG or JPEG"
# What the first bytes at some place say of a file that is not read.
_OTHERS = (
    (0, (b"%!PS", b"\xc5\xd0\xd3\xc6"), f"an EPS or PostScript drawing, which is a program; {_EXPORT}"),
    (0, (b"%PDF",), f"a PDF document; {_EXPORT}"),
    (0, (b"<svg", b"<?xml", b"<!DOCTYPE svg"), f"an SVG drawing or another XML file; {_EXPORT}"),
    (0, (b"\xd7\xcd\xc6\x9a", b"\x01\x00\x09\x00"), f"a Windows metafile, which is a drawing; {_EXPORT}"),
    (40, (b" EMF",), f"a Windows metafile, which is a drawing; {_EXPORT}"),
    (0, (b"8BPS",), f"a Photoshop document; {_EXPORT}"),
    (4, (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1"), f"an HEIC photo; {_EXPORT}"),
    (4, (b"ftyp",), "a film; save one frame as PNG or JPEG"),
    (0, (b"\x00\x00\x00\x0cJXL ", b"\xff\x0a"), f"a JPEG XL image; {_EXPORT}"),
    (128, (b"DICM",), f"a DICOM image; {_EXPORT}"),
    (0, (b"SIMPLE  =",), f"a FITS image; {_EXPORT}"),
    (0, (b"\x89HDF\r\n\x1a\n",), "an HDF5 file; save the image in it as PNG or TIFF"),
    (0, (b"GRIB", b"BUFR"), f"a file of weather data; {_EXPORT}"),
    (0, (b"DDS ", b"BLP", b"FTEX"), f"a texture of a game; {_EXPORT}"),
    (0, (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf"), "an archive; unpack it first"),
)
_EXPECTED = "expected an image file such as JPEG, PNG, TIFF or WebP"


def open_image(file: BinaryIO) -> Image.Image:
    """Open a file with Pillow as one of the formats above; raises `PIL.UnidentifiedImageError` if it is of no such."""
    Image.init()
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def suffixes() -> set[str]:
    """The suffixes of the formats, in lower case and with their dot."""
    names = {*_FORMATS, "MPO"}  # Pillow reads MPO as JPEG.
    return {suffix for suffix, name in Image.registered_extensions().items() if name in names}


def described(file: BinaryIO) -> str:
    """What a file is that `open_image` does not read, and what to do."""
    file.seek(0)
    start = file.read(256)
    if not start:
        return f"an empty file; {_EXPECTED}"
    for place, magics, name in _OTHERS:
        if start[place:].startswith(magics):
            return name
    return f"not an image; {_EXPECTED}"
