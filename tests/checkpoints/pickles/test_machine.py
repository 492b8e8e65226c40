"""The pickle reader reads what `pickle` writes, as data: it imports nothing and leaves long bytes in the file."""

import io
import pathlib
import pickle
import re

import numpy as np
import pytest

from vggfcn.checkpoints.budget import OBJECTS, Budget
from vggfcn.checkpoints.pickles.machine import LONG, PickleReader
from vggfcn.checkpoints.pickles.records import Array, Global, Persistent
from vggfcn.checkpoints.reading import reading
from vggfcn.checkpoints.tensors import Span
from vggfcn.errors import WeightsError


def reader(data, end=None):
    return PickleReader(io.BytesIO(data), len(data) if end is None else end, Budget(pathlib.Path("w.pkl"), len(data)))


VALUES = [None, True, 7, -(2**70), 1.5, "text", b"bytes", (1, (2, 3)), [1, [2]], {"a": {"b": 1}}]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_what_pickle_writes(value, protocol):
    assert reader(pickle.dumps(value, protocol)).run() == value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"\x80\x02U\x03abc.", "abc", id="a short text of Python 2"),
        pytest.param(b"\x80\x02U\x02\xff\x00.", b"\xff\x00", id="bytes of Python 2"),
        pytest.param(b"\x80\x02(K\x01K\x020l.", [1], id="a value popped off"),
        pytest.param(b"\x80\x02K\x07(K\x01K\x021.", 7, id="values popped to the mark"),
        pytest.param(b"\x80\x02]K\x05a2\x86.", ([5], [5]), id="a value duplicated"),
        pytest.param(b"\x80\x02K\x05q\x03h\x03\x86.", (5, 5), id="a value from the memo"),
        pytest.param(b"\x80\x02ctorch\nSize\n(K\x02K\x03t\x85R\x85.", ((2, 3),), id="a size of torch's"),
        pytest.param(b"\x80\x02ctorch\nSize\n)\x85R\x85.", ((),), id="an empty size of torch's"),
        pytest.param(b"\x80\x02ctorch._utils\n_rebuild_parameter\n]\x85R\x85.", ([],), id="a parameter"),
    ],
)
def test_reads_opcodes_that_pickle_no_longer_writes(data, expected):
    assert reader(data).run() == expected


def test_values_used_twice_are_the_same_object():
    inner = [1]
    first, second = reader(pickle.dumps([inner, inner], 4)).run()
    assert first is second


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_long_bytes_stay_in_the_file(protocol):
    content = bytes(range(256)) * (LONG // 256 + 1)
    data = pickle.dumps([content, 1], protocol)
    span, one = reader(data).run()
    assert isinstance(span, Span)
    assert data[span.offset : span.offset + span.size] == content
    assert one == 1


def test_numpys_arrays_become_records():
    """NumPy itself pickles them."""
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    record = reader(pickle.dumps({"w": array}, 4)).run()["w"]
    assert isinstance(record, Array)
    assert (record.shape, record.dtype.name, record.fortran) == ((2, 3), "<f4", False)
    assert record.data == array.tobytes()


def test_pickles_may_follow_each_other():
    file = io.BytesIO(pickle.dumps("first") + pickle.dumps([2]) + b"rest")
    size = len(file.getvalue())
    assert [PickleReader(file, size, Budget(pathlib.Path("w"), size)).run() for _ in range(2)] == ["first", [2]]
    assert file.read() == b"rest"


def test_persistent_ids_are_collected():
    pickled = reader(b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\ntQ.")
    expected = Persistent(("storage", Global("torch.FloatStorage")))
    assert pickled.run() == expected
    assert pickled.references == [expected]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(pickle.dumps("text")[:-3], "the file ends in the middle of a pickle", id="cut short"),
        pytest.param(b"\x80\x02\x81.", "ValueError: unsupported opcode b'.x81'", id="an unknown opcode"),
        pytest.param(b"\x80\x02K\x01K\x02a.", "TypeError: cannot append to a int", id="appending to a number"),
        pytest.param(b"\x80\x02]K\x01K\x02s.", "TypeError: cannot set items of a list", id="setting items of a list"),
        pytest.param(b"\x80\x02}(K\x01u.", "TypeError: cannot set items of a Dict", id="a key without a value"),
        pytest.param(b"\x80\x02N\x86.", "ValueError: empty stack", id="too few values"),
        pytest.param(b"\x80\x02Nt.", "ValueError: missing mark", id="no mark"),
        pytest.param(b"\x80\x02h\x05.", "KeyError: 5", id="an empty place in the memo"),
        pytest.param(b"\x80\x02c" + b"x" * 2000, "ValueError: a line without an end", id="an endless name"),
        pytest.param(b"\x80\x02X\x01\x00\x00\x00\xff.", "UnicodeDecodeError", id="text that is none"),
    ],
)
def test_refuses(tmp_path, data, message):
    assert re.search(f"w.pkl: .*{message}.*; download the file again$", refusal(tmp_path / "w.pkl", data))


