"""Images larger than memory through a network, block by block; the map in memory, or in a file as it grows."""

import contextlib
import dataclasses
import itertools
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
from vggfcn.streaming.map_file import open_map, read_map, run_of
from vggfcn.streaming.memory_plan import Cut, cut
from vggfcn.streaming.stream import Finished, Stream
from vggfcn.streaming.strips import Strip, strips

CUT = "rows and columns at once"
_MOST_BLOCKS = 1 << 24  # of one strip
# A strip's number and the strip, the last block of it that is done, and the cells of the map that it gave.
Done = tuple[int, Strip, Finished, tuple[slice, slice]]


def large_score_map(
    model: keras.Model,
    source: ImageSource,
    max_memory: int | str,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    engine: str = "tensorflow",
) -> ScoreMap:
    """The map of a whole image that is read and computed in blocks of rows, with at most so much memory in all.

    It is the map of the image at once, to float rounding. With `output`, the path of a `.npy` or `.zarr`, logits are
    written there as they are finished, and read from there where they are asked for; a call that was killed goes on
    where it was, without computing a finished block again. `progress` is told how many rows of how many are done,
    counted in each strip.

    Raises `MemoryLimitError` if so little is not enough, `MapError` if there is a map of another image or
    network at `output`, and what `Stream` raises.
    """
    plan = _Plan.of(model, source, number_of_bytes(max_memory), output, engine)
    field = receptive_field(model, size=source.shape[:2])
    if output is None:
        logits = np.empty(plan.shape, np.float32)
        for _, strip, block, cells in plan.blocks(progress):
            logits[cells] = plan.logits(strip, block)
        return ScoreMap(logits, field, engine)
    path = pathlib.Path(output)
    _grow(plan, path, progress)
    return ScoreMap(read_map(path), field, engine)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How one image is cut: its strips, from left to right, and the rows that are computed at once."""

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
        # What a process holds varies; a map that was begun goes on as it was cut then.
        chosen = (output and _begun(pathlib.Path(output))) or cut(model, size, max_memory, kept, engine)
        whole = [Strip(0, size[1], 0, columns, 0)]
        parts = strips(model, size, chosen.strip_columns) if chosen.strip_columns else whole
        return cls(model, source, chosen, parts, (rows, columns, classes), engine)

    def record(self) -> dict[str, Any]:
        """What the map belongs to."""
        # Of a tensor NumPy sees the numbers where they lie; of a variable it makes a copy.
        weights = (np.asarray(weight.value.read_value()) for weight in self.model.weights)
        return {
            "network": joint_digest([self.model.to_json().encode(), *weights]),
            "image": self.source.identity,
            CUT: [self.cut.block_rows, self.cut.strip_columns],
        }

    def blocks(self, progress: Progress | None, first: int = 0, after: Finished | None = None) -> Iterator[Done]:
        """Each block as it is done, from the strip `first` on, where `after` was the last."""
        stream = None
        for number, strip in itertools.islice(enumerate(self.strips), first, None):
            size = self.source.shape[0], strip.stop - strip.start
            if stream is None or stream.size != size:
                stream = None  # What OpenVINO holds of one goes before the next.
                stream = Stream(self.model, size, self.cut.block_rows, engine=self.engine)
            for block in stream.steps(self._reader(strip), after):
                rows = slice(block.first, block.first + (0 if block.logits is None else len(block.logits)))
                yield number, strip, block, (rows, slice(strip.first, strip.last))
                if progress:
                    progress(number * self.shape[0] + rows.stop, len(self.strips) * self.shape[0])
            after = None

    def logits(self, strip: Strip, block: Finished) -> np.ndarray:
        """What a block gives to the map; the strip's other cells are wrong."""
        if block.logits is None:
            return np.empty((0, strip.last - strip.first, self.shape[2]), np.float32)
        return block.logits[:, strip.cut : strip.cut + strip.last - strip.first]

    def _reader(self, strip: Strip) -> Callable[[int, int], np.ndarray]:
        columns, channels = slice(strip.start, strip.stop), self.model.inputs[0].shape[-1]
        return lambda start, stop: resizing.with_channels(self.source.read(slice(start, stop), columns), channels)


def _begun(path: pathlib.Path) -> Cut | None:
    """How a map at `path` was cut when it was begun, if it was; whatever is wrong with its record is said later."""
    try:
        rows, columns = run_of(path)[CUT]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return Cut(rows, columns) if isinstance(rows, int) and isinstance(columns, int | None) else None


def _grow(plan: _Plan, path: pathlib.Path, progress: Progress | None) -> None:
    """Compute what the map at `path` still lacks. Beside it lies what the next block needs of all before it."""
    kept = path.with_name(path.name + ".state.npz")
    with open_map(path, plan.shape, plan.record()) as grown:
        first, after = _read(kept) if kept.exists() and grown.finished(_key(0, 1)) else (0, None)
        if path.exists():
            return
        for number, strip, block, (rows, columns) in plan.blocks(progress, first, after):
            key = _key(number, block.number)
            # One that was killed before it kept its state is computed again, for the state's sake.
            if not grown.finished(key):
                grown.write(key, rows, columns, plan.logits(strip, block))
            _write(kept, number, block)
        grown.complete()
    with contextlib.suppress(FileNotFoundError):
        kept.unlink()


def _key(strip: int, block: int) -> int:
    """The number of a block in the map's file; strips are counted from 0, and a strip's blocks from 1."""
    return strip * _MOST_BLOCKS + block - 1


def _write(path: pathlib.Path, strip: int, block: Finished) -> None:
    state = {f"map {number}": np.asarray(rows) for number, rows in block.state.items()}
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, at=[strip, block.number, block.first], **state)


def _read(path: pathlib.Path) -> tuple[int, Finished]:
    """The strip, and its last block that was done."""
    with np.load(path, allow_pickle=False) as stored:
        strip, number, first = stored["at"].tolist()
        state = {int(name.removeprefix("map ")): stored[name] for name in stored.files if name != "at"}
    return strip, Finished(number, first, None, state)
