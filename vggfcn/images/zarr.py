"""Zarr arrays and OME-Zarr images on disk, of which only the required chunks are decoded."""

import hashlib
import json
import math
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from vggfcn.errors import ImageError
from vggfcn.files import digest
from vggfcn.images.source import SegmentedSource, check_segment, damage_error, eight_bit_pixels, import_extra

MAX_METADATA = 1 << 20
# Codecs that only transform numbers. Others are not run, because one of them unpickles.
_CODECS = {"adler32", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "gzip", "lz4", "lzma", "shuffle"}
_CODECS |= {"sharding_indexed", "transpose", "zlib", "zstd"}
_DTYPES = {"uint8", "uint16", "|u1", "<u1", ">u1", "<u2", ">u2"}
# The axes of a multiscale image whose metadata name none, as in early versions of the format.
_EARLY_AXES = ("t", "c", "z", "y", "x")
_COLOURS = (1, 3)


class ZarrSource(SegmentedSource):
    """A Zarr array of version 2 or 3, or the finest level of an OME-Zarr image: RGB uint8.

    Its metadata name its axes, which may be in any order: y, x, optionally c with 1 or 3 channels, and others of length
    1. Without such metadata, the axes are (y, x) or (y, x, c). The dtype is uint8 or uint16. Raises `ImageError` for
    other arrays and damaged ones, and if the extra `large` is missing.
    """

    def __init__(self, path: pathlib.Path):
        zarr = import_extra("zarr", path)
        try:
            folder, axes = _image(path)
            _check_files(path, folder)
            metadata = _array_metadata(folder)
            store = zarr.storage.LocalStore(folder, read_only=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # About parts of the format that may change.
                self._array = zarr.open_array(store=store, mode="r")
            self._axes = _checked_axes(folder, self._array.shape, axes or _own_axes(metadata, self._array.ndim))
            sizes, chunks = (dict(zip(self._axes, of, strict=True)) for of in (self._array.shape, self._array.chunks))
        except Exception as error:  # zarr raises all kinds of exceptions for damaged metadata.
            raise damage_error(path, error) from None
        self._folder = folder
        super().__init__(path, (sizes["y"], sizes["x"]), (chunks["y"], chunks["x"]))
        check_segment(path, self._array.chunks, self._array.dtype.itemsize)

    def _segment(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        wanted = {"y": slice(top, bottom), "x": slice(left, right), "c": slice(None)}
        values = np.asarray(self._array[tuple(wanted.get(axis, 0) for axis in self._axes)])
        order = [axis for axis in self._axes if axis in wanted]
        values = values.transpose([order.index(axis) for axis in "yxc" if axis in order])
        pixels = eight_bit_pixels(values if values.ndim == 3 else values[..., None])
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))

    def _digest(self) -> str:
        """The SHA-256 of the names and contents of all files of the array."""
        checksum = hashlib.sha256()
        for file in sorted(file for file in self._folder.rglob("*") if file.is_file()):
            checksum.update(f"{file.relative_to(self._folder).as_posix()} {digest(file, 'sha256')}\n".encode())
        return checksum.hexdigest()


def _image(path: pathlib.Path) -> tuple[pathlib.Path, tuple[str, ...] | None]:
    """The folder of the array, and the names of its axes if the metadata of a multiscale image give them."""
    if _is_array(path):
        return path, None
    attributes = _attributes(path)
    images = attributes.get("ome", attributes).get("multiscales")
    if not images:
        raise ImageError(
            f"{path}: expected a Zarr array or a multiscale image; if it holds several images, give the path of one"
        )
    axes = tuple(axis["name"] if isinstance(axis, dict) else axis for axis in images[0].get("axes", _EARLY_AXES))
    level = images[0]["datasets"][0]["path"]
    if ".." in pathlib.PurePath(level).parts or pathlib.PurePath(level).is_absolute():
        raise ImageError(f"{path}: refers to pixels elsewhere, in {level}; expected a folder inside it")
    return path / level, axes


def _check_files(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Raise `ImageError` unless all that is in an array's folder are files and folders: a link may lead elsewhere."""
    if folder.resolve() != path.resolve() / folder.relative_to(path):
        raise ImageError(f"{folder}: is reached by a link; expected a folder inside {path}")
    folders = [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(pathlib.Path(entry))
                elif not entry.is_file(follow_symlinks=False):
                    kind = "a link" if entry.is_symlink() else "a pipe, a device or a socket"
                    raise ImageError(f"{entry.path}: is {kind}; expected files alone: copy the array with cp -rL")


def _is_array(path: pathlib.Path) -> bool:
    return (path / ".zarray").exists() or _json(path / "zarr.json").get("node_type") == "array"


def _attributes(path: pathlib.Path) -> dict[str, Any]:
    return _json(path / "zarr.json").get("attributes") or _json(path / ".zattrs")


def _array_metadata(folder: pathlib.Path) -> dict[str, Any]:
    """Read and check an array's metadata: only certain dtypes and codecs are allowed."""
    metadata = _json(folder / "zarr.json") or _json(folder / ".zarray")
    dtype = metadata.get("data_type", metadata.get("dtype"))
    if dtype not in _DTYPES:
        raise ImageError(f"{folder}: holds {dtype or 'no array'}; expected uint8 or uint16")
    unknown = sorted(set(_codecs(metadata)) - _CODECS)
    if unknown:
        raise ImageError(
            f"{folder}: has the codec {', '.join(unknown)}; expected {', '.join(sorted(_CODECS))}: convert it"
        )
    return metadata


def _codecs(metadata: dict[str, Any]) -> Iterator[str]:
    """The names of all codecs, in versions 2 and 3 of the format, including those inside shards."""
    own = [metadata.get("compressor"), *(metadata.get("filters") or [])]
    for codec in filter(None, [*own, *metadata.get("codecs", []), *metadata.get("index_codecs", [])]):
        if isinstance(codec, str):
            yield codec
        else:
            yield str(codec.get("id") or codec.get("name")).removeprefix("numcodecs.")
            yield from _codecs(codec.get("configuration", {}))


def _own_axes(metadata: dict[str, Any], dimensions: int) -> tuple[str, ...]:
    names = metadata.get("dimension_names") or ()
    return tuple(names) if names and all(names) else ("y", "x", "c")[:dimensions]


def _checked_axes(folder: pathlib.Path, shape: tuple[int, ...], axes: tuple[str, ...]) -> tuple[str, ...]:
    lengths = dict(zip(axes, shape, strict=False))
    others = math.prod(length for axis, length in lengths.items() if axis not in ("y", "x", "c"))
    fits = len(lengths) == len(axes) == len(shape) and {"y", "x"} <= lengths.keys() and others == 1
    if not fits or lengths.get("c", 1) not in _COLOURS:
        raise ImageError(
            f"{folder}: has shape {shape} along ({', '.join(map(str, axes))}); expected y and x, "
            "optionally c with 1 or 3 channels, and any others of length 1"
        )
    return axes


def _json(file: pathlib.Path) -> dict[str, Any]:
    """Read a JSON object; empty if the file does not exist."""
    if not file.is_file():
        return {}
    if file.is_symlink():
        raise ImageError(f"{file}: is a link; expected files alone: copy the array with cp -rL")
    if file.stat().st_size > MAX_METADATA:
        raise ImageError(f"{file}: has {file.stat().st_size:,} bytes; expected metadata of at most {MAX_METADATA:,}")
    value = json.loads(file.read_bytes())
    if not isinstance(value, dict):
        raise ImageError(f"{file}: expected a JSON object, found {type(value).__name__}")
    return value
