"""Convert every network of keras.applications at random weights, and write `docs/applications.md`.

    python benchmarks/applications.py [NAME ...]

With names only those are converted, and the table goes to standard output alone.
"""

import dataclasses
import gc
import inspect
import os
import pathlib
import sys
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.progress import track

from vggfcn.conversion.convert import Conversion, convert_and_report
from vggfcn.errors import ConversionError

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "applications.md"
# Two of them leave their size open.
OPEN_SIZE = (224, 224, 3)
HEADER = """\
# Every network of keras.applications, converted

Use this table to see whether `vggfcn.convert` accepts your `keras.applications` network, and how closely the converted
network matches it. `python benchmarks/applications.py` writes this page, with Keras {version}. The networks have random
weights and no softmax. Their batch normalisation uses the statistics of noise, so that signals reach the logits as they
do in a trained network.

- **Largest difference**: of any logit between the original and the converted network, at native size, on noise. The
  next column gives it as a share of the largest logit.
- **Map**: what the converted network gives for an image 1.5 times as large, or for the next larger size that it
  accepts.
- **Kept with `keep_global`**: the network looks at the whole image partway through (squeeze-and-excitation). `convert`
  refuses it and names the first such layer, unless `keep_global=True` keeps that context. Windows then depend on the
  rest of the image.

| network | native size | result | largest difference | of the largest logit | map at 1.5 times the size |
|---|---|---|---|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one network; `refusal` is the message without `keep_global`."""

    name: str
    native: tuple[int, ...]
    conversion: Conversion | None
    map_shape: tuple[int, ...] = ()
    map_side: int = 0
    refusal: str = ""

    @property
    def verdict(self) -> str:
        """Converted, kept or refused."""
        if self.conversion is None:
            return "refused"
        return "kept with `keep_global`" if self.refusal else "converted"

    def row(self) -> str:
        """A line of the table."""
        cells = [self.name, " x ".join(map(str, self.native[:2])), self.verdict]
        if self.conversion and self.conversion.equivalence:
            figures = self.conversion.equivalence
            cells += [f"{figures.max_abs_error:.1e}", f"{figures.max_rel_error:.1e}"]
            exactly = self.map_side == self.native[0] * 3 // 2
            cells.append(" x ".join(map(str, self.map_shape)) + ("" if exactly else f" (at {self.map_side})"))
        else:
            cells += [self.refusal, "", ""]
        return f"| {' | '.join(cells)} |"


def names() -> list[str]:
    """The networks that keras.applications builds."""
    found = inspect.getmembers(keras.applications, inspect.isfunction)
    return [name for name, function in found if "classifier_activation" in inspect.signature(function).parameters]


# While statistics are taken, layers of a class have another value of an attribute.
SETTLING = {keras.layers.BatchNormalization: ("momentum", 0.0), keras.layers.Dropout: ("rate", 0.0)}


def settle(model: keras.Model) -> None:
    """Give batch normalisation the statistics of noise: with those it is made with, deep random networks fade away."""
    changed = [(layer, *SETTLING[type(layer)]) for layer in model.layers if type(layer) in SETTLING]
    before = [getattr(layer, name) for layer, name, _ in changed]
    for layer, name, value in changed:
        setattr(layer, name, value)
    shape = [side or given for side, given in zip(model.input_shape[1:], OPEN_SIZE, strict=True)]
    if changed:
        model(np.random.default_rng(0).uniform(0, 255, (2, *shape)), training=True)
    for (layer, name, _), value in zip(changed, before, strict=True):
        setattr(layer, name, value)


def measure(name: str, **arguments) -> Result:
    """Build a network at random weights, `arguments` being those of its function, and convert it."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, classifier_activation=None, **arguments)
    settle(model)
    native = tuple(model.input_shape[1:])
    native = OPEN_SIZE if None in native else native
    refusal = ""
    try:
        converted, conversion = convert_and_report(model, input_shape=native)
    except ConversionError as error:
        refusal = str(error)
    if refusal:
        try:
            converted, conversion = convert_and_report(model, input_shape=native, keep_global=True)
        except ConversionError as error:
            return Result(name, native, None, refusal=str(error))
    return Result(name, native, conversion, *map_of(converted, native), refusal)


def map_of(converted: keras.Model, native: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """The map's shape for an image 1.5 times as large, and for how many pixels a side.

    Where branches only meet at some sizes, NASNet's for one, it is the next size that the network takes.
    """
    for extra in range(64):
        rows, columns = (side * 3 // 2 + extra for side in native[:2])
        try:
            return converted.compute_output_shape((1, rows, columns, native[2]))[1:3], rows
        except ValueError:
            continue
    return (), 0


def results(wanted: list[str]) -> Iterator[Result]:
    """One after the other, and never two in memory."""
    for name in track(wanted, "converting", console=Console(stderr=True)):
        yield measure(name)
        keras.backend.clear_session()
        gc.collect()


def main() -> None:
    wanted = sys.argv[1:]
    rows = []
    for result in results(wanted or names()):
        rows.append(result.row())
        print(rows[-1], flush=True)
    if not wanted:
        PAGE.write_text(HEADER.format(version=keras.__version__) + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
