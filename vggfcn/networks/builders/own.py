"""Convert a Keras classifier of anybody's, and find out what it takes and what it returns."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral

import keras
import numpy as np

from vggfcn.checkpoints.formats.keras_files import ConvertedFile
from vggfcn.checkpoints.preprocessing import Preprocessing, parse_preprocessing, unknown_preprocessing
from vggfcn.conversion.convert import Conversion, convert_and_report
from vggfcn.conversion.logits import AUTO, Ending, ending, returns_logits
from vggfcn.errors import ConversionError, GeometryError, WeightsError
from vggfcn.files import joint_digest
from vggfcn.graph.fronts import Front, fronts_of
from vggfcn.graph.prologue import prologue
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.graph.walking import graph_of, graph_or_refuse, layers_of
from vggfcn.images import resizing
from vggfcn.maps.activations import SIGMOID
from vggfcn.networks.applications import likely_preprocessing
from vggfcn.networks.builders.inputs import given, prepared
from vggfcn.networks.builders.model_files import activation_of_loss

CONTEXT_KEPT = (
    "layers that see the whole image were kept, so cells of a map depend on each other; --mode windows (mode= in "
    "Python) evaluates each window alone"
)


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """What the user says of a network; `vggfcn.load` explains it."""

    preprocess: str | Preprocessing | None = AUTO
    activation: str = AUTO
    input_shape: int | Sequence[int] | None = None
    keep_global: bool = False
    output: str | None = None


@dataclasses.dataclass(frozen=True)
class OwnNetwork:
    """A Keras classifier and what is known of it.

    - `original`: the network as it was, None if there is only a converted one.
    - `converted`: the fully convolutional network, with its softmax or sigmoid.
    - `conversion`: the report on the conversion, None if there was none.
    - `native_size`: (height, width) of a window in pixels. `channels`: of the input.
    - `preprocessing`: what has to be done to pixels in [0, 255] before they enter the network; `input_reason` says how
      this is known. None if it is not.
    - `activation`: what was asked for or is known otherwise, for `ending`; `loss` says how the loss tells it, "" if it
      was not the loss.
    - `notes`: what was dropped, assumed or rewritten.
    """

    original: keras.Model | None
    converted: keras.Model
    conversion: Conversion | None
    native_size: tuple[int, int]
    channels: int
    preprocessing: Preprocessing | None
    input_reason: str
    activation: str
    loss: str
    notes: tuple[str, ...]

    @property
    def no_original(self) -> str:
        """Why there is no original network that takes a window, "" if there is one."""
        if self.original is None:
            return "the file holds the converted network only"
        if fronts_of(graph_of(self.original))[0].layers:
            return "the original one resizes or crops its images first"
        return ""

    @property
    def ending(self) -> Ending:
        """How the converted network ends."""
        return ending(self.converted, self.activation)

    def build(self, head: str) -> keras.Model:
        """The original network (head "dense") or the converted one ("conv"), for pixels in [0, 255]; both give logits.

        Raises `WeightsError` if there is no original.
        """
        end = self.ending
        if head == "conv":
            return self._noted(prepared(end.model, self.preprocessing, native=False), end.activation)
        if self.original is None or self.no_original:
            raise WeightsError(f"{self.converted.name}: no original network: {self.no_original}")
        logits = shaped(ending(self.original, self.activation).model)
        return self._noted(prepared(logits, self.preprocessing, native=True), end.activation)

    def _noted(self, model: keras.Model, activation: str) -> keras.Model:
        """The model, noted to return logits; the user's own model, which may mean something else, stays as it is."""
        if model in (self.original, self.converted):
            model = keras.Model(model.inputs, model.outputs[0], name=model.name)
        return returns_logits(model, activation)

    @property
    def stored_activation(self) -> str:
        """What `vggfcn convert` records of the output."""
        return self.activation

    def without_preprocessing(self) -> keras.Model:
        """The converted network for images as it was trained on; it gives logits."""
        return dataclasses.replace(self, preprocessing=None).build("conv")

    def window(self, pixels: np.ndarray) -> np.ndarray:
        """The window in the middle of an image, (height, width, channels), resized by the original's own layers."""
        front = fronts_of(graph_of(self.original))[0] if self.original else Front()
        if not front.layers or self.original is None:
            return resizing.center_crop(pixels, self.native_size)
        sides = self.original.inputs[0].shape[1:3]
        crop = pixels if None in sides else resizing.center_crop(pixels, sides)
        resized: np.ndarray = front.applied(crop[None].astype(np.float32))[0]
        return resized

    def digest(self) -> str:
        """The SHA-256 of the converted network's configuration and weights, in hexadecimal digits."""
        return joint_digest([self.converted.to_json().encode(), *map(np.asarray, self.converted.get_weights())])

    def to_save(self) -> keras.Model:
        """The converted network for pixels in [0, 255], with its softmax or sigmoid."""
        return prepared(self.converted, self.preprocessing, native=False)


