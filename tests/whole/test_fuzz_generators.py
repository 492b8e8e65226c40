"""What `make fuzz` stands on: hostile files that are what they seem, and a runner that sees what goes wrong."""

import hashlib
import io
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import fuzz_matlab
import fuzz_messages
import h5py
import numpy as np
import pytest
from fuzz_checksums import lookup3, repair, spans
from fuzz_hdf5_fields import structures
from fuzz_hdf5_seeds import copied
from fuzz_kinds import STRUCTURES, made
from fuzz_pickles import call
from fuzz_runner import Reader, table
from fuzz_sound import written
from fuzz_values import MARK, generator
from fuzz_zips import DEFLATED, Member, archive_of
from paths import DATA, ROOT

# Quick to make: Keras is not needed.
QUICK = ("pickles in torch's zip", "HDF5 models, fields", "ONNX")
DIGESTS = """
import hashlib, sys
from fuzz_kinds import made
for kind in sys.argv[1:]:
    print(hashlib.sha256(b"".join(made(kind, number) for number in range(5))).hexdigest())
"""


def test_a_kind_and_a_number_always_give_the_same_bytes():
    path = os.pathsep.join(map(str, (ROOT / "tests" / "fuzz", ROOT / "tests" / "helpers", ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", DIGESTS, *QUICK]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    here = [hashlib.sha256(b"".join(made(kind, number) for number in range(5))).hexdigest() for kind in QUICK]
    assert found == here


@pytest.mark.parametrize("kind", STRUCTURES)
def test_numbers_give_different_files(kind):
    count = 4 if kind.startswith("HDF5") else 12
    assert len({made(kind, number) for number in range(count)}) > count / 2


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],
    ids=["nothing", "a text"],
)
def test_lookup3_is_that_of_its_author(data, expected):
    """Both are in lookup3.c."""
    assert lookup3(data) == expected


def sample(**options):
    """An HDF5 file with a group, an array in it, and an attribute."""
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as hdf5:
        array = hdf5.create_dataset("group/array", (123, 45), "f4", chunks=(41, 15), compression="gzip")
        array[...] = 1.0
        array.attrs["name"] = "a text"
        hdf5["plain"] = np.arange(77.0)
    return file.getvalue()


def values(data, structure):
    """What the fields of a kind of structure hold."""
    fields = [field for field in structures(data).fields if field.structure == structure]
    return {int.from_bytes(data[field.at : field.at + field.size], "little") for field in fields}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_the_fields_of_hdf5_are_where_the_library_wrote_them(libver):
    data = sample(libver=libver)
    with h5py.File(io.BytesIO(data)) as file:
        places = {h5py.h5o.get_info(file[name].id).addr for name in ("/", "group", "group/array", "plain")}
        offset = file["plain"].id.get_offset()
    assert places <= set(structures(data).places)
    assert {123, 45, 77} <= values(data, "dataspace")
    assert {41, 15} <= values(data, "layout")
    assert offset in values(data, "layout")
    assert 1 in values(data, "filters")
    assert len(data) in values(data, "superblock")


def test_every_new_structure_of_hdf5_has_its_checksum():
    data = sample(libver="latest")
    assert {span.start for span in spans(data)} >= {0, *(start for start, _ in structures(data).headers)}
    assert len(structures(data).headers) >= 4


@pytest.mark.parametrize("right", [True, False], ids=["right checksums", "wrong checksums"])
def test_the_library_sees_a_changed_field_if_its_checksum_is_right(right):
    data = sample(libver="latest")
    field = next(
        field
        for field in structures(data).fields
        if field.structure == "dataspace" and data[field.at : field.at + field.size] == (77).to_bytes(8, "little")
    )
    changed = bytearray(data)
    changed[field.at] = 70
    if right:
        repair(changed, spans(data))
        with h5py.File(io.BytesIO(changed)) as file:
            assert file["plain"].shape == (70,)
    else:
        with h5py.File(io.BytesIO(changed)) as file, pytest.raises((KeyError, OSError), match="checksum"):
            file["plain"]


def test_copies_of_hdf5_hold_the_same_numbers():
    source = written("published")
    copy = copied(source, layout="compressed", libver="latest")
    with h5py.File(io.BytesIO(source)) as one, h5py.File(io.BytesIO(copy)) as other:
        assert (one["fc1/fc1_W_1:0"][()] == other["fc1/fc1_W_1:0"][()]).all()
        assert other["fc1/fc1_W_1:0"].compression == "gzip"


def test_archives_are_sound_if_nothing_is_changed():
    members = [Member("a", b"b" * 1000, DEFLATED), Member("c/d", b"", extra=b"\xfe\xca\0\0")]
    with zipfile.ZipFile(io.BytesIO(archive_of(members, b"before", comment=b"after"))) as archive:
        assert archive.testzip() is None
        assert archive.read("a") == b"b" * 1000
        assert (archive.namelist(), archive.comment) == (["a", "c/d"], b"after")


def test_messages_are_written_as_they_were():
    data = (DATA / "micro-torch.onnx").read_bytes()
    message = fuzz_messages.parsed(data, fuzz_messages.ONNX, "model")
    assert fuzz_messages.serialized(message) == data
    assert len(fuzz_messages.messages_in(message)) > 50


@pytest.mark.parametrize("name", [".mat", "uncompressed .mat"])
def test_matlab_files_are_written_as_they_were(name):
    scipy_io = pytest.importorskip("scipy.io")
    data = written(name)
    again = data[:128] + fuzz_matlab.serialized(fuzz_matlab.parsed(data[128:]))
    one, other = (scipy_io.loadmat(io.BytesIO(each))["layers"] for each in (data, again))
    assert one.shape == other.shape
    assert (one[0, 0]["weights"][0, 0][0, 0] == other[0, 0]["weights"][0, 0][0, 0]).all()


def test_calls_do_run_where_they_are_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = set()
    for number in range(60):
        payload = call(generator("calls", number))
        try:
            pickle.loads(b"\x80\x02" + payload + b".")
        except Exception:
            continue
        if pathlib.Path(MARK).exists():
            ran.add(payload[-1:])
            pathlib.Path(MARK).unlink()
    assert ran == {b"R", b"o", b"\n"}  # REDUCE, OBJ and the end of INST; the others are no calls for Python's machine.


# A package that does with a file what the file says, in Python.
FAKE = {
    "__init__.py": "",
    "errors.py": "class VGGFCNError(Exception): pass\nclass WeightsError(VGGFCNError): pass\n",
    "networks/__init__.py": "",
    "networks/weights.py": (
        "import os, pathlib, sys, time, warnings, subprocess, numpy as np\n"
        "from vggfcn.errors import WeightsError\n"
        "class Weights(dict):\n"
        "    shapes = {'layer': ((2,), (1,))}\n"
        "def read_weights(path):\n"
        "    value = 1.0\n"
        "    names = {'path': path, **globals()}\n"
        "    exec(pathlib.Path(path).read_text(), names)\n"
        "    pair = (np.full(2, names.get('value', 1), np.float32), np.ones(1, np.float32))\n"
        "    return Weights(layer=pair)\n"
    ),
    "checkpoints/__init__.py": "",
    "checkpoints/formats/__init__.py": "",
    **{f"checkpoints/formats/keras_{name}.py": "" for name in ("files", "models", "rewriting")},
}
DEEDS = {
    "nothing": ("", "read", ""),
    "refusing": ("raise WeightsError(f'{path}: no')", "refused", "no"),
    "a number that is none": ("value = float('nan')", "foreign", "AssertionError"),
    "another exception": ("[][0]", "foreign", "IndexError"),
    "no memory left": ("bytearray(5 << 30)", "foreign", "MemoryError"),
    "no recursion left": ("f = lambda: f()\nf()", "foreign", "RecursionError"),
    "a refusal of two lines": ("raise WeightsError(f'{path}: no\\nand no')", "foreign", "says no line"),
    "a refusal that names no file": ("raise WeightsError('no')", "foreign", "says no line"),
    "a long refusal": ("raise WeightsError(path + 'x' * 600)", "foreign", "characters"),
    "a warning": ("warnings.warn('careful')", "foreign", "warns: careful"),
    "an abort": ("os.abort()", "crash", "ended with -6"),
    "an exit": ("os._exit(0)", "crash", "ended with 0"),
    "sleep": ("time.sleep(60)", "hang", "over 3 seconds"),
    "much memory": ("bytearray(400 << 20)", "memory", "40"),
    "much memory in a child": (
        "subprocess.run([sys.executable, '-c', 'import time; b = bytearray(450 << 20); time.sleep(0.3)'])",
        *("memory", "4"),
    ),
    "words": ("print('hello')", "foreign", "lets out b'hello"),
    "words of a child": ("subprocess.run(['echo', 'hello'])", "foreign", "lets out b'hello"),
    "a file": ("open('new', 'w').close()", "foreign", "leaves ['new'] behind"),
    "the mark": (f"open({MARK!r}, 'w').close()", "foreign", "ran code"),
}


@pytest.fixture(scope="module")
def fake_reader(tmp_path_factory):
    if not pathlib.Path("/proc/self/clear_refs").exists():
        pytest.skip("what a file costs is measured on Linux alone")
    folder = tmp_path_factory.mktemp("fake")
    for name, code in FAKE.items():
        path = folder / "vggfcn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        reader = Reader("weights", folder / "reader", seconds=3)
        yield reader
        reader.stop()


@pytest.mark.parametrize("deed", DEEDS)
def test_the_runner_sees_what_reading_does(deed, fake_reader):
    code, outcome, text = DEEDS[deed]
    result = fake_reader.read(code.encode(), "file")
    assert (result.outcome, text in result.text) == (outcome, True), result


def test_the_runner_goes_on_with_a_new_process(fake_reader):
    outcomes = [fake_reader.read(code, "file").outcome for code in (b"os.abort()", b"", b"", b"os._exit(1)", b"")]
    assert outcomes == ["crash", "read", "read", "crash", "read"]


def test_the_table_counts_outcomes(fake_reader):
    results = [fake_reader.read(code, "file") for code in (b"", b"raise WeightsError(path)", b"[][0]", b"")]
    cells = table({"a kind": results}).splitlines()[-1].split(" | ")
    assert cells[:8] == ["| a kind", "4", "2", "1", "0", "0", "1", "0"]
