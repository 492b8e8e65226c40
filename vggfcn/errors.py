"""The exceptions of vggfcn, and text from outside made fit for messages and terminals.

Each message says what was expected, what came instead and what to do.
"""

import re
from typing import Any

# Characters of a message, which is more than our own messages need, and of a value in a message.
MESSAGE_LENGTH = 500
VALUE_LENGTH = 80
_GAP = " ... "
# A terminal's commands: CSI (colours, moves), strings such as OSC (titles, links) and DCS, and the short ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


class VGGFCNError(Exception):
    """The base class of all errors that vggfcn raises on purpose; its message is made fit by `one_line`."""

    def __init__(self, message: object = ""):
        super().__init__(one_line(message))


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


def lacks_memory(error: BaseException) -> bool:
    """Whether there was not enough memory: TensorFlow says so with an error of its own, known by name alone here."""
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"


def printable(text: str) -> str:
    """A text that changes nothing on a terminal but the place where it is printed.

    Line ends and other white space become spaces; terminal commands are removed, and so are invisible characters
    (control, zero-width, bidirectional). Each byte that could not be decoded becomes U+FFFD.
    """
    visible = _SURROGATES.sub("\ufffd", _ESCAPES.sub("", text))
    if visible.isprintable():
        return visible
    spaced = (" " if character.isspace() else character for character in visible)
    return "".join(character for character in spaced if character.isprintable())


def shortened(text: str, length: int) -> str:
    """A text without its middle if it has more than `length` characters; its end says what to do next."""
    kept = length - len(_GAP)
    return text if len(text) <= length else text[: kept - kept // 2] + _GAP + text[len(text) - kept // 2 :]


def one_line(message: object, length: int = MESSAGE_LENGTH) -> str:
    """An error or a text as one `printable` line of at most `length` characters, without repeated spaces.

    If it is too long, its middle is left out. For an error without a message: the name of its class.
    """
    text = shortened(str(message), 8 * length)  # Of a longer one, most would be read in vain.
    text = shortened(" ".join(printable(text).split()), length)
    return text or (type(message).__name__ if isinstance(message, BaseException) else "")


def shown(value: Any, length: int = VALUE_LENGTH) -> str:
    """A value in a message: a number, text or bytes as Python writes them, cut to `length`; else the type's name.

    Its cost does not depend on the size of the value, and no code of the value's own class runs.
    """
    kind = type(value)  # `isinstance` would ask the value for its class.
    if value is None or kind is bool:
        return str(value)
    if issubclass(kind, float):
        return float.__repr__(value)
    if issubclass(kind, int):
        bits = int.bit_length(value)
        return int.__repr__(value) if bits <= 3 * length else f"an integer of {bits:,} bits"
    for quoted in (str, bytes):
        if issubclass(kind, quoted):
            return _cut(repr(quoted.__getitem__(value, slice(length + 1))), length)
    return one_line(kind.__name__, length)


def _cut(written: str, length: int) -> str:
    """A quoted text of at most `length` characters between its quotes."""
    start = written.index(written[-1]) + 1
    return written if len(written) - start - 1 <= length else f"{written[: start + length]}...{written[-1]}"


def install_hint(extra: str) -> str:
    """The command that installs an extra of this package, for messages about a missing library."""
    return f'pip install "vggfcn[{extra}]"'
