"""The formats that a network can be exported to: their file names, and the libraries that they need."""

import dataclasses
import importlib.util
import os
import pathlib

from vggfcn.errors import ExportError, install_hint
from vggfcn.files import check_folder


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of exported networks.

    - `name`: what `export` calls it.
    - `ending`: of its file's name; "" for a folder.
    - `modules`: the Python modules that write and run it.
    - `extra`: the extra of this package that installs them.
    """

    name: str
    ending: str
    modules: tuple[str, ...] = ()
    extra: str = ""

    @property
    def missing(self) -> list[str]:
        """The modules that are not installed."""
        return [module for module in self.modules if importlib.util.find_spec(module) is None]

    def paths(self, path: pathlib.Path) -> list[pathlib.Path]:
        """The files of an export to `path`, in the order in which they are put in place."""
        # The weights come first, so that whoever finds the .xml finds both.
        return [path.with_suffix(".bin"), path] if self.name == "openvino" else [path]


FORMATS = {
    format_.name: format_
    for format_ in (
        Format("saved_model", ""),
        Format("onnx", ".onnx", ("tf2onnx", "onnxruntime"), "onnx"),
        Format("openvino", ".xml", ("openvino",), "openvino"),
        Format("litert", ".tflite", ("ai_edge_litert",), "litert"),
        Format("keras", ".keras"),
    )
}
_ENDINGS = {format_.ending: format_ for format_ in FORMATS.values() if format_.ending}
# Every SavedModel has a file of this name. No other folder is ever replaced.
_SAVED_MODEL = "saved_model.pb"


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format with a name or, if that is None, the format that the path's ending implies.

    A folder, or a path without an ending, implies a SavedModel. Raises `ExportError` if the name is unknown, the ending
    is unknown, or the two contradict each other.
    """
    path = pathlib.Path(path)
    if name is not None and name not in FORMATS:
        raise ExportError(f"format: expected {', '.join(FORMATS)}, got {name!r}")
    implied = _ENDINGS.get(path.suffix.lower())
    if implied is None and (path.is_dir() or not path.suffix):
        implied = FORMATS["saved_model"]
    format_ = FORMATS[name] if name else implied
    if format_ is None:
        raise ExportError(
            f"{path}: expected a name that ends in {', '.join(_ENDINGS)}, or the name of a folder, without an ending; "
            f"otherwise name the format: {', '.join(FORMATS)}"
        )
    if format_ is not implied and (implied is not None or format_.ending):
        expected = f"a name that ends in {format_.ending}" if format_.ending else "the name of a folder"
        raise ExportError(f"{path}: expected {expected} for {format_.name}; change the name or choose another format")
    return format_


def check(path: str | os.PathLike[str], format_: Format, overwrite: bool) -> None:
    """Raise `ExportError` if an export to `path` is bound to fail, before any work is done."""
    path = pathlib.Path(path)
    if format_.missing:
        raise ExportError(
            f"{format_.name} needs {' and '.join(format_.missing)}; get it with: {install_hint(format_.extra)}"
        )
    check_folder(path, "choose another place", ExportError)
    for target in format_.paths(path):
        if not os.path.lexists(target):
            continue
        if not overwrite:
            raise ExportError(
                f"{target}: exists already; choose another name, or replace it with overwrite=True or --overwrite"
            )
        if format_.ending and target.is_dir():
            raise ExportError(f"{target}: is a folder, but {format_.name} is written as a file; choose another name")
        if not format_.ending and not _replaceable(target):
            raise ExportError(f"{target}: is neither a SavedModel nor empty, and is not replaced; choose another name")


def _replaceable(folder: pathlib.Path) -> bool:
    return folder.is_dir() and ((folder / _SAVED_MODEL).is_file() or not any(folder.iterdir()))
