"""Protocol buffers are read as their documentation says, and bytes that are none are refused."""

import pytest
from raw_formats import proto, varint

from vggfcn.checkpoints import budget
from vggfcn.checkpoints.budget import OBJECTS, Budget
from vggfcn.checkpoints.protobuf import MAX_TEXT, Message, is_protobuf
from vggfcn.checkpoints.tensors import Span
from vggfcn.errors import WeightsError

# The examples of https://protobuf.dev/programming-guides/encoding.
INTEGER = bytes.fromhex("089601")
TEXT = bytes.fromhex("120774657374696e67")
SUBMESSAGE = bytes.fromhex("1a03089601")
PACKED = bytes.fromhex("3206038e029ea705")


@pytest.fixture
def message(tmp_path):
    files = []

    def make(data):
        path = tmp_path / "w.bin"
        path.write_bytes(data)
        files.append(path.open("rb"))
        return Message(files[-1], Budget(path, len(data)))

    yield make
    for file in files:
        file.close()


def test_the_examples_of_the_documentation(message):
    fields = message(INTEGER + TEXT + SUBMESSAGE + PACKED)
    assert fields.integers(1) == [150]
    assert fields.text(2) == "testing"
    assert [inner.integers(1) for inner in fields.messages(3)] == [[150]]
    assert fields.integers(6) == [3, 270, 86942]
    assert [number for number, _ in fields] == [1, 2, 3, 6]


def test_long_fields_stay_in_the_file(message):
    fields = message(INTEGER + proto(5, bytes(1_000_000)))
    assert fields.spans(5) == [Span(len(INTEGER) + 4, 1_000_000)]


def test_fixed_fields_are_bytes(message):
    fields = message(varint(1 << 3 | 5) + b"four" + varint(2 << 3 | 1) + b"8 bytes.")
    assert list(fields) == [(1, b"four"), (2, b"8 bytes.")]


def test_fields_may_be_repeated_or_missing(message):
    fields = message(proto(1, 7) + proto(2, b"first") + proto(1, 8) + proto(2, b"last"))
    assert (fields.integers(1), fields.texts(2), fields.text(2)) == ([7, 8], ["first", "last"], "last")
    assert (fields.integers(9), fields.texts(9), fields.text(9), list(fields.messages(9))) == ([], [], "", [])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x08\x96", id="an integer cut short"),
        pytest.param(b"\x08" + b"\xff" * 11, id="an integer of too many bytes"),
        pytest.param(b"\x12\x07test", id="a text beyond the end"),
        pytest.param(b"\x00\x01", id="field number 0"),
        pytest.param(b"\x0b", id="a group, which is obsolete"),
    ],
)
def test_refuses(message, data):
    with pytest.raises(WeightsError, match=r"w.bin: damaged, or not a protocol buffer; download the file again"):
        list(message(data))


def test_names_are_short(message):
    assert len(message(proto(1, b"x" * MAX_TEXT)).text(1)) == MAX_TEXT
    fields = message(proto(1, b"x" * (MAX_TEXT + 1)))
    for read in (fields.text, fields.integers):
        with pytest.raises(WeightsError, match="damaged, or not a protocol buffer"):
            read(1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(TEXT, True, id="a message"),
        pytest.param(INTEGER, False, id="nothing with a length"),
        pytest.param(b"a text file, not a message", False, id="text"),
        pytest.param(b"", False, id="empty"),
    ],
)
def test_is_protobuf(tmp_path, data, expected):
    path = tmp_path / "w.bin"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert is_protobuf(file, Budget(path, len(data))) is expected


def test_fields_are_read_once_however_many_are_asked_for(message):
    fields = message(proto(1, b"a") + proto(2, 7) * 100)
    for _ in range(10):
        assert (fields.text(1), fields.integers(2), len(fields.values(9))) == ("a", [7] * 100, 0)
    assert OBJECTS - fields.budget.objects == 101 + 10  # each field, and each text


def test_counts_what_it_makes(message):
    fields = message(proto(3, proto(4, b"abc") + proto(5, b"\x01\x02")))
    room = fields.budget.bytes
    (inner,) = fields.messages(3)
    assert (inner.text(4), inner.integers(5)) == ("abc", [1, 2])
    assert OBJECTS - fields.budget.objects == 3 + 1 + 2 + 2  # fields, a message, a text and its packed field, integers
    assert room - fields.budget.bytes == 3 * 200 + 800 + 3 + 2


def test_fields_may_lie_across_the_borders_of_what_is_read_at_once(message):
    fields = message(b"".join(proto(1, 1 << 40) + proto(2, b"x" * (number % 7)) for number in range(2000)))
    assert fields.integers(1) == [1 << 40] * 2000
    assert [span.size for span in fields.spans(2)] == [number % 7 for number in range(2000)]


def test_many_fields_are_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "OBJECTS", 1000)
    path = tmp_path / "w.bin"
    path.write_bytes(TEXT * 1001)
    with path.open("rb") as file:
        assert not is_protobuf(file, Budget(path, path.stat().st_size))
    with path.open("rb") as file, pytest.raises(WeightsError, match="would take over 1,000 objects"):
        Message(file, Budget(path, path.stat().st_size)).text(2)
