"""`compile` turns a model into a callable from images to its output, run by an engine of `table.ENGINES`."""

import weakref
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from vggfcn.engines.table import NAMES, EngineSpec, candidates
from vggfcn.errors import EngineError

# The attribute of a model that holds the engines compiled by `engine_of`, so that they are freed with the model.
_COMPILED = "_vggfcn_engines"


class Engine:
    """A compiled model: call it on a batch of images to get the model's output, up to float rounding.

    `name` is "tensorflow" or "openvino". `note` says why "auto" chose TensorFlow, and is "" otherwise. The engine
    always uses the model's current weights: TensorFlow reads them at every call; OpenVINO notices a change and compiles
    again at the next call.
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
        """Run the model on a batch, and return its output as float32.

        The batch has the shape of the model's input, usually (batch, height, width, channels), and any real dtype. It
        may have any number of images, of any size that the model accepts; all are run at once.

        Raises `ValueError` for a batch of another shape.
        """
        batch = np.asarray(batch)
        fits = [size in (None, got) for size, got in zip(self._shape, batch.shape, strict=False)]
        if batch.ndim != len(self._shape) or not all(fits) or not batch.size:
            raise self._refusal(batch)
        try:
            output = self._run(batch.astype(self._dtype, copy=False))
        except (tf.errors.InvalidArgumentError, tf.errors.AbortedError, RuntimeError) as error:
            raise self._refusal(batch) from error
        return output.astype(np.float32, copy=False)

    def __repr__(self) -> str:
        return f"<Engine {self.name}: {self._title}{self.note and f' ({self.note})'}>"

    def runs(self, model: keras.Model) -> bool:
        """Whether it was compiled from this model."""
        return self._model() is model

    def _refusal(self, batch: np.ndarray) -> ValueError:
        expected = ", ".join("any" if size is None else str(size) for size in self._shape)
        return ValueError(
            f"batch: expected shape ({expected}), at least one image, large enough for {self._title}; got {batch.shape}"
        )


def compile(  # noqa: A001 Keras uses this name too.
    model: keras.Model, engine: str = "auto", *, threads: int | None = None
) -> Engine:
    """Compile a model into a fast callable from a batch of images to its output, with the same results.

    `model` is any built Keras model with one input and one output, such as a result of `vggfcn.build` or
    `vggfcn.convert`. `engine` is one of:

    - "tensorflow": computes large kernels as matrix products, and needs no memory besides the model's.
    - "openvino" (`pip install "vggfcn[openvino]"`): packs the weights once, which takes as much memory again, and
      always computes in float32. It stores the converted network, as large as the weights, in the folder `engines` of
      the cache folder (`VGGFCN_CACHE`). The four most recently used networks stay there; you can delete them any time.
      The engine does not keep the model alive.
    - "auto": OpenVINO if it is installed and can run the model, else TensorFlow. The engine's `name` and `note` tell.

    `threads` is the number of threads that OpenVINO uses; by default one per core. TensorFlow's threads are shared by
    the whole process: set them with `tf.config.threading`.

    Raises `EngineError` if you choose OpenVINO and it is not installed or cannot run the model; `ValueError` for
    invalid arguments.

    >>> engine = compile(model)
    >>> logits = engine(images)
    """
    if engine not in NAMES:
        raise ValueError(f"engine: expected {', '.join(map(repr, NAMES))}, got {engine!r}")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"threads: expected a positive integer or None, got {threads!r}")
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
    """Return the engine itself, or compile the one with this name on first use and keep it with the model.

    Raises `ValueError` for an engine that was compiled from another model.
    """
    if isinstance(engine, Engine):
        if not engine.runs(model):
            raise ValueError(
                f"engine: expected one that was compiled from this model, {model.name}, got {engine!r}; for a finer "
                f"output stride, call with_output_stride, compile its result, and pass both"
            )
        return engine
    # Written to `vars`, so that Keras neither tracks nor saves them.
    compiled = vars(model).setdefault(_COMPILED, {})
    if engine not in compiled:
        compiled[engine] = compile(model, engine)
    return compiled[engine]


def check(model: keras.Model) -> None:
    """Raise `ValueError` unless the model is built and has one input and one output."""
    for kind in ("inputs", "outputs"):
        tensors = getattr(model, kind, None)
        if not tensors or len(tensors) != 1:
            found = f"{len(tensors)} {kind}" if tensors else f"a {type(model).__name__} with unknown {kind}"
            raise ValueError(f"model: expected a built Keras model with one input and one output, got {found}")
