"""An HDF5 file, or one within a file, as the HDF5 library reads it: through a stream that looks at heaps first.

Texts of any length lie in global heaps, and a damaged one sends the library into an endless loop. The layout is that of
the "HDF5 File Format Specification", section III.E: a signature, a version and the heap's size, then objects, each
with an index, its size and its bytes padded to eight; index 0 is free space, whose size includes its header.
"""

import io
import struct
from typing import Any, BinaryIO

SIGNATURE = b"GCOL\x01"
_HEAP = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HH4xQ")


class Stream(io.RawIOBase):
    """`size` bytes of a file from `start` on; the file is closed with it.

    No byte of a heap is given out before the heap has been walked from end to end. `damage` says what was found wrong;
    from then on reading raises `OSError`.
    """

    def __init__(self, file: BinaryIO, start: int, size: int):
        self._file, self._start, self._size, self._position = file, start, size, 0
        self._sound: dict[int, int] = {}
        self.damage = ""

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        # With what lies around it: a signature may be read in two parts.
        margin = len(SIGNATURE) - 1
        begin = max(0, self._position - margin)
        data = self._bytes(begin, self._position + len(view) + margin)
        self._look(data, begin)
        read = data[self._position - begin :][: len(view)]
        view[: len(read)] = read
        self._position += len(read)
        return len(read)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _bytes(self, start: int, stop: int) -> bytes:
        self._file.seek(self._start + start)
        return self._file.read(max(0, min(stop, self._size) - start))

    def _look(self, data: bytes, begin: int) -> None:
        found = data.find(SIGNATURE)
        while found >= 0 and not self.damage:
            self._walk(begin + found)
            found = data.find(SIGNATURE, found + 1)
        if self.damage:
            raise OSError(self.damage)

    def _walk(self, start: int) -> None:
        """Look at the heap that begins there, once; heaps that overlap could cost any time, and are not written."""
        if start in self._sound:
            return
        header = self._bytes(start, start + _HEAP.size)
        size = _HEAP.unpack(header)[2] if len(header) == _HEAP.size else self._size
        self._sound[start] = size
        if sum(self._sound.values()) > self._size or not _is_whole(self._bytes(start, start + size)):
            self.damage = "a heap of texts is no chain of objects"


def _is_whole(heap: bytes) -> bool:
    position = _HEAP.size
    # What is shorter than an object's header is left over.
    while position + _OBJECT.size <= len(heap):
        index, _, length = _OBJECT.unpack_from(heap, position)
        step = _OBJECT.size + length + -length % 8 if index else length
        if step < _OBJECT.size or position + step > len(heap):
            return False
        position += step
    return True
