"""The image files that `vggfcn heatmap` reads, and the files that it writes."""

import collections
import dataclasses
import glob
import pathlib
from collections.abc import Container, Iterator, Sequence

from vggfcn.errors import ImageError, VGGFCNError
from vggfcn.images import formats

ZARR = ".zarr"


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image's path, and its path relative to the folder that was named."""

    path: pathlib.Path
    relative: pathlib.Path


def image_files(names: Sequence[str], output: pathlib.Path) -> list[ImageFile]:
    """The images that files, folders and patterns name, each once, in order.

    A folder names every file in it, and in its subfolders, that has an image's suffix. A pattern such as `scans/*.jpg`
    names what it matches, unless a file has exactly that name. A folder whose name ends in `.zarr` is an image itself.
    Folders and patterns skip the folder `output`, which holds the results. Any other name is taken as the path of an
    image, whether or not it exists.

    Raises `ImageError` if a folder holds no image or a pattern matches nothing.
    """
    files: dict[pathlib.Path, ImageFile] = {}
    for name in names:
        matches = list(_matches(name, output))
        if not matches:
            raise ImageError(f"{name}: no images found; expected an image, a folder of images, or a pattern")
        for file in matches:
            files.setdefault(file.path.absolute(), file)
    return list(files.values())


def _matches(name: str, output: pathlib.Path) -> Iterator[ImageFile]:
    path = pathlib.Path(name)
    if path.is_dir() and path.suffix.lower() != ZARR:
        yield from _in_folder(path, output)
    elif glob.has_magic(name) and not path.exists():
        for match in map(pathlib.Path, sorted(glob.glob(name, recursive=True))):  # noqa: PTH207 - pathlib's glob takes no absolute pattern
            if match.is_file() and output not in match.absolute().parents:
                yield ImageFile(match, pathlib.Path(match.name))
    else:
        yield ImageFile(path, pathlib.Path(path.name))


def _in_folder(folder: pathlib.Path, output: pathlib.Path) -> Iterator[ImageFile]:
    suffixes = formats.suffixes()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in suffixes and path.is_file() and output not in path.absolute().parents:
            yield ImageFile(path, path.relative_to(folder))


def targets(files: Sequence[ImageFile], folder: pathlib.Path, suffix: str) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Each image's path and the path of its heatmap, such as "a.jpg" and "heatmaps/a-heatmap.png".

    If two images differ in their suffixes alone, their heatmaps' names keep them: "a.jpg-heatmap.png".
    """
    stems = collections.Counter(file.relative.with_suffix("") for file in files)
    return [(file.path, folder / file.relative.with_name(f"{_name(file, stems)}-heatmap.{suffix}")) for file in files]


def _name(file: ImageFile, stems: collections.Counter[pathlib.Path]) -> str:
    return file.relative.stem if stems[file.relative.with_suffix("")] == 1 else file.relative.name


def check_target(target: pathlib.Path, overwrite: bool, written: Container[pathlib.Path]) -> None:
    """Raise `VGGFCNError` if this run has `written` the heatmap already, or if it exists and may not be replaced."""
    if target in written:
        raise VGGFCNError(f"{target}: two images have this name; write them to two folders, in two runs")
    if target.exists() and not overwrite:
        raise VGGFCNError(f"{target}: already exists; pass --overwrite to replace it, or choose another --output")
