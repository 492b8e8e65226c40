"""The table of known names makes plain records, and refuses arguments that no array has."""

import pytest

from vggfcn.checkpoints.pickles.records import KNOWN, Array, Dict, Dtype, Persistent, TorchTensor

STORAGE = Persistent("storage")
rebuild_tensor = KNOWN["torch._utils._rebuild_tensor_v2"]


def test_the_known_names_are_few_and_none_is_the_thing_itself():
    assert len(KNOWN) < 30
    made_here = [make for make in KNOWN.values() if make not in (None, tuple)]
    assert {make.__module__ for make in made_here} == {"vggfcn.checkpoints.pickles.records"}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("collections.OrderedDict", ([["a", 1], ["b", 2]],), {"a": 1, "b": 2}),
        ("collections.OrderedDict", (), {}),
        ("_codecs.encode", ("\xe9\x00", "latin1"), b"\xe9\x00"),
        ("numpy.dtype", ("f4", False, True), Dtype("f4")),
        ("numpy.core.multiarray._reconstruct", ("ndarray", (0,), b"b"), Array()),
        ("numpy._core.multiarray._reconstruct", ("ndarray", (0,), b"b"), Array()),
        ("numpy.core.multiarray.scalar", (Dtype("f4"), b"1234"), None),
        ("torch.Size", ([2, 3],), (2, 3)),
        ("torch._utils._rebuild_parameter", ("a tensor", True, {}), "a tensor"),
        (
            "torch._utils._rebuild_tensor_v2",
            (STORAGE, 4, (2, 3), (3, 1), False, {}),
            TorchTensor(STORAGE, 4, (2, 3), (3, 1)),
        ),
    ],
)
def test_makes(name, arguments, expected):
    made = KNOWN[name](*arguments)
    assert made == expected
    assert isinstance(made, type(expected))


@pytest.mark.parametrize(
    ("name", "byte_order", "expected"),
    [("f4", "<", "<f4"), ("f8", ">", ">f8"), ("u1", "|", "|u1"), ("<f4", ">", "<f4"), ("f4", "=", "f4")],
)
def test_a_dtype_takes_its_byte_order_from_its_state(name, byte_order, expected):
    dtype = Dtype(name)
    dtype.build((3, byte_order, None, None, None, -1, -1, 0))
    assert dtype.name == expected


def test_an_array_takes_everything_from_its_state():
    array = Array()
    array.build((1, (2, 1), Dtype("|u1"), True, "\xff\x00"))
    assert array == Array((2, 1), Dtype("|u1"), True, b"\xff\x00")


def test_a_dict_ignores_attributes():
    made = Dict({"a": 1})
    made.build({"_metadata": {}})
    assert made == {"a": 1}
    assert not hasattr(made, "_metadata")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(lambda: Dict().set_item((), 1), TypeError, "unsupported key of type tuple", id="a tuple as key"),
        pytest.param(
            lambda: KNOWN["collections.OrderedDict"]([[1.5, 2]]), TypeError, "key of type float", id="a float as key"
        ),
        pytest.param(
            lambda: KNOWN["_codecs.encode"]("x", "rot13"), ValueError, "unsupported encoding 'rot13'", id="an encoding"
        ),
        pytest.param(lambda: Array().build((1, (-1,), None, False, b"")), ValueError, "invalid shape", id="a size"),
        pytest.param(lambda: KNOWN["numpy.dtype"]([]), TypeError, "malformed NumPy dtype", id="a list for a dtype"),
        pytest.param(lambda: rebuild_tensor("x", 0, (), ()), TypeError, "malformed torch tensor", id="no storage"),
        pytest.param(lambda: rebuild_tensor(STORAGE, True, (), ()), TypeError, "malformed", id="a bool as offset"),
        pytest.param(lambda: rebuild_tensor(STORAGE, 0, (2,), ()), TypeError, "malformed", id="a stride missing"),
        pytest.param(lambda: rebuild_tensor(STORAGE, 0, (2.0,), (1,)), ValueError, "invalid shape", id="a float size"),
        pytest.param(
            lambda: rebuild_tensor(STORAGE, 0, (2,), (-1,)), ValueError, "invalid shape", id="a negative stride"
        ),
    ],
)
def test_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()
