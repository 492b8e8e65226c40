"""The formats that a network is exported to: how their files are called, and what runs them."""

import dataclasses
import importlib.util
import os
import pathlib

from vggfcn.errors import ExportError
from vggfcn.files import check_folder


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of exported networks.

    `ending` is that of its file, "" for a folder. `modules` are imported to write and run it, and come with the
    package's extra of that name.
    """

    name: str
    ending: str
    modules: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> list[str]:
        """The modules that are not installed."""
        return [module for module in self.modules if importlib.util.find_spec(module) is None]

    def beside(self, path: pathlib.Path) -> list[pathlib.Path]:
        """All that an export to `path` consists of, in the order in which it is put in place."""
        # The weights first: who finds the .xml finds both.
        return [path.with_suffix(".bin"), path] if self.name == "openvino" else [path]


FORMATS = {
    one.name: one
    for one in (
        Format("saved_model", ""),
        Format("onnx", ".onnx", ("tf2onnx", "onnxruntime"), "onnx"),
        Format("openvino", ".xml", ("openvino",), "openvino"),
        Format("litert", ".tflite", ("ai_edge_litert",), "litert"),
        Format("keras", ".keras"),
    )
}
_ENDINGS = {one.ending: one for one in FORMATS.values() if one.ending}
# Of which a folder has one if it is a SavedModel: no other folder is ever replaced.
_SAVED_MODEL = "saved_model.pb"


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format of that name, or if it is None the one that the path stands for.

    That is the one of its ending; a path that is a folder or has no ending is a SavedModel's. Raises `ExportError` if
    the name is unknown, the path tells nothing, or the two contradict each other.
    """
    path = pathlib.Path(path)
    if name is not None and name not in FORMATS:
        raise ExportError(f"format: expected {', '.join(FORMATS)}, got {name!r}")
    told = _ENDINGS.get(path.suffix.lower())
    if told is None and (path.is_dir() or not path.suffix):
        told = FORMATS["saved_model"]
    wanted = FORMATS[name] if name else told
    if wanted is None:
        raise ExportError(
            f"{path}: expected a name that ends in {', '.join(_ENDINGS)}, or a folder's without an ending; or the name "
            f"of its format besides: {', '.join(FORMATS)}"
        )
    if wanted is not told and (told is not None or wanted.ending):
        expected = f"a name that ends in {wanted.ending}" if wanted.ending else "the name of a folder"
        raise ExportError(f"{path}: expected {expected} for {wanted.name}; name it so, or choose another format")
    return wanted


def check(path: str | os.PathLike[str], wanted: Format, overwrite: bool) -> None:
    """Refuse before the work what cannot be written: raises `ExportError`, and says what to do."""
    path = pathlib.Path(path)
    if wanted.missing:
        install = f'pip install "vggfcn[{wanted.extra}]"'
        raise ExportError(
            f"{wanted.name} needs {', '.join(wanted.missing)}, not installed here; get it with: {install}"
        )
    check_folder(path, "choose another place", ExportError)
    for target in wanted.beside(path):
        if not os.path.lexists(target):
            continue
        if not overwrite:
            raise ExportError(
                f"{target}: exists; choose another name, or replace it with overwrite=True or --overwrite"
            )
        if wanted.ending and target.is_dir():
            raise ExportError(f"{target}: is a folder, and {wanted.name} is a file; choose another name")
        if not wanted.ending and not _replaceable(target):
            raise ExportError(f"{target}: is no SavedModel and not empty, so it is not replaced; choose another name")


def _replaceable(folder: pathlib.Path) -> bool:
    return folder.is_dir() and ((folder / _SAVED_MODEL).is_file() or not any(folder.iterdir()))
