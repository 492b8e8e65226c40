"""What reading a file may cost, counted in one place: the objects and bytes that a reader makes, and its seconds.

A hostile file is small and asks for much: a pickle may push an object with every byte, a compressed member may unpack
to a thousand times its size. Every reader spends from the one budget of its file, before it makes what it spends for.
"""

import pathlib
import time

from vggfcn.errors import WeightsError

# A file of the largest networks has some ten thousand arrays, each of some fifty objects.
OBJECTS = 1_000_000
# Memory for what is not an array that was asked for: besides this, twice the file's size.
ROOM = 128 << 20
TEXT = 8 << 20  # bytes of JSON, whose objects take up to thirty times as much; the longest configurations have one
NAME = 1000  # characters
SECONDS = 10.0  # of computation by the reader's thread; besides this, a second for each `RATE` bytes of the file
RATE = 16 << 20
_BETWEEN_CLOCKS = 4096  # objects


class Budget:
    """The budget of one file. `path` is for messages, `size` the file's size in bytes.

    Every method raises `WeightsError` as soon as the budget is exceeded.
    """

    def __init__(self, path: pathlib.Path, size: int):
        self.path, self.size = path, size
        self.objects = OBJECTS
        self.bytes = ROOM + 2 * size
        self._next_clock = OBJECTS - _BETWEEN_CLOCKS
        self._seconds = SECONDS + size / RATE
        self._end = time.thread_time() + self._seconds

    def spend(self, objects: int = 1, made: int = 0) -> None:
        """Count objects and bytes that are about to be made. An object of up to 100 bytes needs no count of bytes."""
        self.objects -= objects
        self.bytes -= made
        if self.objects < 0:
            raise self._exceeded(f"over {OBJECTS:,} objects")
        if self.bytes < 0:
            raise self._exceeded(f"over {ROOM >> 20} MiB beyond twice its size")
        if self.objects <= self._next_clock:
            self._next_clock = self.objects - _BETWEEN_CLOCKS
            if time.thread_time() > self._end:
                raise self._exceeded(f"over {self._seconds:.0f} seconds")

    def check_text(self, size: int, name: str) -> None:
        """Check the length of a text in JSON before it is parsed, and count its bytes."""
        if size > TEXT:
            raise WeightsError(
                f"{self.path}: {name} has {size:,} bytes, more than any network's ({TEXT:,}); the file is damaged or "
                "hostile: download it again from a source that you trust"
            )
        self.spend(made=size)

    def name(self, *parts: str | int) -> str:
        """The name of an array: parts of the file with "/" between them. Raises `WeightsError` if one is too long."""
        texts = [str(part) for part in parts]
        length = sum(map(len, texts))
        if length > NAME:
            raise WeightsError(
                f"{self.path}: an array has a name of {length:,} characters, more than any network's ({NAME:,}); the "
                "file is damaged or hostile: download it again from a source that you trust"
            )
        self.spend(made=length)
        return "/".join(texts)

    def _exceeded(self, what: str) -> WeightsError:
        return WeightsError(
            f"{self.path}: reading it would take {what}, more than any weight file needs; it is damaged or hostile: "
            "download it again from a source that you trust"
        )
