"""What the child process does, without its process: a part of a file, and a description within bounds."""

import io
import json
import socket
import subprocess
import sys

import h5py
import numpy as np
import pytest

from vggfcn.checkpoints.hdf5 import worker


def ask(path, request, start=0):
    """The answer, as bytes, and its length as stated."""
    ours, theirs = socket.socketpair()
    with ours, theirs, path.open("rb") as file:
        size = file.seek(0, io.SEEK_END) - start
        worker.answer(theirs, file.fileno(), start, size, request)
        theirs.close()
        data = b"".join(iter(lambda: ours.recv(1 << 16), b""))
    return int.from_bytes(data[:8], "little", signed=True), data[8:]


def test_an_answer_is_its_length_and_its_bytes(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["a"] = np.arange(4, dtype="f4").reshape(2, 2)
        file.attrs["name"] = "some"
    read = {"do": "read", "name": "a", "start": 1, "stop": 2}
    assert ask(tmp_path / "w.h5", read) == (8, np.array([2, 3], "f4").tobytes())
    assert ask(tmp_path / "w.h5", {"do": "list attributes"}) == (8, b'["name"]')
    size, data = ask(tmp_path / "w.h5", {"do": "describe"})
    array = {"shape": [2, 2], "dtype": "<f4", "offset": json.loads(data)["members"]["a"]["offset"]}
    expected = {"attributes": {"name": "some"}, "members": {"a": {**array, "problem": ""}}}
    assert (size, json.loads(data)) == (len(data), expected)
    offset = array["offset"]
    assert (tmp_path / "w.h5").read_bytes()[offset : offset + 16] == np.arange(4, dtype="f4").tobytes()


def test_a_refusal_has_a_negative_length(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"no HDF5")
    size, data = ask(tmp_path / "w.h5", {"do": "describe"})
    assert size == -len(data)
    assert json.loads(data).startswith("the HDF5 file is damaged (")


def test_damage_in_the_middle_of_a_result_ends_it(tmp_path, monkeypatch):
    """What a refusal says must not be taken for numbers."""
    monkeypatch.setattr(worker, "BLOCK", 8)
    path, values = tmp_path / "w.h5", np.arange(5, dtype="f4") + 1000.5
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=values, chunks=(1,), fletcher32=True)
    read = {"do": "read", "name": "a", "start": 0, "stop": 5}
    assert ask(path, read) == (20, values.tobytes())
    data = path.read_bytes()
    assert data.count(values[-1:].tobytes()) == 1
    path.write_bytes(data.replace(values[-1:].tobytes(), np.float32([7]).tobytes()))
    assert ask(path, read) == (20, values[:4].tobytes())


def test_a_child_may_still_do_all_that_an_answer_needs():
    """Nothing is imported after the limits are set: it was imported before."""
    code = (
        "import sys\nfrom vggfcn.checkpoints.hdf5 import worker\nworker.load_all()\nbefore = set(sys.modules)\n"
        "worker.load_all()\nprint(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_part_of_a_file_is_a_file(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        part = worker.Part(file.fileno(), 2, 5)
        assert (part.readable(), part.seekable(), part.read()) == (True, True, b"23456")
        assert (part.seek(1), part.read(2), part.tell()) == (1, b"34", 3)
        assert (part.seek(-1, io.SEEK_CUR), part.read(1)) == (2, b"4")
        assert (part.seek(-2, io.SEEK_END), part.read()) == (3, b"56")


def many(file):
    for number in range(40):
        group = file.create_group(str(number))
        for attribute in range(3):
            group.attrs[str(attribute)] = 0


def test_more_objects_than_any_network(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "OBJECTS", 100)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        many(file)
        with pytest.raises(worker.RefusedError, match="over 100 groups, arrays and attributes"):
            worker._Description().group(file, 0)