def shaped(model: keras.Model) -> keras.Model:
    """A model that takes images, for one that takes them as vectors; other models are returned unchanged."""
    graph = graph_of(model)
    front = fronts_of(graph)[0] if graph else None
    if front is None or front.shape is None:
        return model
    shape = front.shape if front.order == "hwc" else (*front.shape[1:], front.shape[0])
    inputs = x = keras.Input(shape, name="image")
    if front.order == "chw":
        x = keras.ops.transpose(x, (0, 3, 1, 2))
    flat: keras.Model = keras.Model(inputs, model(keras.layers.Flatten()(x)), name=model.name)
    return flat


def own_network(
    model: keras.Model,
    options: LoadOptions,
    stored: ConvertedFile | None = None,
    notes: tuple[str, ...] = (),
    path: str = "",
) -> OwnNetwork:
    """Convert a model, prove that it is the same, and find out what it takes and returns.

    `stored` is what `vggfcn convert` recorded, if it wrote the model; `path` is the model's file, if it has one. Raises
    `ConversionError` if the model cannot be converted, `WeightsError` if nothing tells how its input is prepared, and
    `ValueError` for options that do not fit.
    """
    asked = stored.activation if stored and options.activation == AUTO else options.activation
    by_loss = activation_of_loss(model) if asked == AUTO else ("", "")
    model = _with_one_output(model, options.output)
    shape = full_shape(model, options.input_shape, stored) or _window_of_converted(model)
    converted, conversion = convert_and_report(model, input_shape=shape, keep_global=options.keep_global)
    native, channels = _window(conversion.native_shapes[0], converted)
    _check_single_window(model, converted, native)
    activation, loss = by_loss if by_loss[0] and _may_return_logits(converted, by_loss[0]) else (asked, "")
    ending(converted, activation)  # Refuses an activation that contradicts the network.
    preprocessing, reason = _preprocessing(model, options.preprocess, stored, channels, path)
    return OwnNetwork(
        original=None if converted is model else model,
        converted=converted,
        conversion=None if converted is model else conversion,
        native_size=native,
        channels=channels,
        preprocessing=preprocessing,
        input_reason=reason,
        activation=activation,
        loss=loss,
        notes=(*notes, *conversion.notes, *(() if conversion.independent_windows else (CONTEXT_KEPT,))),
    )


def _check_single_window(model: keras.Model, converted: keras.Model, native: tuple[int, int]) -> None:
    """Refuse a native size for which the network has several cells, as may be said of one converted before."""
    channels = converted.inputs[0].shape[-1]
    if channels is None:
        raise ConversionError(
            f"{model.name}: takes images with channels first, and images here have them last; rebuild it with "
            'data_format="channels_last"'
        )
    image = keras.KerasTensor((1, *native, channels), converted.inputs[0].dtype)
    rows, columns = keras.tree.flatten(converted.compute_output_spec(image))[0].shape[1:3]
    if (rows, columns) != (1, 1):
        raise ConversionError(
            f"{model.name}: returns {columns} x {rows} cells for its native size, {native[1]} x {native[0]} pixels, "
            "and one window has one cell; give the size of a window with --input-shape (input_shape= in Python), or "
            "rebuild a network of fixed size with keras.Input((None, None, channels))"
        )


def _may_return_logits(model: keras.Model, activation: str) -> bool:
    """Whether a model ends without an activation, in as many units as logits of this one have."""
    return not ending(model).function and (activation == SIGMOID or model.outputs[0].shape[-1] > 1)


def _window_of_converted(model: keras.Model) -> tuple[int, ...] | None:
    """The smallest image for which a fully convolutional model of open size has a cell; None for other models."""
    shape = tuple(model.inputs[0].shape[1:]) if getattr(model, "inputs", None) else ()
    if len(shape) != 3 or None not in shape[:2]:
        return None
    try:
        field = receptive_field(model, keep_global=True)
    except (GeometryError, ConversionError):
        return None
    return field.rows.window, field.columns.window, int(shape[2])


