"""Images in blocks: the same map as at once, also after a kill."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from paths import ROOT
from PIL import Image
from streams import without_compiling

import vggfcn
from vggfcn.errors import MapError
from vggfcn.streaming import large_score_map
from vggfcn.streaming.memory_plan import Cut


@pytest.fixture(scope="module")
def model():
    return vggfcn.build(weights="mnist-lenet5")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (150, 210, 1), np.uint8)


@pytest.fixture(scope="module")
def whole(model, image):
    return vggfcn.score_map(model, image)


@pytest.fixture
def eagerly():
    with without_compiling():
        yield


@pytest.mark.parametrize("chosen", [Cut(4, None), Cut(64, None), Cut(16, 80)], ids=str)
def test_the_map_is_that_of_the_image_at_once(eagerly, model, image, whole, chosen, monkeypatch):
    monkeypatch.setattr(large_score_map, "cut", lambda *_, **__: chosen)
    told = []
    scores = vggfcn.score_map(model, image, max_memory="4GB", progress=lambda *one: told.append(one))
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)
    assert scores.field == whole.field
    strips = 1 if chosen.strip_columns is None else 4
    assert told[-1] == (strips * 30, strips * 30)
    assert told == sorted(told)


def test_a_finer_stride(model, image):
    scores = vggfcn.score_map(model, image, output_stride=2, max_memory="4GB")
    np.testing.assert_allclose(scores.logits, vggfcn.score_map(model, image, output_stride=2).logits, atol=1e-5)


def test_files_are_read_in_parts_and_whole(eagerly, model, image, whole, tmp_path):
    np.save(tmp_path / "image.npy", image)
    Image.fromarray(image[..., 0]).convert("RGB").save(tmp_path / "image.png")
    for name in ("image.npy", "image.png"):
        for arguments in ({}, {"max_memory": "4GB"}):
            scores = vggfcn.score_map(model, tmp_path / name, **arguments)
            np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)


def test_the_map_in_a_zarr(eagerly, model, image, whole, tmp_path):
    pytest.importorskip("zarr")
    scores = vggfcn.score_map(model, image, max_memory="4GB", output=tmp_path / "map.zarr")
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)


def stopped_after(count):
    def progress(done, total):
        nonlocal count
        count -= 1
        if not count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("stops", [1, 3, 12])
def test_a_run_that_was_stopped_goes_on(eagerly, model, image, whole, tmp_path, monkeypatch, stops):
    monkeypatch.setattr(large_score_map, "cut", lambda *_, **__: Cut(16, 80))
    arguments = {"max_memory": "4GB", "output": tmp_path / "map.npy"}
    with pytest.raises(KeyboardInterrupt):
        vggfcn.score_map(model, image, **arguments, progress=stopped_after(stops))
    told = []
    scores = vggfcn.score_map(model, image, **arguments, progress=lambda *one: told.append(one))
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)
    assert len(told) in (4 * 10 - stops, 4 * 10 - stops + 1)  # Four strips of ten blocks.
    again = []
    vggfcn.score_map(model, image, **arguments, progress=lambda *one: again.append(one))
    assert again == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.npy", "map.npy.blocks"]


KILLED = """
    import os, signal, sys
    import numpy as np
    import vggfcn
    from vggfcn.streaming import large_score_map as large_images
    from vggfcn.streaming.memory_plan import Cut

    large_images.cut = lambda *_, **__: Cut(16, None)
    image = np.random.default_rng(0).integers(0, 256, (150, 210, 1), np.uint8)
    model = vggfcn.build(weights="mnist-lenet5")
    def progress(done, total):
        if done >= 12:
            os.kill(os.getpid(), signal.SIGKILL)
    vggfcn.score_map(model, image, max_memory="4GB", output=sys.argv[1], progress=progress)
