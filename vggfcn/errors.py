"""The exceptions of vggfcn. Each message says what was expected, what came instead and what to do."""

import re


class VGGFCNError(Exception):
    """The base class of all errors that vggfcn raises on purpose."""


class WeightsError(VGGFCNError):
    """A weight file is missing, cannot be read, or does not fit the requested network."""


class ImageError(VGGFCNError):
    """An image cannot be read or used."""


class TooManyPixelsError(ImageError):
    """An image has more pixels than can be read at once."""


class LabelError(VGGFCNError):
    """A class or group is unknown or ambiguous, or a file of names or groups is invalid."""


class ConversionError(VGGFCNError):
    """A network cannot be made fully convolutional exactly, or the converted network gives different results."""


class GeometryError(VGGFCNError):
    """The receptive field of a network cannot be determined, or its output stride cannot be reduced exactly."""


class EvaluationError(VGGFCNError):
    """A list of images, a results file or a choice of scales is invalid."""


class EngineError(VGGFCNError):
    """An engine is not installed, or cannot run the network."""


class MapError(VGGFCNError):
    """The file of a map belongs to another run, is in use, or cannot be written."""


class MemoryLimitError(VGGFCNError):
    """An image cannot be evaluated within the memory limit."""


class ExportError(VGGFCNError):
    """A network cannot be exported to that path or format, or the exported network gives different results."""


# Colours and the like, which some libraries put into their messages.
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def one_line(message: object, length: int | None = None) -> str:
    """An error or a text on one line of at most `length` characters; for an error without a message, its class name."""
    text = " ".join(_ESCAPES.sub("", str(message)).split())[:length]
    return text or (type(message).__name__ if isinstance(message, BaseException) else "")


def install_hint(extra: str) -> str:
    """The command that installs an extra of this package, for messages about a missing library."""
    return f'pip install "vggfcn[{extra}]"'
