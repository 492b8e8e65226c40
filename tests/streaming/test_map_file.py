"""Maps written block by block: every cell is in its place, killed runs resume, and two runs do not get mixed up."""

import collections
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggfcn.errors import MapError
from vggfcn.streaming.map_file import open_map, read_map

SHAPE = (23, 17, 3)
RUN = {"model": "abc", "image": "150 x 131", "plan": {"rows": 8, "strips": [0, 9]}}
WHOLE = slice(None)


@pytest.fixture(params=[".npy", ".zarr"])
def path(request, tmp_path):
    if request.param == ".zarr":
        pytest.importorskip("zarr")
    return tmp_path / f"map{request.param}"


def coded(shape=SHAPE):
    """Logits that say where they belong."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def load(path):
    if path.suffix == ".npy":
        return np.load(path)
    import zarr

    return zarr.open_array(path, mode="r")[:]


def in_four():
    """A map of four blocks."""
    return [(rows, columns) for rows in (slice(0, 8), slice(8, 23)) for columns in (slice(0, 9), slice(9, 17))]


def write(grown, block, rows, columns):
    grown.write(block, rows, columns, coded()[rows, columns])


def test_a_map_is_seen_when_it_is_complete(path):
    with open_map(path, SHAPE, RUN) as grown:
        for block, place in enumerate(in_four()):
            assert not grown.finished(block)
            write(grown, block, *place)
            assert grown.finished(block)
            assert not path.exists()
        grown.complete()
        np.testing.assert_array_equal(load(path), coded())
        grown.complete()
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.blocks"]
    found = load(path)
    assert (found.dtype, found.shape) == (np.float32, SHAPE)


def test_a_run_goes_on_where_it_stopped(path):
    with open_map(path, SHAPE, RUN) as grown:
        for block in (0, 3):
            write(grown, block, *in_four()[block])
    with open_map(path, SHAPE, dict(reversed(RUN.items()))) as grown:
        assert [grown.finished(block) for block in range(4)] == [True, False, False, True]
        for block in (1, 2):
            write(grown, block, *in_four()[block])
        grown.complete()
    np.testing.assert_array_equal(load(path), coded())


def test_a_finished_map_is_known_again(path):
    with open_map(path, SHAPE, RUN) as grown:
        grown.write(0, WHOLE, WHOLE, coded())
        grown.complete()
    with open_map(path, SHAPE, RUN) as grown:
        assert grown.finished(0)
        assert grown.finished(99)
        grown.complete()
        with pytest.raises(ValueError, match="block 0: is finished already"):
            grown.write(0, WHOLE, WHOLE, coded() + 1)
    np.testing.assert_array_equal(load(path), coded())


@pytest.mark.parametrize("lost", ["the finished map", "the unfinished map"])
def test_a_lost_map_begins_anew(path, lost):
    with open_map(path, SHAPE, RUN) as grown:
        grown.write(0, WHOLE, WHOLE, coded())
        if lost == "the finished map":
            grown.complete()
    file = path if lost == "the finished map" else path.with_name(f"{path.name}.unfinished")
    file.rename(path.parent / "elsewhere")
    with open_map(path, SHAPE, RUN) as grown:
        assert not grown.finished(0)
        grown.write(0, WHOLE, WHOLE, coded() + 1)
        grown.complete()
    np.testing.assert_array_equal(load(path), coded() + 1)


def cuts(length):
    return st.lists(st.integers(0, length), max_size=4).map(lambda inner: sorted({0, length, *inner}))


@settings(max_examples=30, deadline=None)
@given(rows=cuts(SHAPE[0]), columns=cuts(SHAPE[1]), data=st.data())
def test_rectangles_in_any_order_with_a_stop_in_the_middle(tmp_path_factory, rows, columns, data):
    path = tmp_path_factory.mktemp("maps") / "map.npy"
    across = list(itertools.pairwise(columns))
    places = [(slice(*one), slice(*other)) for one in itertools.pairwise(rows) for other in across]
    order = data.draw(st.permutations(range(len(places))))
    stop = data.draw(st.integers(0, len(order)))
    done: set[int] = set()
    for blocks in (order[:stop], order[stop:]):
        with open_map(path, SHAPE, RUN) as grown:
            assert {block for block in order if grown.finished(block)} == done
            for block in blocks:
                write(grown, block, *places[block])
            done.update(blocks)
    with open_map(path, SHAPE, RUN) as grown:
        grown.complete()
    np.testing.assert_array_equal(np.load(path), coded())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"model": "def"}, "model 'abc' instead of 'def'; name another file", id="another network"),
        pytest.param({"image": "9 x 9"}, "image '150 x 131' instead of '9 x 9'", id="another image"),
        pytest.param(
            {"plan": {"rows": 4, "strips": [0, 9]}},
            r"plan {'rows': 8, 'strips': \[0, 9\]} instead of",
            id="another plan",
        ),
        pytest.param({"more": 1}, "more none instead of 1", id="something more"),
        pytest.param({"model": "d", "image": "e"}, "model 'abc' instead of 'd'; image", id="all at once"),
    ],
)
@pytest.mark.parametrize("complete", [False, True], ids=["unfinished", "complete"])
def test_another_run_is_refused(path, change, message, complete):
    with open_map(path, SHAPE, RUN) as grown:
        grown.write(0, WHOLE, WHOLE, coded())
        if complete:
            grown.complete()
    before = path.with_name(f"{path.name}.blocks").read_bytes()
    with pytest.raises(MapError, match=rf"{path.name}.blocks: belongs to another run, with {message}"):
        open_map(path, SHAPE, {**RUN, **change})
    assert path.with_name(f"{path.name}.blocks").read_bytes() == before
    with open_map(path, SHAPE, RUN) as grown:
        assert grown.finished(0)


def test_another_size_is_another_run(path):
    open_map(path, SHAPE, RUN).close()
    with pytest.raises(MapError, match=r"with shape \[23, 17, 3\] instead of \[23, 17, 4\]"):
        open_map(path, (23, 17, 4), RUN)


def record(path):
    return path.with_name(f"{path.name}.blocks")


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_last_line_that_breaks_off_is_dropped(path, kept):
    with open_map(path, SHAPE, RUN) as grown:
        for block in (0, 1):
            write(grown, block, *in_four()[block])
    *lines, last = record(path).read_bytes().splitlines(keepends=True)
    record(path).write_bytes(b"".join(lines) + last[: min(kept, len(last) - 1)])
    with open_map(path, SHAPE, RUN) as grown:
        assert [grown.finished(block) for block in range(4)] == [True, False, False, False]
        for block in (1, 2, 3):
            write(grown, block, *in_four()[block])
        grown.complete()
    np.testing.assert_array_equal(load(path), coded())
    assert [json.loads(line).get("block") for line in record(path).read_text().splitlines()] == [None, 0, 1, 2, 3]


def test_what_a_kill_left_of_a_chunk_is_cleared_away(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "map.zarr"
    with open_map(path, SHAPE, RUN) as grown:
        write(grown, 0, *in_four()[0])
    left_over = tmp_path / "map.zarr.unfinished" / "c" / "0" / "0.0123.partial"
    left_over.parent.mkdir(parents=True, exist_ok=True)
    left_over.write_bytes(b"half")
    with open_map(path, SHAPE, RUN) as grown:
        assert grown.finished(0)
    assert not left_over.exists()


@pytest.mark.parametrize("damage", ["shorter", "another shape", "no map"])
def test_refuses_an_unfinished_map_that_is_not_the_record_s(tmp_path, damage):
    path = tmp_path / "map.npy"
    with open_map(path, SHAPE, RUN) as grown:
        write(grown, 0, *in_four()[0])
    unfinished = tmp_path / "map.npy.unfinished"
    if damage == "shorter":
        os.truncate(unfinished, 400)
    elif damage == "another shape":
        with unfinished.open("wb") as file:
            np.save(file, coded()[:-1])
    else:
        unfinished.write_bytes(b"hello")
    with pytest.raises(MapError, match=r"map.npy.unfinished: does not match its record; remove it to start again"):
        open_map(path, SHAPE, RUN)


def test_a_strange_file_is_never_overwritten(path):
    path.write_text("precious")
    with pytest.raises(MapError, match="exists already, without a record of its run; remove it"):
        open_map(path, SHAPE, RUN)
    assert path.read_text() == "precious"
    assert not record(path).exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("map.tif", r"expected a name that ends in .npy or .zarr", id="another ending"),
        pytest.param("gone/map.npy", "there is no folder", id="no folder"),
    ],
)
def test_refuses_a_name(tmp_path, name, message):
    with pytest.raises(MapError, match=message):
        open_map(tmp_path / name, SHAPE, RUN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "columns", "shape", "message"),
    [
        pytest.param(
            slice(0, 24), WHOLE, (24, 17, 3), "rows: expected start and stop from 0 to 23, got 0:24", id="below"
        ),
        pytest.param(WHOLE, slice(-1, 3), (23, 4, 3), "columns: expected start and stop from 0 to 17", id="left of it"),
        pytest.param(slice(0, 8), WHOLE, (7, 17, 3), r"expected logits of shape \(8, 17, 3\), got \(7", id="too few"),
        pytest.param(slice(0, 1), WHOLE, (17, 3), r"expected logits of shape \(1, 17, 3\), got \(17, 3\)", id="flat"),
    ],
)
def test_refuses_a_block(path, rows, columns, shape, message):
    with open_map(path, SHAPE, RUN) as grown:
        with pytest.raises(ValueError, match=message):
            grown.write(0, rows, columns, np.zeros(shape))
        assert not grown.finished(0)
        write(grown, 0, *in_four()[0])
        with pytest.raises(ValueError, match="block 0: is finished already"):
            write(grown, 0, *in_four()[0])


def test_refuses_to_complete_what_is_not_whole(path):
    with open_map(path, SHAPE, RUN) as grown:
        for block in range(3):
            write(grown, block, *in_four()[block])
        with pytest.raises(ValueError, match="expected blocks with 391 cells in all, but 271 were written"):
            grown.complete()
        assert not path.exists()


SECOND = (
    "import sys; from vggfcn.streaming.map_file import open_map; open_map(sys.argv[1], (23, 17, 3), {'model': 'abc'})"
)


def test_two_processes_at_once(path):
    command = [sys.executable, "-c", SECOND, path]
    with open_map(path, SHAPE, {"model": "abc"}):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "MapError" in done.stderr
        assert "another process is working on this map" in done.stderr
    assert subprocess.run(command, check=False).returncode == 0


GROW = """
import sys, numpy as np
from vggfcn.streaming.map_file import open_map
shape = 400, 300, 8
logits = np.arange(np.prod(shape), dtype="f4").reshape(shape)
with open_map(sys.argv[1], shape, {"model": "abc"}) as grown:
    for block, row in enumerate(range(0, 400, 5)):
        for part, left in enumerate((0, 130)):
            rows, columns = slice(row, row + 5), slice(left, left + (130, 170)[part])
            if grown.finished(2 * block + part):
                continue
            grown.write(2 * block + part, rows, columns, logits[rows, columns])
            print(2 * block + part, flush=True)
    grown.complete()
