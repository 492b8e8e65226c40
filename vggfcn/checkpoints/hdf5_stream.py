"""A read-only stream for the HDF5 library that checks every heap of strings before the library sees it.

HDF5 keeps strings of variable length in global heaps, and a damaged heap sends the library into an endless loop. The
layout is described in section III.E of the "HDF5 File Format Specification": a signature, a version and the size of the
heap, then objects, each with an index, its size and its bytes padded to a multiple of eight. Index 0 is free space,
whose size includes its header.
"""

import io
import struct
from typing import Any, BinaryIO

SIGNATURE = b"GCOL\x01"
_HEAP_HEADER = struct.Struct("<4sB3xQ")
_OBJECT_HEADER = struct.Struct("<HH4xQ")


class HDF5Stream(io.RawIOBase):
    """`size` bytes of a file from `start` on; closing the stream closes the file.

    No byte of a heap is returned before the whole heap has been checked. Once a heap is found to be damaged, every read
    raises `OSError`, and `damage` describes the problem.
    """

    def __init__(self, file: BinaryIO, start: int, size: int):
        self._file, self._start, self._size, self._position = file, start, size, 0
        self._heap_sizes: dict[int, int] = {}  # of the heaps checked so far, by their position
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
        # Read a few bytes more on both sides: a signature may be split between two reads.
        margin = len(SIGNATURE) - 1
        begin = max(0, self._position - margin)
        data = self._bytes(begin, self._position + len(view) + margin)
        self._check_heaps(data, begin)
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

    def _check_heaps(self, data: bytes, begin: int) -> None:
        """Check every heap whose signature is in `data`, which starts at the position `begin`."""
        found = data.find(SIGNATURE)
        while found >= 0 and not self.damage:
            self._check_heap(begin + found)
            found = data.find(SIGNATURE, found + 1)
        if self.damage:
            raise OSError(self.damage)

    def _check_heap(self, start: int) -> None:
        """Check the heap at `start`, once."""
        if start in self._heap_sizes:
            return
        header = self._bytes(start, start + _HEAP_HEADER.size)
        size = _HEAP_HEADER.unpack(header)[2] if len(header) == _HEAP_HEADER.size else self._size
        self._heap_sizes[start] = size
        # HDF5 never writes heaps that overlap, and checking them could take arbitrarily long.
        overlapping = sum(self._heap_sizes.values()) > self._size
        if overlapping or not _is_chain_of_objects(self._bytes(start, start + size)):
            self.damage = "a heap of strings is not a chain of objects"


def _is_chain_of_objects(heap: bytes) -> bool:
    position = _HEAP_HEADER.size
    # Remaining space that is smaller than an object's header is unused.
    while position + _OBJECT_HEADER.size <= len(heap):
        index, _, length = _OBJECT_HEADER.unpack_from(heap, position)
        step = _OBJECT_HEADER.size + length + -length % 8 if index else length
        if step < _OBJECT_HEADER.size or position + step > len(heap):
            return False
        position += step
    return True
