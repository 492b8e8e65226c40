"""Errors have one base class, and their messages fit on one line."""

import pytest

from vggfcn import errors
from vggfcn.errors import one_line

CLASSES = [value for value in vars(errors).values() if isinstance(value, type)]


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
        pytest.param(ValueError("x" * 99), "x" * 20, id="too long"),
        pytest.param("", "", id="an empty text"),
        pytest.param(ValueError("\x1b[1mbold\x1b[0m \x1b[31;1mred"), "bold red", id="a terminal's colours"),
    ],
)
def test_what_an_error_says_on_one_line(message, expected):
    assert one_line(message, 20) == expected
