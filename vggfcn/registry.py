"""The weights that vggfcn knows by name, where they lie, and how to get them."""

import dataclasses
import os
import pathlib
import sys

import pooch

from vggfcn.errors import WeightsError

_PACKAGE = pathlib.Path(__file__).parent
# Installed, the weights lie inside the package; in a checkout, beside it.
_INSTALLED, _CHECKOUT = _PACKAGE / "weights", _PACKAGE.parent / "weights"
EMBEDDED_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
EMBEDDED = "scene-digits"
_KERAS_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A weight file: its name on disk and, unless it is embedded, its address, size in bytes and MD5 sum."""

    file: str
    url: str | None = None
    size: int = 0
    md5: str = ""

    def find(self) -> pathlib.Path | None:
        """Where the file lies on this machine, or None.

        A file that Keras has cached counts, unless its size shows that the download was cut short.
        """
        folders = [cache_folder(), _keras_cache()] if self.url else [EMBEDDED_FOLDER]
        paths = [path for folder in folders if (path := folder / self.file).is_file()]
        return next((path for path in paths if not self.url or path.stat().st_size == self.size), None)


REGISTRY = {
    "imagenet": Entry(
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        f"{_KERAS_APPLICATIONS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        553_467_096,
        "64373286793e3c8b2b4e3219cbf3544b",
    ),
    "imagenet-vgg19": Entry(
        "vgg19_weights_tf_dim_ordering_tf_kernels.h5",
        f"{_KERAS_APPLICATIONS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
        574_710_816,
        "cbe5617147190e668d6c5d5026f83318",
    ),
    EMBEDDED: Entry("scene-digits.h5"),
    "mnist-lenet5": Entry("mnist-lenet5.h5"),
}


def cache_folder() -> pathlib.Path:
    """Where downloads are kept: `VGGFCN_CACHE`, or the platform's cache folder."""
    return pathlib.Path(os.environ.get("VGGFCN_CACHE") or pooch.os_cache("vggfcn"))


def _keras_cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras") / "models"


def fetch(weights: str | os.PathLike) -> pathlib.Path:
    """The path of a weight file given by name or path; a known one that is not on disk yet is downloaded.

    A download is verified against its MD5 sum before it is put in place. Raises `WeightsError` if the name is
    unknown or the download fails.
    """
    entry = REGISTRY.get(os.fspath(weights))
    if entry is None:
        return _existing(pathlib.Path(weights))
    return entry.find() or _download(entry)


def _existing(path: pathlib.Path) -> pathlib.Path:
    if path.exists():
        return path
    raise WeightsError(f"{path}: no such weight file, and none of the known names: {', '.join(REGISTRY)}")


def _download(entry: Entry) -> pathlib.Path:
    if entry.url is None:
        raise WeightsError(f"{EMBEDDED_FOLDER / entry.file} is missing; it comes with vggfcn, so install it again")
    folder = cache_folder()
    try:
        path = pooch.retrieve(
            entry.url, f"md5:{entry.md5}", fname=entry.file, path=folder, progressbar=sys.stderr.isatty()
        )
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{entry.file} could not be downloaded from {entry.url} ({error}). Try again, put the file into {folder} "
            'yourself, or use weights="scene-digits", which are embedded'
        ) from error
    return pathlib.Path(path)
