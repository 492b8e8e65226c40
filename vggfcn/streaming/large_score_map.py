"""Score maps of images larger than memory, computed block by block, in memory or in a file."""

import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from vggfcn.files import joint_digest, replacing
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.images import resizing
from vggfcn.images.source import ImageSource
from vggfcn.maps.score_map import ScoreMap
from vggfcn.memory import number_of_bytes
from vggfcn.progress import Progress
from vggfcn.streaming.map_file import MapFile, open_map, read_map, run_of
from vggfcn.streaming.memory_plan import Cut, cut
from vggfcn.streaming.stream import BlockResult, Stream
from vggfcn.streaming.strips import Strip, strips

CUT = "rows and columns at once"
_MAX_BLOCKS = 1 << 24  # of one strip
# A strip's number, the strip, a finished block of it, and the rows and columns of the map that the block fills.
StripBlock = tuple[int, Strip, BlockResult, tuple[slice, slice]]


def large_score_map(
    model: keras.Model,
    source: ImageSource,
    max_memory: int | str,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    engine: str = "tensorflow",
) -> ScoreMap:
    """The map of a whole image, read and computed in blocks of rows within a memory limit.

    The map is the one of the whole image at once, to float rounding.

    - `model`: as for `Stream`.
    - `source`: the image, as `open_source` returns it.
    - `max_memory`: bytes, or a text such as "2GB", for the whole process.
    - `output`: the path of a `.npy` or `.zarr`. Finished blocks are written to it, and the result reads its logits from
      it. A run that was killed resumes there, and computes no finished block again. Without it, the map is in memory.
    - `progress`: called with the rows that are finished, summed over the strips, and their total.
    - `engine`: "tensorflow" or "openvino".

    Raises `MemoryLimitError` if `max_memory` is too small, `MapError` if `output` belongs to another image or network
    or is damaged, and whatever `Stream` raises.
    """
    plan = _Plan.of(model, source, number_of_bytes(max_memory), output, engine)
    field = receptive_field(model, size=source.shape[:2])
    if output is None:
        logits = np.empty(plan.shape, np.float32)
        for _, strip, block, cells in plan.blocks(progress):
            logits[cells] = plan.logits(strip, block)
        return ScoreMap(logits, field, engine)
    path = pathlib.Path(output)
    _write_map(plan, path, progress)
    return ScoreMap(read_map(path, plan.shape), field, engine)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How one image is cut: its strips, from left to right, and the rows in a block."""

    model: keras.Model
    source: ImageSource
    cut: Cut
    strips: list[Strip]
    shape: tuple[int, int, int]
    engine: str

    @classmethod
    def of(
        cls,
        model: keras.Model,
        source: ImageSource,
        max_memory: int,
        output: str | os.PathLike[str] | None,
        engine: str,
    ) -> "_Plan":
        size = source.shape[:2]
        rows, columns, classes = Stream(model, size, receptive_field(model, size=size).rows.stride).shape
        kept = 4 * rows * columns * classes if output is None else 0
        # An unfinished map keeps its cut, though this process may now hold more or less memory.
        chosen = (output and _earlier_cut(pathlib.Path(output))) or cut(model, size, max_memory, kept, engine)
        whole = [Strip(0, size[1], 0, columns, 0)]
        parts = strips(model, size, chosen.strip_columns) if chosen.strip_columns else whole
        return cls(model, source, chosen, parts, (rows, columns, classes), engine)

    def record(self) -> dict[str, Any]:
        """What identifies the run that a map belongs to."""
        # NumPy reads a tensor's numbers in place; of a variable it makes a copy.
        weights = (np.asarray(weight.value.read_value()) for weight in self.model.weights)
        return {
            "network": joint_digest([self.model.to_json().encode(), *weights]),
            "image": self.source.identity,
            CUT: [self.cut.block_rows, self.cut.strip_columns],
        }

    def blocks(
        self, progress: Progress | None, first: int = 0, after: BlockResult | None = None
    ) -> Iterator[StripBlock]:
        """Yield each block as it is finished: in the strip `first` from the block that follows `after`, then on."""
        stream = None
        for number, strip in itertools.islice(enumerate(self.strips), first, None):
            size = self.source.shape[0], strip.stop - strip.start
            if stream is None or stream.size != size:
                stream = None  # Free OpenVINO's memory for one stream before the next is made.
                stream = Stream(self.model, size, self.cut.block_rows, engine=self.engine)
            for block in stream.steps(self._reader(strip), after):
                rows = slice(block.first, block.first + (0 if block.logits is None else len(block.logits)))
                yield number, strip, block, (rows, slice(strip.first, strip.last))
                if progress:
                    progress(number * self.shape[0] + rows.stop, len(self.strips) * self.shape[0])
            after = None

    def logits(self, strip: Strip, block: BlockResult) -> np.ndarray:
        """The block's part of the map, without the columns that see the strip's border."""
        if block.logits is None:
            return np.empty((0, strip.last - strip.first, self.shape[2]), np.float32)
        return block.logits[:, strip.cut : strip.cut + strip.last - strip.first]

    def _reader(self, strip: Strip) -> Callable[[int, int], np.ndarray]:
        columns, channels = slice(strip.start, strip.stop), self.model.inputs[0].shape[-1]
        return lambda start, stop: resizing.with_channels(self.source.read(slice(start, stop), columns), channels)


def _earlier_cut(path: pathlib.Path) -> Cut | None:
    """The cut of the unfinished map at `path`, or None; `open_map` reports whatever is wrong with its record."""
    try:
        rows, columns = run_of(path)[CUT]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    sensible = type(rows) is int and rows > 0 and (columns is None or (type(columns) is int and columns > 0))
    return Cut(rows, columns) if sensible else None


def _write_map(plan: _Plan, path: pathlib.Path, progress: Progress | None) -> None:
    """Compute the missing blocks of the map at `path`; a file beside it holds the state that the next block needs."""
    state = path.with_name(path.name + ".state.npz")
    record = plan.record()
    with open_map(path, plan.shape, record) as file:
        first, after = _read_state(state, record, file) or (0, None)
        if not path.exists():
            for number, strip, block, (rows, columns) in plan.blocks(progress, first, after):
                key = _key(number, block.number)
                # A block that was written, but whose state was not, is computed again for its state.
                if not file.finished(key):
                    file.write(key, rows, columns, plan.logits(strip, block))
                _write_state(state, record, number, block)
            file.complete()
        state.unlink(missing_ok=True)


def _key(strip: int, block: int) -> int:
    """A block's number in the map's journal; strips count from 0, the blocks of a strip from 1."""
    return strip * _MAX_BLOCKS + block - 1


def _write_state(path: pathlib.Path, record: dict[str, Any], strip: int, block: BlockResult) -> None:
    state = {f"map {number}": np.asarray(rows) for number, rows in block.state.items()}
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        at = [strip, block.number, block.first]
        np.savez(file, allow_pickle=False, run=json.dumps(record), at=at, **state)


def _read_state(path: pathlib.Path, record: dict[str, Any], file: MapFile) -> tuple[int, BlockResult] | None:
    """A strip's number, and its last finished block; None if the state is missing, damaged or of another run."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        strip, number, first = arrays.pop("at").tolist()
        run = json.loads(arrays.pop("run").item())
        state = {int(name.removeprefix("map ")): rows for name, rows in arrays.items()}
    except Exception:  # A damaged archive may raise anything.
        return None
    if run != json.loads(json.dumps(record)) or not file.finished(_key(strip, number)):
        return None
    return strip, BlockResult(number, first, None, state)
