"""Sound images of every kind that the fuzz then damages: small, and with whatever their format can have in it."""

import functools
import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

WIDTH, HEIGHT = 50, 44


def photograph(channels=3, dtype=np.uint8, seed=0):
    """Smooth colours with some noise on them: (HEIGHT, WIDTH, channels)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    slopes = np.stack([rows * 3 + columns * (1 + channel) for channel in range(channels)], -1) % 200
    top = np.iinfo(dtype).max // 255
    return ((slopes + rng.integers(0, 56, slopes.shape)) * top).astype(dtype)


def image(mode="RGB", seed=0):
    image = Image.fromarray(photograph(seed=seed))
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(photograph(seed=seed + 1)[..., 0]))
    return image.convert(mode)


def grey(dtype):
    return Image.fromarray(photograph(1, np.uint16)[..., 0].astype(dtype))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = orientation, "a camera", "2020:01:01 00:00:00"
    return exif


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def frames(count=2):
    return {"save_all": True, "append_images": [image(seed=seed) for seed in range(2, 2 + count)]}


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_16_bits():
    """RGB of 16 bits, which Pillow reads and does not write."""
    rows = b"".join(b"\0" + row.tobytes() for row in photograph(3, np.uint16).astype(">u2"))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def texts():
    info = PngImagePlugin.PngInfo()
    info.add_text("plain", "x" * 50)
    info.add_text("packed", "y" * 5000, zip=True)
    info.add_itxt("Comment", "z" * 5000, "en", "Comment", zip=True)
    return info


def run_length_bmp():
    """BMP of 8 bits whose rows are runs, with a jump in the middle."""
    row = bytes([WIDTH // 2, 5, WIDTH - WIDTH // 2, 200, 0, 0])
    rows = row * (HEIGHT // 2) + b"\0\2\0\2" + row * (HEIGHT - HEIGHT // 2 - 2) + b"\0\1"
    palette = b"".join(bytes([index, 255 - index, 7, 0]) for index in range(256))
    start = 54 + len(palette)
    header = struct.pack("<IIIHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(rows), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def pages():
    file = io.BytesIO()
    with tifffile.TiffWriter(file, ome=True) as writer:
        writer.write(photograph(), subifds=1, tile=(32, 48), photometric="rgb")
        writer.write(photograph()[::2, ::2], subfiletype=1, tile=(32, 48), photometric="rgb")
        writer.write(photograph(seed=1), tile=(32, 48), photometric="rgb")
    return file.getvalue()


def jpegs():
    return {
        "RGB": saved(image(), "JPEG", comment="a comment"),
        "RGB, full colour": saved(image(), "JPEG", quality=95, subsampling=0),
        "grey": saved(image("L"), "JPEG"),
        "CMYK": saved(image("CMYK"), "JPEG"),
        "progressive": saved(image(), "JPEG", progressive=True, restart_marker_rows=1),
        "turned": saved(image(), "JPEG", exif=turned(6)),
        "turned by junk": saved(image(), "JPEG", exif=turned(65535)),
        "several frames": saved(image(), "MPO", **frames()),
        "with a profile": saved(image(), "JPEG", icc_profile=bytes(range(256)) * 3),
    }


def pngs():
    return {
        **{mode: saved(image(mode), "PNG") for mode in ("RGB", "L", "LA", "RGBA", "P", "1")},
        "P, a transparent colour": saved(image("P"), "PNG", transparency=3),
        "P, transparency for each": saved(image("P"), "PNG", transparency=bytes(range(0, 250, 2))),
        "P of 4 bits": saved(image().quantize(14), "PNG", bits=4),
        "RGB, a transparent colour": saved(image(), "PNG", transparency=(1, 2, 3)),
        "grey of 16 bits": saved(grey(np.uint16), "PNG"),
        "RGB of 16 bits": png_of_16_bits(),
        "several frames": saved(image(), "PNG", **frames(), duration=100),
        "texts": saved(image(), "PNG", pnginfo=texts()),
        "turned": saved(image(), "PNG", exif=turned(3)),
    }


def tiffs():
    rgb, deep = photograph(), photograph(3, np.uint16)
    packed = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd")
    return {
        **{f"RGB, {compression}": saved(image(), "TIFF", compression=compression) for compression in packed},
        **{mode: saved(image(mode), "TIFF") for mode in ("CMYK", "LA", "RGBA", "P", "1", "LAB")},
        "fax": saved(image("1"), "TIFF", compression="group4"),
        "grey of 16 bits": saved(grey(np.uint16), "TIFF"),
        "grey of 32 bits": saved(grey(np.int32), "TIFF"),
        "several pages": saved(image(), "TIFF", **frames()),
        "turned": saved(image(), "TIFF", exif=turned(8)),
        "tiles, deflate": tiff(rgb, tile=(16, 32), compression="zlib", predictor=True, photometric="rgb"),
        "tiles, JPEG": tiff(rgb, tile=(32, 32), compression="jpeg", photometric="ycbcr"),
        "Big, LZW": tiff(rgb, bigtiff=True, compression="lzw", rowsperstrip=10, photometric="rgb"),
        "big-endian, 16 bits": tiff(deep, byteorder=">", rowsperstrip=9, photometric="rgb"),
        "planes": tiff(np.moveaxis(rgb, -1, 0), planarconfig="separate", tile=(32, 16), photometric="rgb"),
        "a pyramid": pages(),
    }


def webps():
    return {
        "lossy": saved(image(), "WEBP"),
        "lossless": saved(image(), "WEBP", lossless=True),
        "lossy with alpha": saved(image("RGBA"), "WEBP"),
        "lossless with alpha": saved(image("RGBA"), "WEBP", lossless=True),
        "several frames": saved(image(), "WEBP", **frames(), duration=100),
        "turned": saved(image(), "WEBP", exif=turned(5)),
        "with a profile": saved(image(), "WEBP", icc_profile=bytes(range(256)) * 3),
    }


def gifs():
    return {
        "P": saved(image(), "GIF"),
        "grey": saved(image("L"), "GIF"),
        "black and white": saved(image("1"), "GIF"),
        "few colours": saved(image().quantize(5), "GIF"),
        "a transparent colour": saved(image("P"), "GIF", transparency=7),
        "several frames": saved(image(), "GIF", **frames(), duration=100, loop=0, disposal=2),
        "not interlaced": saved(image(), "GIF", interlace=0),
        "a comment": saved(image(), "GIF", comment=b"c" * 300),
    }


def bmps():
    return {
        **{mode: saved(image(mode), "BMP") for mode in ("RGB", "RGBA", "L", "P", "1")},
        "runs": run_length_bmp(),
    }


def bombs():
    """Sound images of few bytes that are just below Pillow's limit of pixels, and some beyond it, made one by one."""
    below, beyond = (9450, 9450), (10_000, 10_000)
    yield saved(Image.new("LA", below), "PNG"), ".png"
    yield saved(Image.new("P", below), "PNG", transparency=bytes(9)), ".png"
    yield saved(Image.new("RGBA", below), "TIFF", compression="tiff_adobe_deflate"), ".tif"
    yield saved(Image.new("I;16", below), "TIFF", compression="tiff_lzw"), ".tif"
    yield saved(Image.new("P", below), "GIF"), ".gif"
    yield saved(Image.new("L", below), "JPEG"), ".jpg"
    yield saved(Image.new("RGB", (16_383, 5400)), "WEBP", lossless=True, method=0), ".webp"
    yield saved(Image.new("1", beyond), "PNG"), ".png"
    yield saved(Image.new("1", beyond), "TIFF", compression="group4"), ".tif"
    yield tiff(np.zeros((12_000, 12_000), np.uint8), compression="zlib", tile=(12_000, 12_000)), ".tif"
    yield tiff(np.zeros((10_000, 10_000), np.uint8), compression="zlib", tile=(256, 256)), ".tif"


_SEEDS = {"jpeg": jpegs, "png": pngs, "tiff": tiffs, "webp": webps, "gif": gifs, "bmp": bmps}
KINDS = tuple(_SEEDS)


@functools.cache
def seeds(kind):
    """Every sound image of a kind: what it is -> the bytes of its file."""
    return _SEEDS[kind]()