"""


@pytest.mark.slow
def test_kill_and_go_on_again_and_again(path):
    """Each time after some more blocks, wherever it is just then; what was said to be written is not written again."""
    said = []
    for wait in (3, 20, 31):
        process = subprocess.Popen([sys.executable, "-c", GROW, path], stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(wait)]
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        said += [*map(int, lines), *map(int, rest.split())]
        assert not path.exists()
    done = subprocess.run([sys.executable, "-c", GROW, path], capture_output=True, text=True, check=True)
    said += map(int, done.stdout.split())
    assert len(said) == len(set(said))
    # A block that was recorded just before the kill may not have been said.
    assert 160 - 3 <= len(said) <= 160
    np.testing.assert_array_equal(load(path), coded((400, 300, 8)))
    assert not list(path.parent.rglob("*.partial"))


PEAK = """
import pathlib, re, sys, numpy as np
from vggfcn.streaming.map_file import open_map
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
with open_map(sys.argv[1], (1024, 1024, 16), {}) as grown:
    logits = np.ones((16, 512, 16), "f4")
    grown.write(0, slice(0, 16), slice(0, 512), logits)
    before = peak()
    for block in range(1, 128):
        top, left = block // 2 * 16, block % 2 * 512
        grown.write(block, slice(top, top + 16), slice(left, left + 512), logits)
    grown.complete()
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_map(path):
    """64 MB in blocks of half a megabyte."""
    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("the peak is measured as Linux tells it")
    done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[\d.]+\n", done.stdout)
    assert float(done.stdout) < 24


