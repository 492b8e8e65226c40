"""Checks of the files and folders that a command writes, before any work is done."""

import os
import pathlib
from collections.abc import Iterable

from vggfcn.errors import VGGFCNError
from vggfcn.files import check_folder


def check_file(
    path: pathlib.Path, inputs: Iterable[pathlib.Path], hint: str, error: type[VGGFCNError] = VGGFCNError
) -> None:
    """Raise `error` if a file cannot be written, or would replace one of `inputs`; `hint` is what else to do."""
    check_folder(path, hint, error)
    if path.is_dir():
        raise error(f"{path}: expected the name of a file, found a folder; {hint}")
    if path.exists() and not path.is_file():
        raise error(f"{path}: expected the name of a file, found a device or a pipe; {hint}")
    if path.exists() and any(file.exists() and path.samefile(file) for file in inputs):
        raise error(f"{path}: this is the input itself; {hint}")
    _check_access(path.parent, hint, error)


def check_output_folder(folder: pathlib.Path, hint: str) -> None:
    """Raise `VGGFCNError` if files cannot be written to a folder, which need not exist yet."""
    existing = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if os.path.lexists(parent))
    if not existing.is_dir():
        raise VGGFCNError(f"{existing}: expected a folder to write to, found a file; {hint}")
    _check_access(existing, hint, VGGFCNError)


def _check_access(folder: pathlib.Path, hint: str, error: type[VGGFCNError]) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise error(f"{folder}: no permission to write to this folder; {hint}")
