"""Errors have one base class, and their messages fit on one line."""

import enum
import time

import pytest
from hostile_texts import HOSTILE, changes_a_terminal

from vggfcn import errors
from vggfcn.errors import one_line, printable, shown

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_caught_by_the_base_class(kind):
    with pytest.raises(errors.VGGFCNError, match=r"^why$"):
        raise kind("why")


def test_too_many_pixels_are_an_error_of_the_image():
    assert issubclass(errors.TooManyPixelsError, errors.ImageError)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(ValueError(" a\n  b "), "a b", id="white space"),
        pytest.param(MemoryError(), "MemoryError", id="no message"),
        pytest.param(ValueError("x" * 99), "xxxxxxxx ... xxxxxxx", id="too long"),
        pytest.param("", "", id="an empty text"),
        pytest.param("text\x1b", "text", id="an escape at the end"),
        pytest.param(ValueError("\x1b[1mbold\x1b[0m \x1b[31;1mred"), "bold red", id="a terminal's colours"),
    ],
)
def test_what_an_error_says_on_one_line(message, expected):
    assert one_line(message, 20) == expected


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_change_a_terminal_is_left_out(name):
    text, expected = HOSTILE[name]
    assert one_line(f"  {text} ") == expected
    assert printable(text).split() == expected.split()
    assert not changes_a_terminal(printable(text))
    assert str(errors.LabelError(f"class {text}: unknown")) == f"class {expected}: unknown"


@pytest.mark.parametrize("text", ["Zürich", "猫 и кот", "🐈", "a\u0301", "", "  kept   spaces "])
def test_what_people_write_stays(text):
    assert printable(text) == text


def test_a_long_message_keeps_its_beginning_and_its_end():
    start = time.perf_counter()
    message = str(errors.WeightsError(f"w.h5: found {'x' * 32_000_000}; choose another file"))
    assert time.perf_counter() - start < 1
    assert len(message) == errors.MESSAGE_LENGTH
    assert message.startswith("w.h5: found xxx")
    assert message.endswith("xxx; choose another file")
    assert " ... " in message
    assert str(errors.WeightsError(message)) == message
    assert errors.WeightsError(message).args == (message,)


class Foreign(str):
    """A text that does more than be a text."""

    def __str__(self):
        raise AssertionError

    __repr__ = __getitem__ = __len__ = __str__


class Pretender:
    """No text, though it says so."""

    __class__ = str


class Colour(str, enum.Enum):
    """A choice of the command line."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("dog", "'dog'", id="a text"),
        pytest.param("it's", '"it\'s"', id="a text with a quote"),
        pytest.param("\x1b[31m\n\u202e", r"'\x1b[31m\n...'", id="a hostile text"),
        pytest.param("x" * 10, "'xxxxxxxxxx'", id="a text of the whole length"),
        pytest.param("x" * 11, "'xxxxxxxxxx...'", id="a longer text"),
        pytest.param("\0" * 11, r"'\x00\x00\x...'", id="a text that becomes longer"),
        pytest.param(Colour.RED, "'red'", id="a choice"),
        pytest.param(Foreign("mine"), "'mine'", id="a text of a class of its own"),
        pytest.param(b"\xff" + bytes(10**6), r"b'\xff\x00\x...'", id="bytes"),
        pytest.param(-12, "-12", id="an integer"),
        pytest.param(1 << 10**8, "an integer of 100,000,001 bits", id="a huge integer"),
        pytest.param(0.5, "0.5", id="a float"),
        pytest.param(float("nan"), "nan", id="no number"),
        pytest.param(True, "True", id="a truth value"),
        pytest.param(None, "None", id="nothing"),
        pytest.param([[0] * 10**6], "list", id="a container"),
        pytest.param(Pretender(), "Pretender", id="an object that claims to be a text"),
        pytest.param(type("\x1b[2Jx" * 11, (), {})(), "xxx ... xx", id="an object of a hostile class"),
    ],
)
def test_a_value_in_a_message_is_short_and_safe(value, expected):
    start = time.perf_counter()
    assert shown(value, 10) == expected
    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(MemoryError(), True, id="Python's"),
        pytest.param(type("OwnError", (MemoryError,), {})(), True, id="a kind of Python's"),
        pytest.param(type("ResourceExhaustedError", (Exception,), {})(), True, id="TensorFlow's"),
        pytest.param(ValueError("ResourceExhaustedError"), False, id="another"),
    ],
)
def test_which_errors_mean_that_memory_is_lacking(error, expected):
    assert errors.lacks_memory(error) == expected
