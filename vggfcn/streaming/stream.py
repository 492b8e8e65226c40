"""A network run over the rows of an image as they come: each layer keeps the few last rows that it reads again."""

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

# Gives the rows [start, stop) of an image: (stop - start, width, channels).
ReadRows = Callable[[int, int], np.ndarray]
# Rows that are kept, (1, rows, columns, channels), by the number of the map.
State = dict[int, Any]
Step = Callable[[Any, State], tuple[Any, State]]


class Stream:
    """A fully convolutional model as a step over blocks of rows, for images of one size.

    `model` is what `vggfcn.build`, `convert` or `with_output_stride` give, or any Keras model that `receptive_field`
    understands and that works on channels last. `size` is the images' (height, width) in pixels, `block_rows` how
    many rows a step takes: a multiple of the model's stride. The map comes out as it does on the whole image, to
    float rounding, at any block size; no cell of any layer is computed twice, and memory grows with the width and
    `block_rows`, not with the height. Blocks in the middle of an image are one compiled step, without padding of rows;
    the few at either end have steps of their own. Weights are the model's own variables. With `engine="openvino"` the
    step in the middle is OpenVINO's, with the weights that the model has when it is first taken.

    `shape` is the map's (rows, columns, channels), `size` the images' own.

    Raises `GeometryError`, with the layer's name, for a layer that takes the whole image into account, cannot be given
    row after row, or works on channels first, and for an image that is too small; `ValueError` if `block_rows` is no
    multiple of the stride; `EngineError` as `compile` does, when the step is first taken.

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
        """The map's rows as they are finished: the first one's number, and float32 (rows, columns, channels).

        `read(start, stop)` gives rows [start, stop) of the image, (stop - start, width, channels), in [0, 255] if the
        model takes them so. Each row is asked for once, from top to bottom, and only as far as a cell sees.
        """
        for step in self.steps(read):
            if step.logits is not None:
                yield step.first, step.logits

    def steps(self, read: ReadRows, after: "Finished | None" = None) -> Iterator["Finished"]:
        """Each block as it is finished; after the one that is given, as if all before it had just been computed."""
        state = {number: tf.constant(rows) for number, rows in after.state.items()} if after else {}
        blocks = enumerate(self.plan.schedule(self.cells), 1)
        for number, scheduled in itertools.islice(blocks, after.number if after else 0, None):
            rows = self._read(read, *scheduled.taken)
            finished, state = self.step(scheduled.block)(rows, state)
            first, last = scheduled.given
            yield Finished(number, first, np.asarray(finished)[0] if last > first else None, state)

    def step(self, block: Block) -> Step:
        """The compiled step for a block: (rows of the image, state) -> (rows of the map, state), nothing else.

        Rows are (1, rows, columns, channels) in the model's precision; a block that finishes none gives None for them.
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

        # The few blocks at either end do not pay for an engine that takes long to compile.
        engine = ENGINES[self.engine] if block == self._middle else TENSORFLOW
        compiled: Step = engine.load().compile_step(self.model, traced)
        return compiled

    @functools.cached_property
    def _middle(self) -> Block | None:
        """The block that comes again and again; None if none does."""
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
                read = zip(call.sources, views, strict=True)
                given = [maps[source.number].slice(view.start, view.stop) for source, view in read]
                maps[call.target.number].made = layer(given, views)
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
class Finished:
    """A block that is done: its number, counted from 1, and what it gave: rows of the map from `first` on, or None.

    `state` is what the next block needs of all before it: by map, kept rows, (1, rows, columns, channels).
    """

    number: int
    first: int
    logits: np.ndarray | None
    state: State


class _Rows:
    """The rows of one map in a step: `kept` ones from before, then those `made` in it; None where there are none."""

    def __init__(self, tensor: Tensor, count: int, kept: Any):
        self.tensor = tensor
        self.count = count
        self.kept = kept
        self.made: Any = None
        self._joined: Any = None

    def slice(self, start: int, stop: int) -> Any:
        """Rows [start, stop), as a layer reads them: copied only where some are kept and some made."""
        if self.kept is None and self.made is None:  # A layer that begins with rows of padding alone.
            return tf.zeros(self.tensor.shape(0), self.tensor.tensor.dtype)
        if start >= self.count and self.made is not None:
            return _alias(self.made, start - self.count, stop - self.count)
        if stop <= self.count:
            return _alias(self.kept, start, stop)
        if self._joined is None:
            self._joined = tf.concat([self.kept, self.made], 1)
        return _alias(self._joined, start, stop)

    def copy_from(self, start: int) -> Any:
        """The rows from `start` on, as copies, so that the others are not kept with them."""
        if start >= self.count:
            return self.made[:, start - self.count :]
        kept = self.kept[:, start:]
        return kept if self.made is None else tf.concat([kept, self.made], 1)


def _spec(tensor: Tensor, rows: int) -> tf.TensorSpec:
    return tf.TensorSpec(tensor.shape(rows), tensor.tensor.dtype)


def _alias(x: Any, start: int, stop: int) -> Any:
    """Rows of a batch of one. TensorFlow cuts along the first axis without copying."""
    if (start, stop) == (0, x.shape[1]):
        return x
    return tf.expand_dims(tf.squeeze(x, 0)[start:stop], 0)


def _cells(block_rows: int, stride: int) -> int:
    if not isinstance(block_rows, int) or block_rows < 1 or block_rows % stride:
        raise ValueError(f"block_rows: expected a multiple of the model's stride, {stride}, got {block_rows!r}")
    return block_rows // stride