def _window(shape: tuple[int, ...], converted: keras.Model) -> tuple[tuple[int, int], int]:
    """(height, width) and channels of a window, from the shape of what it is made of."""
    channels = converted.inputs[0].shape[-1]
    if len(shape) == 3 and channels is None:
        return (shape[1], shape[2]), shape[0]
    return ((shape[0], shape[1]), int(channels)) if len(shape) > 1 else ((1, 1), int(channels))


def _with_one_output(model: keras.Model, output: str | None) -> keras.Model:
    """The model with the output of this name, which may be left out if it has only one."""
    if len(getattr(model, "inputs", None) or ()) > 1:
        inputs = ", ".join(tensor.name for tensor in model.inputs)
        raise ConversionError(
            f"{model.name}: takes {len(model.inputs)} inputs ({inputs}), and a map is that of one image; fix the "
            "others in Python: keras.Model(image, model([image, constants])), and pass that"
        )
    outputs = list(getattr(model, "outputs", None) or ())
    names = list(getattr(model, "output_names", None) or ())
    if output is None and len(outputs) <= 1:
        return model
    if output in names:
        return keras.Model(graph_or_refuse(model, model.name).input, outputs[names.index(str(output))], name=model.name)
    problem = "has several outputs; choose one" if output is None else f"has no output {output!r}; choose one"
    raise ConversionError(f"{model.name}: {problem} with --output-name (output= in Python): {', '.join(names)}")


def _channels(model: keras.Model) -> int:
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return 3
    shape = inputs[0].shape
    if len(shape) == 4 and shape[-1] not in (1, 3) and shape[1] in (1, 3):
        return int(shape[1])
    return int(shape[-1] or 3) if len(shape) == 4 else 1


def full_shape(
    model: keras.Model, given: int | Sequence[int] | None, stored: ConvertedFile | None = None
) -> tuple[int, ...] | None:
    """The native size as `convert` takes it; a single number stands for both sides, and channels may be left out."""
    channels = _channels(model)
    if given is None and stored:
        return (*stored.native_size, channels)
    if given is None:
        return None
    sides: tuple[int, ...] = tuple(given) if isinstance(given, Sequence | np.ndarray) else (given, given)
    if len(sides) == 1:
        sides *= 2
    own = tuple(model.inputs[0].shape[1:]) if getattr(model, "inputs", None) else ()
    whole = all(isinstance(side, Integral) and not isinstance(side, bool) for side in sides)
    if len(sides) not in (2, 3) or not whole or min(sides) < 1:
        raise ValueError(f"input_shape: expected a size such as 224 or (224, 224, 3), got {given!r}")
    sides = tuple(map(int, sides))
    shape = sides if len(sides) == 3 else (*sides, channels)
    if len(own) == 3 and any(mine not in (None, side) for mine, side in zip(own, shape, strict=True)):
        raise ValueError(f"input_shape: got {given!r}, but {model.name} takes {own}")
    return shape


def _preprocessing(
    model: keras.Model, wish: str | Preprocessing | None, stored: ConvertedFile | None, channels: int, path: str
) -> tuple[Preprocessing | None, str]:
    """What must be done to pixels, and how that is known."""
    own = prologue(model)
    raw, inside = parse_preprocessing("raw", channels), ""
    if stored and stored.preprocessing is not None:
        inside = f"inside the network: {stored.preprocessing}, {stored.reason}"
    elif own.takes_pixels:
        inside = f"the network prepares its input itself (layer {', '.join(map(repr, own.layers))})"
    elif "int" in model.inputs[0].dtype:  # Preparing pixels gives fractions, which such an input would cut off.
        inside = f"the network takes pixels as they are (its input is {model.inputs[0].dtype})"
    if wish is not None and wish != AUTO:
        asked = given(wish, channels)
        if asked is None or (inside and not asked.is_identity):  # Pixels would be prepared twice.
            raise ValueError(f"preprocess: got {wish!s}, but pixels are prepared already: {inside}; leave it out")
        return asked, "as asked"
    if inside:
        return raw, inside
    if wish is None:
        return None, "not known: it takes what it was trained on"
    made_for_others = own.layers if own.takes_another_range else ()
    likely = likely_preprocessing([layer.name for layer in layers_of(model)], made_for_others)
    raise unknown_preprocessing(path or model.name, likely, channels=channels, is_file=bool(path))