def completed(path):
    """The map of four blocks, those that are missing computed now."""
    with open_map(path, SHAPE, RUN) as grown:
        for number, place in enumerate(in_four()):
            if not grown.finished(number):
                write(grown, number, *place)
        grown.complete()
    return read_map(path, SHAPE)


def damages(path, folder):
    """Each file of a map, cut at many lengths, and removed."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        for length in [None, *sorted({*range(0, size, max(1, size // 40)), *range(max(0, size - 3), size)})]:
            yield file.relative_to(folder), length


def test_an_unfinished_map_that_was_cut_anywhere_is_right_or_refused(path, tmp_path_factory):
    """Also its record: whatever is lost of it is computed again."""
    with open_map(path, SHAPE, RUN) as grown:
        for number in (0, 1):
            write(grown, number, *in_four()[number])
    saved = tmp_path_factory.mktemp("saved") / "map"
    shutil.copytree(path.parent, saved)
    ends = collections.Counter()
    for file, length in damages(path, saved):
        shutil.rmtree(path.parent)
        shutil.copytree(saved, path.parent)
        (path.parent / file).unlink() if length is None else os.truncate(path.parent / file, length)
        try:
            np.testing.assert_array_equal(completed(path), coded())
            ends["right"] += 1
        except MapError as error:
            assert "does not match its record; remove it to start again" in str(error)
            ends["refused"] += 1
    assert min(ends["right"], ends["refused"]) > 10


def test_a_complete_map_that_was_cut_anywhere_is_refused(path, tmp_path_factory):
    completed(path)
    record(path).unlink()
    saved = tmp_path_factory.mktemp("saved") / "map"
    shutil.copytree(path.parent, saved)
    for file, length in damages(path, saved):
        shutil.rmtree(path.parent)
        shutil.copytree(saved, path.parent)
        (path.parent / file).unlink() if length is None else os.truncate(path.parent / file, length)
        with pytest.raises(MapError, match="does not match its record; remove it to start again"):
            read_map(path, SHAPE)


def test_a_zarr_with_another_byte_in_a_chunk_is_refused(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "map.zarr"
    completed(path)
    chunk = path / "c" / "0" / "0" / "0"
    content = chunk.read_bytes()
    for place in range(0, len(content), 20):
        chunk.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(MapError, match="does not match its record"):
            read_map(path, SHAPE)


def test_a_zarr_of_zeros_is_whole(tmp_path):
    pytest.importorskip("zarr")
    with open_map(tmp_path / "map.zarr", SHAPE, RUN) as grown:
        grown.write(0, WHOLE, WHOLE, np.zeros(SHAPE))
        grown.complete()
    assert not read_map(tmp_path / "map.zarr", SHAPE).any()


def test_a_map_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=23 * 17 * 3 * 4 - 1))
    with pytest.raises(OSError, match=r"not enough disk space in .*: 4,692 bytes needed, 4,691 available"):
        open_map(tmp_path / "map.npy", SHAPE, RUN)
    assert [file.name for file in tmp_path.iterdir()] == ["map.npy.blocks"]
