"""torch's container before 1.6: five pickles one after another, then the storages.

A magic number, a protocol version, facts about the writing machine, the state dict, and the keys of the storages in
the order in which they follow, each as its number of elements (int64) and its bytes.
"""

import os
import pathlib
import struct
from typing import Any, BinaryIO

from vggfcn.checkpoints import torch_state
from vggfcn.checkpoints.container import Container
from vggfcn.checkpoints.pickles import Machine
from vggfcn.checkpoints.tensors import file_tensor
from vggfcn.errors import WeightsError

MAGIC = 0x1950A86A20F9469CFC6C
SIGNATURE = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")
VERSION = 1001


def read(path: pathlib.Path) -> Container:
    """The tensors of a state dict under torch's names."""
    end = path.stat().st_size
    with path.open("rb") as file:
        magic, version, system = (Machine(path, file, end).run() for _ in range(3))
        if magic != MAGIC or version != VERSION:
            raise WeightsError(f"{path}: expected torch's format {VERSION}, found {version!r:.40}")
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise WeightsError(f"{path}: was written on a big-endian machine; save it on a little-endian one")
        machine = Machine(path, file, end)
        value = machine.run()
        keys = Machine(path, file, end).run()
        return Container("torch legacy", torch_state.tensors(path, value, _spans(path, file, machine, keys)))


def _spans(path: pathlib.Path, file: BinaryIO, machine: Machine, keys: Any) -> dict[str, tuple[int, int]]:
    """Where each storage's numbers lie, by key."""
    dtypes = {key: dtype for key, dtype, _ in (torch_state.storage(path, value) for value in machine.references)}
    spans = {}
    for key in keys if isinstance(keys, list) else ():
        header = file.read(8)
        if len(header) < 8 or not isinstance(key, str) or key not in dtypes:
            raise WeightsError(f"{path}: the list of storages is damaged; get the file anew")
        (elements,) = struct.unpack("<q", header)
        tensor = file_tensor(path, file.tell(), (elements,), dtypes[key]) if elements else None
        size = elements * tensor.itemsize if tensor else 0
        spans[key] = file.tell(), size
        file.seek(size, os.SEEK_CUR)
    return spans