def refusal(path, data):
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught, reading(path) as budget, path.open("rb") as file:
        PickleReader(file, len(data), budget).run()
    return str(caught.value)


def test_does_not_read_beyond_its_end():
    data = pickle.dumps("text" * 10)
    assert reader(data + b"more", len(data)).run() == "text" * 10
    with pytest.raises(WeightsError, match="ends in the middle of a pickle"):
        reader(data, len(data) - 1).run()


def test_names_that_are_not_arrays_are_refused_with_advice():
    message = (
        r"^w.pkl: expected only arrays, found a reference to 'os.system'; it was not run. "
        r"Save only the arrays; in torch: torch.save\(model.state_dict\(\), path\)$"
    )
    with pytest.raises(WeightsError, match=message):
        reader(b"\x80\x02cos\nsystem\n.").run()


@pytest.mark.parametrize(
    ("data", "objects", "made"),
    [
        pytest.param(b"N0N.", 3, 0, id="each opcode"),
        pytest.param(b"C\x04abcdU\x02ab\x86.", 3, 6 + 300, id="bytes, text and a tuple"),
        pytest.param(b"X\x02\x00\x00\x00ab.", 1, 2, id="narrow text"),
        pytest.param(b"X\x02\x00\x00\x00\xc4\x80.", 1, 8, id="wide text"),
        pytest.param(b"]}N.", 3, 600, id="a list and a dict"),
        pytest.param(b"Nq\x00h\x00.", 4, 0, id="the memo"),
        pytest.param(b"c_codecs\nencode\nU\x03abcU\x06latin1\x86R.", 7, 2 * 9 + 300, id="what a call copies"),
    ],
)
def test_counts_what_it_makes(data, objects, made):
    pickled = reader(data)
    room = pickled.budget.bytes
    pickled.run()
    assert (OBJECTS - pickled.budget.objects, room - pickled.budget.bytes) == (objects, made)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b")" + b"\x85" * 51 + b".", "nested over 50 levels deep", id="tuples"),
        pytest.param(b"N" + b"Q" * 51 + b".", "nested over 50 levels deep", id="persistent ids"),
        pytest.param(b"]" * 51 + b"a" * 50 + b".", "nested over 50 levels deep", id="lists"),
        pytest.param((b"}K\x01" * 51) + b"N" + b"s" * 51 + b".", "nested over 50 levels deep", id="dicts"),
        pytest.param(b"(" * 51 + b"l" * 51 + b".", "nested over 50 levels deep", id="lists at once"),
        pytest.param(
            b"ccollections\nOrderedDict\nq\x00)R" + b"q\x010h\x00K\x05h\x01\x86\x85\x85R" * 20 + b".",
            "nested over 50 levels deep",
            id="calls",
        ),
        pytest.param(
            b"ccollections\nOrderedDict\n)Rq\x00\x85h\x00Nb.",
            "changes after it was put into another",
            id="a late state",
        ),
        pytest.param(
            b"ccollections\nOrderedDict\n)Rq\x00\x85h\x00K\x01Ns.",
            "changes after it was put into another",
            id="a late key of an OrderedDict",
        ),
        pytest.param(b"]q\x00\x85h\x00Na.", "changes after it was put into another", id="a late item"),
        pytest.param(b"}q\x00\x85h\x00K\x01Ns.", "changes after it was put into another", id="a late key"),
        pytest.param(b"]q\x00h\x00a.", "a container is put into itself", id="a list in itself"),
        pytest.param(b"\x8a\x11" + b"\x01" * 17 + b".", "an integer of 17 bytes", id="a long integer"),
        pytest.param(b"})Ns.", "unsupported key of type tuple", id="a tuple as a key"),
        pytest.param(b"))R.", "cannot call a tuple", id="a call of a tuple"),
        pytest.param(b"cnumpy\ndtype\n]R.", "cannot call a Global", id="a call with a list"),
        pytest.param(b"U\x01aNb.", "cannot set attributes of a str", id="attributes of a text"),
        pytest.param(b")N\x93.", "found a reference to ''; it was not run", id="a name that is no text"),
    ],
)
def test_refuses_what_no_array_needs(tmp_path, data, message):
    assert message in refusal(tmp_path / "w.pkl", b"\x80\x02" + data)


def test_fifty_levels_are_read():
    value = ()
    for _ in range(50):
        value = (value,)
    assert reader(pickle.dumps(value, 2)).run() == value


def test_the_empty_tuple_may_be_everywhere():
    value = [(), [()], ((), ()), {"a": ()}]
    assert reader(pickle.dumps(value, 4)).run() == value
    assert reader(b"\x80\x02(t(t\x86.").run() == ((), ())
