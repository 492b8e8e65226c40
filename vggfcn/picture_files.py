"""Which picture files a person means, and where what is made of them goes."""

import dataclasses
import glob
import pathlib
from collections.abc import Iterator, Sequence

from PIL import Image

from vggfcn.errors import ImageError

ZARR = ".zarr"


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """A picture's path, and that path below the folder it was found in."""

    path: pathlib.Path
    below: pathlib.Path


def picture_files(wanted: Sequence[str], beside: pathlib.Path) -> list[PictureFile]:
    """The pictures that names, folders and patterns stand for, each once, in order.

    A folder stands for every file in it, and in folders below, whose ending is a picture's; a pattern such as
    `scans/*.jpg` for what it matches, if no file has that very name. A folder whose name ends in `.zarr` is a picture
    itself. What lies in the folder `beside`, where results go, is left out of folders and patterns. A name is taken as
    it is; what it names is seen when it is read.

    Raises `ImageError` if a folder holds no picture or a pattern matches nothing.
    """
    found: dict[pathlib.Path, PictureFile] = {}
    for name in wanted:
        some = list(_meant(name, beside))
        if not some:
            raise ImageError(f"{name}: no picture there; expected a picture, a folder with some, or a pattern")
        for file in some:
            found.setdefault(file.path.absolute(), file)
    return list(found.values())


def _meant(name: str, beside: pathlib.Path) -> Iterator[PictureFile]:
    path = pathlib.Path(name)
    if path.is_dir() and path.suffix.lower() != ZARR:
        yield from _in_folder(path, beside)
    elif glob.has_magic(name) and not path.exists():
        for match in map(pathlib.Path, sorted(glob.glob(name, recursive=True))):  # noqa: PTH207 - of any path
            if match.is_file() and beside not in match.absolute().parents:
                yield PictureFile(match, pathlib.Path(match.name))
    else:
        yield PictureFile(path, pathlib.Path(path.name))


def _in_folder(folder: pathlib.Path, beside: pathlib.Path) -> Iterator[PictureFile]:
    endings = Image.registered_extensions()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in endings and path.is_file() and beside not in path.absolute().parents:
            yield PictureFile(path, path.relative_to(folder))
