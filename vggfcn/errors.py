"""The exceptions that vggfcn raises on purpose; each message says what was expected, what came and what to do."""


class VGGFCNError(Exception):
    """Something was refused; the base of all the others."""


class WeightsError(VGGFCNError):
    """A weight file cannot be found, read, or used for the network that was asked for."""


class ImageError(VGGFCNError):
    """A file is no image that can be used."""


class TooManyPixelsError(ImageError):
    """An image has more pixels than may be read at once."""


class LabelError(VGGFCNError):
    """A class or group is unknown, a name stands for several, or a file of names or groups is wrong."""


class ConversionError(VGGFCNError):
    """A network, or a part of it, cannot be made fully convolutional exactly, or the result is not the same network."""


class GeometryError(VGGFCNError):
    """What a cell of a network's map sees cannot be known, or its cells cannot be brought closer together exactly."""


class EvaluationError(VGGFCNError):
    """A list of images, a results file or a choice of scales cannot be evaluated as it is."""


class EngineError(VGGFCNError):
    """An engine is not installed, or cannot run the network."""


class MapError(VGGFCNError):
    """The file that a map is to grow in belongs to another run, is in use, or cannot be written there."""


class MemoryLimitError(VGGFCNError):
    """An image cannot be evaluated in as little memory as was asked for."""


class ExportError(VGGFCNError):
    """A network cannot be exported there or in that format, or what was exported is not the same network."""


def one_line(said: object, length: int | None = None) -> str:
    """What an error or a text says, on one line of at most `length` characters; of a wordless error, its class."""
    text = " ".join(str(said).split())[:length]
    return text or (type(said).__name__ if isinstance(said, BaseException) else "")


def install_hint(extra: str) -> str:
    """The command that installs an extra of this package, for messages about a missing library."""
    return f'pip install "vggfcn[{extra}]"'
