"""torch's zip container, written since torch 1.6: `<root>/data.pkl` and one stored member per storage."""

import pathlib
import zipfile

from vggfcn.checkpoints import torch_state, zipped
from vggfcn.checkpoints.container import Container
from vggfcn.checkpoints.pickles import Machine
from vggfcn.errors import WeightsError

PICKLE = "data.pkl"


def root(archive: zipfile.ZipFile) -> str | None:
    """The folder in the archive that holds torch's pickle, or None if it is no torch file."""
    return next((name.removesuffix(PICKLE) for name in archive.namelist() if name.endswith(f"/{PICKLE}")), None)


def read(path: pathlib.Path) -> Container:
    """The tensors of a state dict under torch's names."""
    with zipped.opened(path) as archive:
        folder = root(archive)
        if f"{folder}constants.pkl" in archive.namelist():
            raise WeightsError(
                f"{path}: is a TorchScript program; save the arrays: torch.save(model.state_dict(), path)"
            )
        order = f"{folder}byteorder"
        if order in archive.namelist() and zipped.content(path, archive, order) != b"little":
            raise WeightsError(f"{path}: was written on a big-endian machine; save it on a little-endian one")
        members = {member.filename: member for member in archive.infolist()}
    start, size = zipped.span(path, members[f"{folder}{PICKLE}"])
    with path.open("rb") as file:
        file.seek(start)
        value = Machine(path, file, start + size).run()
    data = f"{folder}data/"
    spans = {
        name.removeprefix(data): zipped.span(path, member) for name, member in members.items() if name.startswith(data)
    }
    return Container("torch zip", torch_state.tensors(path, value, spans))
