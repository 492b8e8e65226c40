"""Files that are no images, or none that can be used."""

import struct
import zlib

from PIL import Image

from vggfcn.networks.registry import EMBEDDED_FOLDER

SOUND = EMBEDDED_FOLDER / "scenes" / "ten-digits.png"


def bad_files(folder):
    (folder / "notes.jpg").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(SOUND.read_bytes()[:700])
    (folder / "bomb.png").write_bytes(bomb(30_000))
    Image.new("RGB", (3000, 2)).save(folder / "narrow.png")


def bomb(side):
    """A small PNG that claims a great many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )
