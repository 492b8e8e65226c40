"""Which image files a person means, and where their heatmaps go."""

import collections
import dataclasses
import glob
import pathlib
from collections.abc import Iterator, Sequence

from PIL import Image

from vggfcn.errors import ImageError, VGGFCNError

ZARR = ".zarr"


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image's path, and that path below the folder it was found in."""

    path: pathlib.Path
    below: pathlib.Path


def image_files(wanted: Sequence[str], beside: pathlib.Path) -> list[ImageFile]:
    """The images that names, folders and patterns stand for, each once, in order.

    A folder stands for every file in it, and in folders below, whose ending is an image's; a pattern such as
    `scans/*.jpg` for what it matches, if no file has that very name. A folder whose name ends in `.zarr` is an image
    itself. What lies in the folder `beside`, where results go, is left out of folders and patterns. A name is taken as
    it is; what it names is seen when it is read.

    Raises `ImageError` if a folder holds no image or a pattern matches nothing.
    """
    found: dict[pathlib.Path, ImageFile] = {}
    for name in wanted:
        some = list(_meant(name, beside))
        if not some:
            raise ImageError(f"{name}: no image there; expected an image, a folder with some, or a pattern")
        for file in some:
            found.setdefault(file.path.absolute(), file)
    return list(found.values())


def _meant(name: str, beside: pathlib.Path) -> Iterator[ImageFile]:
    path = pathlib.Path(name)
    if path.is_dir() and path.suffix.lower() != ZARR:
        yield from _in_folder(path, beside)
    elif glob.has_magic(name) and not path.exists():
        for match in map(pathlib.Path, sorted(glob.glob(name, recursive=True))):  # noqa: PTH207 - of any path
            if match.is_file() and beside not in match.absolute().parents:
                yield ImageFile(match, pathlib.Path(match.name))
    else:
        yield ImageFile(path, pathlib.Path(path.name))


def _in_folder(folder: pathlib.Path, beside: pathlib.Path) -> Iterator[ImageFile]:
    endings = Image.registered_extensions()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in endings and path.is_file() and beside not in path.absolute().parents:
            yield ImageFile(path, path.relative_to(folder))


def targets(files: Sequence[ImageFile], folder: pathlib.Path, ending: str) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Each image and where its heatmap goes: named after it, with its own ending only where that tells two apart."""
    stems = collections.Counter(file.below.with_suffix("") for file in files)
    return [(file.path, folder / file.below.with_name(f"{_name(file, stems)}-heatmap.{ending}")) for file in files]


def _name(file: ImageFile, stems: collections.Counter[pathlib.Path]) -> str:
    return file.below.stem if stems[file.below.with_suffix("")] == 1 else file.below.name


def check_target(target: pathlib.Path, overwrite: bool, written: Sequence[pathlib.Path]) -> None:
    """Raise `VGGFCNError` if that heatmap was `written` already or is there from before."""
    if target in written:
        raise VGGFCNError(f"{target}: two images of that name; write them to two folders, one after the other")
    if target.exists() and not overwrite:
        raise VGGFCNError(f"{target}: exists; --overwrite replaces it, --output names another folder")
