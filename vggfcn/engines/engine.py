"""`compile`: a model as a callable from images to its output, run by an engine of `engine_table`."""

import weakref
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.table import NAMES, EngineSpec, candidates
from vggfcn.errors import EngineError

# Under this name a model keeps the engines that `engine_of` has compiled from it, to be freed with it.
_COMPILED = "_vggfcn_engines"


class Engine:
    """A compiled model: called on a batch of images it gives the model's output, to float rounding.

    `name` is "tensorflow" or "openvino", `note` why "auto" came to TensorFlow, "" otherwise. Weights that are trained
    or assigned to after it was compiled count: TensorFlow reads them at every call; OpenVINO notices and compiles anew
    at the next call.
    """

    def __init__(self, model: keras.Model, name: str, run: Callable[[np.ndarray], np.ndarray], note: str = ""):
        self.name = name
        self.note = note
        self._run = run
        self._model = weakref.ref(model)
        self._title = model.name
        self._shape = tuple(model.inputs[0].shape)
        self._dtype = np.dtype(model.inputs[0].dtype)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The output on a batch, as a rule (batch, height, width, channels), uint8 or floating point: float32.

        Batches may have any number of images and are run at once; images may have any size that the model takes.

        Raises `ValueError` for a batch of another shape.
        """
        batch = np.asarray(batch)
        wanted = [size in (None, got) for size, got in zip(self._shape, batch.shape, strict=False)]
        if batch.ndim != len(self._shape) or not all(wanted) or not batch.size:
            raise self._wrong(batch)
        try:
            output = self._run(batch.astype(self._dtype, copy=False))
        except (tf.errors.InvalidArgumentError, tf.errors.AbortedError, RuntimeError) as error:
            raise self._wrong(batch) from error
        return output.astype(np.float32, copy=False)

    def __repr__(self) -> str:
        return f"<Engine {self.name}: {self._title}{self.note and f' ({self.note})'}>"

    def runs(self, model: keras.Model) -> bool:
        """Whether it was compiled from that very model."""
        return self._model() is model

    def _wrong(self, batch: np.ndarray) -> ValueError:
        expected = ", ".join("any" if size is None else str(size) for size in self._shape)
        return ValueError(
            f"batch: expected at least one image, ({expected}), large enough for {self._title}, got {batch.shape}"
        )


def compile(  # noqa: A001 It is what Keras and TensorFlow call it too.
    model: keras.Model, engine: str = "auto", *, threads: int | None = None
) -> Engine:
    """Make a model fast to run: a callable from a batch of images to the output, with the same results.

    `model` is any built Keras model of one input and one output, such as `vggfcn.build` or `vggfcn.convert` give.

    - "tensorflow" computes large kernels as matrix products and takes no memory beyond the model's own.
    - "openvino" (`pip install "vggfcn[openvino]"`) packs the weights once, which takes as much memory as they do, and
      always computes in float32. What was converted is kept on disk, in the folder `engines` of the cache folder
      (`VGGFCN_CACHE`), as large as the weights; the four networks last used stay there, and all may be deleted. The
      engine does not keep the model itself alive.
    - "auto" is OpenVINO if it is installed and can run the model, else TensorFlow; see the engine's `name` and `note`.

    `threads` is how many OpenVINO uses, by default as many as there are cores; TensorFlow's are the whole process's,
    `tf.config.threading`.

    Raises `EngineError` if OpenVINO is asked for but not installed, or cannot run the model; `ValueError` for wrong
    arguments.

    >>> engine = compile(model)
    >>> logits = engine(images)
    """
    if engine not in NAMES:
        raise ValueError(f"engine: expected {', '.join(map(repr, NAMES))}, got {engine!r}")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads: expected a number from 1 on, or None, got {threads!r}")
    check(model)
    *faster, last = candidates(engine)
    note = ""
    for spec in faster:
        try:
            return _compiled(model, spec, threads, note)
        except EngineError as error:
            note = str(error)
    return _compiled(model, last, threads, note)


def _compiled(model: keras.Model, spec: EngineSpec, threads: int | None, note: str) -> Engine:
    if threads is not None and spec.no_threads:
        raise ValueError(f"threads: {spec.no_threads}{note and f' ({note})'}")
    return Engine(model, spec.name, spec.load().compile_model(model, threads), note)


def engine_of(model: keras.Model, engine: str | Engine) -> Engine:
    """The engine itself, or the one of that name, compiled when it is first asked for and kept with the model.

    Raises `ValueError` for an engine that was compiled from another model.
    """
    if isinstance(engine, Engine):
        if not engine.runs(model):
            raise ValueError(
                f"engine: expected one compiled from the very network that is run, {model.name}, got {engine!r}; for a "
                f"finer output stride make the network with with_output_stride, compile it, and hand in both"
            )
        return engine
    # Beside Keras's own attributes, so that Keras neither tracks nor saves them.
    compiled = vars(model).setdefault(_COMPILED, {})
    if engine not in compiled:
        compiled[engine] = compile(model, engine)
    return compiled[engine]


def check(model: keras.Model) -> None:
    """Raise `ValueError` unless it is a built model of one input and one output."""
    for kind in ("inputs", "outputs"):
        tensors = getattr(model, kind, None)
        if not tensors or len(tensors) != 1:
            found = f"{len(tensors)} {kind}" if tensors else f"{type(model).__name__} whose {kind} are not known"
            raise ValueError(f"model: expected a built Keras model of one input and one output, got {found}")
