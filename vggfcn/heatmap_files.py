"""Where the heatmaps of many pictures go."""

import collections
import pathlib
from collections.abc import Sequence

from vggfcn.errors import VGGFCNError
from vggfcn.picture_files import PictureFile


def targets(files: Sequence[PictureFile], folder: pathlib.Path, ending: str) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Each picture and where its heatmap goes: named after it, with its own ending only where that tells two apart."""
    stems = collections.Counter(file.below.with_suffix("") for file in files)
    return [(file.path, folder / file.below.with_name(f"{_name(file, stems)}-heatmap.{ending}")) for file in files]


def _name(file: PictureFile, stems: collections.Counter[pathlib.Path]) -> str:
    return file.below.stem if stems[file.below.with_suffix("")] == 1 else file.below.name


def check_target(target: pathlib.Path, overwrite: bool, written: Sequence[pathlib.Path]) -> None:
    """Raise `VGGFCNError` if that heatmap was `written` already or is there from before."""
    if target in written:
        raise VGGFCNError(f"{target}: two pictures of that name; write them to two folders, one after the other")
    if target.exists() and not overwrite:
        raise VGGFCNError(f"{target}: exists; --overwrite replaces it, --output names another folder")
