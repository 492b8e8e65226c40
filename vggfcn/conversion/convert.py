"""`convert` makes any Keras image classifier fully convolutional; `RULES` has the rule for each kind of layer."""

import dataclasses
import warnings
from fractions import Fraction

import keras

from vggfcn.conversion.call import LayerReport
from vggfcn.conversion.rules import channels, heads, layers
from vggfcn.conversion.verify import Equivalence, verify
from vggfcn.conversion.walk import Rule, Walk
from vggfcn.errors import ConversionError
from vggfcn.graph.layers import ALONG_CHANNELS, POINTWISE, SLIDING, Kind

# Layers of other kinds are refused.
RULES: dict[Kind, Rule] = {
    # Kept. An average pool over the whole native map gets stride 1.
    **dict.fromkeys((*SLIDING, Kind.UPSAMPLING), layers.sliding),
    **dict.fromkeys((*POINTWISE, Kind.ONES_LIKE), layers.pointwise),
    # Kept, with the axis adapted.
    **dict.fromkeys(ALONG_CHANNELS, layers.along_channels),
    Kind.PRELU: layers.prelu,
    # Kept, if the cells of all branches stand for the same windows.
    Kind.MERGING: layers.merging,
    # Dropped.
    Kind.FLATTEN: layers.flatten,
    Kind.RESHAPE: layers.reshape,
    Kind.AXES_OF_LENGTH_1: layers.reshape,
    Kind.PERMUTE: layers.permute,
    # Kept along the channels; rows and columns are cropped or padded by stock layers.
    Kind.GET_ITEM: channels.get_item,
    Kind.TAKE: channels.take,
    Kind.SPLIT: channels.split,
    Kind.STACK: channels.stack,
    Kind.REARRANGING: channels.rearranging,
    Kind.REDUCTION: channels.reduction,
    Kind.PAD: channels.pad,
    # Replaced: dense layers by convolutions over the native map, global pooling by pooling over it.
    Kind.DENSE: heads.dense,
    Kind.GLOBAL_POOLING: heads.pooling,
    Kind.SUM: heads.sum_pooling,
    Kind.ADAPTIVE_POOLING: layers.adaptive_pooling,
    # Refused, unless keep_global=True.
    Kind.WHOLE_IMAGE: layers.whole_image,
    Kind.FIXED_SIZE: heads.fixed_size,
    Kind.ATTENTION: heads.attention,
    # Refused.
    Kind.CUSTOM_CODE: heads.custom_code,
}


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    - `layers`: a report on each layer.
    - `strides`: the distance (rows, columns) between neighbouring cells in pixels of the input, for each output.
    - `independent_windows`: False if whole-image context was kept.
    - `notes`: what was dropped or assumed, for example that a custom activation works on each value separately.
    - `equivalence`: the result of the check, or None if there was none.
    - `native_shapes`: for each input, the shape without the batch of what one window is made of. It is the original's
      own, unless layers that resize or crop the image were dropped, or a flat image got its shape.
    """

    layers: tuple[LayerReport, ...]
    strides: tuple[tuple[Fraction, Fraction], ...]
    independent_windows: bool
    notes: tuple[str, ...] = ()
    equivalence: Equivalence | None = None
    native_shapes: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        changed = sum(layer.changed for layer in self.layers)
        context = "" if self.independent_windows else "; whole-image context is kept: windows are not independent"
        return f"{len(self.layers)} layers, {changed} of them changed{context}; {self.equivalence or 'not checked'}"


def convert(
    model: keras.Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    keep_global: bool = False,
    share_weights: bool = False,
    check: bool = True,
) -> keras.Model:
    """Make a classifier fully convolutional, with the same weights, and check that it is the same network.

    The result is an uncompiled Keras model of stock layers with the same names. It takes images (batch, rows, columns,
    channels) of any size from the native size up, and returns a map (batch, rows, columns, classes). At native size the
    map is 1 x 1 and equals the original's output. On larger images each cell stands for a window of native size; if
    nothing in the network is padded, the cell equals the original's output on that window.

    - `model`: a Sequential or Functional Keras model, with nested models to any depth. It takes images of one native
      size (rows, columns, channels) or (channels, rows, columns), or vectors (n,), which become 1 x 1 maps. It is not
      changed. A model that is already fully convolutional is returned unchanged.
    - `input_shape`: the native size, without the batch. Only needed if the model leaves it open.
    - `keep_global`: keep layers that depend on the whole image, such as squeeze-and-excitation. Cells are then no
      longer independent of the rest of the image.
    - `share_weights`: use the original's variables instead of copies, except for dense kernels and PReLU slopes whose
      shape changes. Copies share memory with the original until one of the two is trained.
    - `check`: compare the two networks at native size with `verify`.

    A warning says what was dropped or assumed. The optimizer, the loss and the metrics are always dropped, without a
    warning. The attribute `conversion` of the result, a `Conversion`, lists what was done; it is not saved with the
    model.

    Raises `ConversionError`, with the layer's name, if a layer cannot be converted exactly, and if the check finds a
    larger difference than float rounding explains; `TypeError` if `model` is not a Keras model.
    """
    converted, conversion = convert_and_report(
        model, input_shape=input_shape, keep_global=keep_global, share_weights=share_weights, check=check
    )
    for note in conversion.notes:
        warnings.warn(note, stacklevel=2)
    if converted is not model:
        converted.conversion = conversion
    return converted


def convert_and_report(
    model: keras.Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    keep_global: bool = False,
    share_weights: bool = False,
    check: bool = True,
) -> tuple[keras.Model, Conversion]:
    """Convert as `convert` does, without warnings, and return the report too."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model: expected a Keras model, got {type(model).__name__}")
    walk = Walk(RULES, keep_global=keep_global, share_weights=share_weights)
    converted, outputs = walk.convert(model, input_shape)
    independent = not any(layer.whole_image for layer in walk.layers)
    strides = tuple(value.stride for value in outputs)
    conversion = Conversion(tuple(walk.layers), strides, independent, tuple(walk.notes), None, walk.native_shapes)
    same_inputs = [tensor.shape for tensor in converted.inputs] == [tensor.shape for tensor in model.inputs]
    if same_inputs and not any(layer.changed for layer in walk.layers):
        return model, conversion
    if check:
        equivalence = verify(model, converted, input_shape=input_shape)
        if not equivalence.ok:
            raise ConversionError(f"{model.name}: the converted network is not the same network: {equivalence}")
        conversion = dataclasses.replace(conversion, equivalence=equivalence)
    return converted, conversion
