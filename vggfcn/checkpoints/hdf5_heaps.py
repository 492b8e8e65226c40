"""HDF5's global heaps, which hold texts of any length: a damaged one sends the HDF5 library into an endless loop.

The layout is that of the "HDF5 File Format Specification", section III.E: a signature, a version and the heap's size,
then objects, each with an index, its size and its bytes padded to eight; index 0 is free space, whose size includes
its header.
"""

import struct

from vggfcn.errors import WeightsError

SIGNATURE = b"GCOL\x01"
_HEAP = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HH4xQ")


def check(path: object, data) -> None:
    """Walk every heap in `data`, the bytes of an HDF5 file; raises `WeightsError` if one is no chain of objects."""
    position = data.find(SIGNATURE)
    while position >= 0:
        if not _is_whole(data, position):
            raise WeightsError(f"{path}: a heap of texts in the HDF5 file is damaged; get the file anew")
        position = data.find(SIGNATURE, position + 1)


def _is_whole(data, start: int) -> bool:
    if start + _HEAP.size > len(data):
        return False
    _, _, size = _HEAP.unpack(data[start : start + _HEAP.size])
    position, end = start + _HEAP.size, start + size
    if end > len(data):
        return False
    # What is shorter than an object's header is left over.
    while position + _OBJECT.size <= end:
        index, _, length = _OBJECT.unpack(data[position : position + _OBJECT.size])
        step = _OBJECT.size + length + -length % 8 if index else length
        if step < _OBJECT.size or position + step > end:
            return False
        position += step
    return True
