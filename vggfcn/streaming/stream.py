"""Run a network over an image a few rows at a time: each layer keeps the last few rows that it will read again."""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.table import ENGINES, STREAMING, TENSORFLOW
from vggfcn.engines.tracing import Replacement, replaced
from vggfcn.streaming.flat_graph import Tensor, flatten
from vggfcn.streaming.layers import runner, unpadded
from vggfcn.streaming.schedule import Block

# Reads rows [start, stop) of an image: (stop - start, width, channels).
ReadRows = Callable[[int, int], np.ndarray]
# Rows kept for later blocks, (1, rows, columns, channels), by the number of the map.
State = dict[int, Any]
Step = Callable[[Any, State], tuple[Any, State]]


class Stream:
    """A fully convolutional model that runs over an image in blocks of rows, for images of one size.

    The map is that of the whole image, to float rounding, at any block size. No cell of any layer is computed twice.
    Memory grows with the width and with `block_rows`, not with the height. All blocks in the middle of an image share
    one compiled step; the few at either end, where rows are padded, have their own. The weights are the model's own
    variables.

    - `model`: the result of `vggfcn.build`, `convert` or `with_output_stride`, or any channels-last Keras model that
      `receptive_field` understands.
    - `size`: (height, width) of the images in pixels.
    - `block_rows`: rows of the image in each step, a multiple of the model's stride.
    - `engine`: "tensorflow" or "openvino". OpenVINO runs the step in the middle, with the weights that the model has
      when this step first runs.

    The attribute `shape` is the map's (rows, columns, channels).

    Raises `GeometryError`, which names the layer, for a layer that depends on the whole image, cannot run on a few rows
    at a time or works channels first, and for an image that is too small; `ValueError` if `block_rows` is not a
    multiple of the stride or the engine is unknown; `EngineError` as `compile` does, when the step first runs.

    >>> parts = Stream(model, image.shape[:2], 128).run(lambda start, stop: image[start:stop])
    >>> logits = np.concatenate([rows for _, rows in parts])
    """

    def __init__(self, model: keras.Model, size: tuple[int, int], block_rows: int = 128, *, engine: str = "tensorflow"):
        if engine not in STREAMING:
            raise ValueError(f"engine: expected {' or '.join(map(repr, STREAMING))}, got {engine!r}")
        self.model = model
        self.size = size
        self.engine = engine
        self.network = flatten(model, size)
        self.plan = self.network.plan()
        self.cells = _cells(block_rows, self.plan.stride)
        self.shape = self.network.output.shape(self.network.output.rows.cells)[1:]
        self._layers = [unpadded(call) for call in self.network.calls]
        self._runners = [runner(call, layer) for call, layer in zip(self.network.calls, self._layers, strict=True)]
        self._steps: dict[Block, Step] = {}

    def run(self, read: ReadRows) -> Iterator[tuple[int, np.ndarray]]:
        """Yield rows of the map as they are finished: the first row's number, and float32 (rows, columns, channels).

        `read(start, stop)` returns rows [start, stop) of the image, (stop - start, width, channels), in the range that
        the model takes, usually [0, 255]. It is called for each row once, from top to bottom, as far as any cell sees.
        """
        for step in self.steps(read):
            if step.logits is not None:
                yield step.first, step.logits

    def steps(self, read: ReadRows, after: "BlockResult | None" = None) -> Iterator["BlockResult"]:
        """Yield each block as it is finished, from the first one, or from the one that follows `after`."""
        state = {number: tf.constant(rows) for number, rows in after.state.items()} if after else {}
        blocks = enumerate(self.plan.schedule(self.cells), 1)
        for number, scheduled in itertools.islice(blocks, after.number if after else 0, None):
            rows = self._read(read, *scheduled.image_rows)
            logits, state = self.step(scheduled.block)(rows, state)
            first, last = scheduled.output_rows
            yield BlockResult(number, first, np.asarray(logits)[0] if last > first else None, state)

    def step(self, block: Block) -> Step:
        """The compiled step for a block, a pure function: (rows of the image, state) -> (rows of the map, state).

        Rows are (1, rows, columns, channels) in the model's precision; a block that finishes no rows returns None.
        """
        if block not in self._steps:
            self._steps[block] = self._compiled(block)
        return self._steps[block]

    def _compiled(self, block: Block) -> Step:
        tensors = self.network.tensors
        rows = _spec(tensors[0], block.made[0])
        kept = zip(tensors, block.kept, strict=True)
        state = {number: _spec(tensor, count) for number, (tensor, count) in enumerate(kept) if count}

        def traced(replacement: Replacement) -> Any:
            step = tf.function(functools.partial(self._step, block), autograph=False)
            with replaced(self._layers, replacement):
                return step.get_concrete_function(rows, state)

        # The few blocks at either end are not worth an engine that is slow to compile.
        engine = ENGINES[self.engine] if block == self._middle else TENSORFLOW
        compiled: Step = engine.load().compile_step(self.model, traced)
        return compiled

    @functools.cached_property
    def _middle(self) -> Block | None:
        """The block that is repeated; None if each occurs once."""
        blocks = collections.Counter(scheduled.block for scheduled in self.plan.schedule(self.cells))
        ((block, count),) = blocks.most_common(1)
        return block if count > 1 else None

    def _step(self, block: Block, rows: Any, state: State) -> tuple[Any, State]:
        counted = enumerate(zip(self.network.tensors, block.kept, strict=True))
        maps = [_Rows(tensor, count, state.get(number)) for number, (tensor, count) in counted]
        if block.made[0]:
            maps[0].made = rows
        for call, layer, views in zip(self.network.calls, self._runners, block.views, strict=True):
            if views:
                pairs = zip(call.sources, views, strict=True)
                inputs = [maps[source.number].slice(view.start, view.stop) for source, view in pairs]
                maps[call.target.number].made = layer(inputs, views)
        counts = zip(block.kept, block.made, block.dropped, strict=True)
        left = [number for number, (kept, made, dropped) in enumerate(counts) if kept + made > dropped]
        return maps[self.network.output.number].made, {n: maps[n].copy_from(block.dropped[n]) for n in left}

    def _read(self, read: ReadRows, start: int, stop: int) -> Any:
        image = self.network.tensors[0]
        shape = image.shape(stop - start)
        rows = np.asarray(read(start, stop))[None] if stop > start else np.zeros(shape, np.uint8)
        if rows.shape != shape:
            raise ValueError(f"rows {start} to {stop}: expected an array of shape {shape[1:]}, got {rows.shape[1:]}")
        return tf.cast(rows, image.tensor.dtype)