"""


def test_a_run_that_was_killed_goes_on_in_another_process(model, image, whole, tmp_path, monkeypatch):
    output = tmp_path / "map.npy"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setattr(large_score_map, "cut", lambda *_, **__: Cut(16, None))
    told = []
    scores = vggfcn.score_map(model, image, max_memory="4GB", output=output, progress=lambda *one: told.append(one))
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)
    assert told[0][0] > 8


def test_another_image_or_network_does_not_go_on(eagerly, model, image, tmp_path):
    arguments = {"max_memory": "4GB", "output": tmp_path / "map.npy"}
    with pytest.raises(KeyboardInterrupt):
        vggfcn.score_map(model, image, **arguments, progress=stopped_after(1))
    with pytest.raises(MapError, match="belongs to another run, with image"):
        vggfcn.score_map(model, image[::-1], **arguments)
    with pytest.raises(MapError, match="belongs to another run, with network"):
        vggfcn.score_map(vggfcn.build("lenet5", weights=None), image, **arguments)


def test_a_map_keeps_its_cut_though_less_memory_is_left_now(eagerly, model, image, whole, tmp_path, monkeypatch):
    arguments = {"max_memory": "4GB", "output": tmp_path / "map.npy"}
    monkeypatch.setattr(large_score_map, "cut", lambda *_, **__: Cut(16, 80))
    with pytest.raises(KeyboardInterrupt):
        vggfcn.score_map(model, image, **arguments, progress=stopped_after(5))
    monkeypatch.setattr(large_score_map, "cut", lambda *_, **__: Cut(4, None))
    told = []
    scores = vggfcn.score_map(model, image, **arguments, progress=lambda *one: told.append(one))
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)
    assert told[-1] == (120, 120)
    assert told[0][0] > 4


@pytest.mark.parametrize("chosen", [Cut(16, None), Cut(16, 80)], ids=str)
def test_on_openvino(model, image, whole, chosen, monkeypatch):
    monkeypatch.setattr(large_score_map, "cut", lambda *_, **__: chosen)
    scores = vggfcn.score_map(model, image, max_memory="4GB", engine="openvino")
    assert scores.engine == "openvino"
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-4)


@pytest.fixture
def stopped(model, image, tmp_path, monkeypatch):
    """The folder of a run in strips of blocks that was stopped after 13 blocks, and its arguments."""
    monkeypatch.setattr(large_score_map, "cut", lambda *_, **__: Cut(16, 80))
    arguments = {"max_memory": "4GB", "output": tmp_path / "map.npy"}
    with without_compiling():
        with pytest.raises(KeyboardInterrupt):
            vggfcn.score_map(model, image, **arguments, progress=stopped_after(13))
        yield tmp_path, arguments


@pytest.mark.parametrize("tenths", range(10))
def test_a_state_that_was_cut_counts_as_missing(stopped, model, image, whole, tenths):
    folder, arguments = stopped
    state = folder / "map.npy.state.npz"
    os.truncate(state, state.stat().st_size * tenths // 10)
    told = []
    scores = vggfcn.score_map(model, image, **arguments, progress=lambda *one: told.append(one))
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)
    assert len(told) == 40
    assert sorted(path.name for path in folder.iterdir()) == ["map.npy", "map.npy.blocks"]


def test_no_state_is_read_wherever_it_is_cut_or_if_it_is_of_another_run(stopped, tmp_path):
    class File:
        """A map whose blocks are all finished, or none."""

        def __init__(self, finished):
            self.finished = lambda block: finished

    state = stopped[0] / "map.npy.state.npz"
    content = state.read_bytes()
    with np.load(state) as stored:
        run = json.loads(stored["run"].item())
    cut = tmp_path / "cut.npz"
    for length in range(0, len(content), 7):
        cut.write_bytes(content[:length])
        assert large_score_map._read_state(cut, run, File(True)) is None
    assert large_score_map._read_state(state, run, File(True)) is not None
    assert large_score_map._read_state(state, run, File(False)) is None
    assert large_score_map._read_state(state, {**run, "image": "another"}, File(True)) is None
    assert large_score_map._read_state(tmp_path / "gone.npz", run, File(True)) is None


def test_a_record_that_lost_its_last_blocks_is_completed(stopped, model, image, whole):
    """The state is then of a later block than the record."""
    folder, arguments = stopped
    record = folder / "map.npy.blocks"
    content = record.read_bytes()
    record.write_bytes(b"".join(content.splitlines(keepends=True)[:4]))
    scores = vggfcn.score_map(model, image, **arguments)
    np.testing.assert_allclose(scores.logits, whole.logits, atol=1e-5)
    assert sorted(record.read_bytes().splitlines()[:14]) == sorted(content.splitlines())


@pytest.mark.parametrize("sizes", [[0, None], [-1, 80], [16, 0], ["16", None], [True, None], 16])
def test_an_absurd_cut_in_a_record_is_refused_as_another_run(stopped, model, image, sizes):
    folder, arguments = stopped
    record = folder / "map.npy.blocks"
    first, *rest = record.read_text().splitlines(keepends=True)
    record.write_text("".join([json.dumps({**json.loads(first), large_score_map.CUT: sizes}) + "\n", *rest]))
    with pytest.raises(MapError, match="belongs to another run, with rows and columns at once"):
        vggfcn.score_map(model, image, **arguments)