@dataclasses.dataclass(frozen=True)
class BlockResult:
    """A finished block.

    `number` counts blocks from 1. `logits` are the rows of the map from row `first` on, float32 (rows, columns,
    channels), or None if the block finished no row. `state` holds the rows of each map that later blocks read again,
    (1, rows, columns, channels) by the map's number.
    """

    number: int
    first: int
    logits: np.ndarray | None
    state: State


class _Rows:
    """The rows of one map in a step: those `kept` from earlier ones, then those `made` in it; each may be None."""

    def __init__(self, tensor: Tensor, count: int, kept: Any):
        self.tensor = tensor
        self.count = count
        self.kept = kept
        self.made: Any = None
        self._joined: Any = None

    def slice(self, start: int, stop: int) -> Any:
        """Rows [start, stop), copied only if some of them are kept and some made."""
        if self.kept is None and self.made is None:  # The layer starts with rows of padding alone.
            return tf.zeros(self.tensor.shape(0), self.tensor.tensor.dtype)
        if start >= self.count and self.made is not None:
            return _alias(self.made, start - self.count, stop - self.count)
        if stop <= self.count:
            return _alias(self.kept, start, stop)
        if self._joined is None:
            self._joined = tf.concat([self.kept, self.made], 1)
        return _alias(self._joined, start, stop)

    def copy_from(self, start: int) -> Any:
        """A copy of the rows from `start` on, which does not keep the others in memory."""
        if start >= self.count:
            return self.made[:, start - self.count :]
        kept = self.kept[:, start:]
        return kept if self.made is None else tf.concat([kept, self.made], 1)


def _spec(tensor: Tensor, rows: int) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape(rows), tensor.tensor.dtype)


def _alias(x: Any, start: int, stop: int) -> Any:
    """Rows of a batch of one. Along the first axis TensorFlow slices without copying."""
    if (start, stop) == (0, x.shape[1]):
        return x
    return tf.expand_dims(tf.squeeze(x, 0)[start:stop], 0)


def _cells(block_rows: int, stride: int) -> int:
    if not isinstance(block_rows, int) or block_rows < 1 or block_rows % stride:
        raise ValueError(f"block_rows: expected a multiple of the model's stride, {stride}, got {block_rows!r}")
    return block_rows // stride
