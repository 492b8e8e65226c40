"""Any Keras image classifier, fully convolutional: which rule is for which kind of layer, and `convert`."""

import dataclasses
import warnings
from fractions import Fraction

import keras

from vggfcn.conversion import heads, rules
from vggfcn.conversion.call import LayerReport
from vggfcn.conversion.verify import Equivalence, verify
from vggfcn.conversion.walk import Rule, Walk
from vggfcn.errors import ConversionError
from vggfcn.graph.layers import ALONG_CHANNELS, POINTWISE, SLIDING, Kind

# What becomes of a layer, by its kind; layers of other kinds are refused.
RULES: dict[Kind, Rule] = {
    # Kept. A pool over the whole native map moves on by one cell.
    **dict.fromkeys((*SLIDING, Kind.UPSAMPLING), rules.sliding),
    **dict.fromkeys(POINTWISE, rules.pointwise),
    # Kept, the axis named anew.
    **dict.fromkeys(ALONG_CHANNELS, rules.along_channels),
    Kind.PRELU: rules.prelu,
    # Kept, if the cells stand for the same windows.
    Kind.MERGING: rules.merging,
    # Dropped.
    Kind.FLATTEN: rules.unroll,
    Kind.RESHAPE: rules.reshape,
    Kind.AXES_OF_LENGTH_1: rules.reshape,
    Kind.PERMUTE: rules.permute,
    # A dense layer is a convolution as large as its map, global pooling is pooling of the native map's size.
    Kind.DENSE: heads.dense,
    Kind.GLOBAL_POOLING: heads.pooling,
    # Refused, or kept with keep_global=True.
    Kind.WHOLE_IMAGE: rules.whole_image,
    Kind.FIXED_SIZE: heads.fixed_size,
    Kind.ATTENTION: heads.attention,
    # Refused.
    Kind.OWN_CODE: heads.own_code,
}


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a conversion did: a row for each layer, and the figures of the proof if there was one.

    `strides` are the distances (rows, columns) of neighbouring cells in input pixels, one for each output.
    `independent_windows` is False if context of the whole image was kept. `notes` say what was left out of the
    network or taken for granted, such as that a function of somebody's own works on each value by itself.
    """

    rows: tuple[LayerReport, ...]
    strides: tuple[tuple[Fraction, Fraction], ...]
    independent_windows: bool
    notes: tuple[str, ...] = ()
    equivalence: Equivalence | None = None

    def __str__(self) -> str:
        changed = sum(row.changed for row in self.rows)
        windows = (
            "" if self.independent_windows else "; context of the whole image is kept: windows are not independent"
        )
        return f"{len(self.rows)} layers, {changed} of them changed{windows}; {self.equivalence or 'not checked'}"


def convert(
    model: keras.Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    keep_global: bool = False,
    share_weights: bool = False,
    check: bool = True,
) -> keras.Model:
    """Make a classifier fully convolutional, with the same weights, and prove that it is the same network.

    `model` is a Sequential or Functional Keras model, with nested models to any depth, for images of one native
    size (rows, columns, channels), channels first, or vectors (n,), which stand for 1 x 1 maps. The result is an
    ordinary Keras model of stock layers under the same names, not compiled, for (batch, rows, columns, channels) of
    any size from the native one up. Its output (batch, rows, columns, classes) at native size is 1 x 1, and there it
    is the original's; on larger images each cell stands for a native-size window. If nothing in the network is
    padded, each cell is the original's output on that window, too.

    `input_shape` is the native size, without the batch, where the model leaves it open. `keep_global=True` keeps
    layers that take the whole image into account, such as squeeze-and-excitation: cells are then no longer
    independent of the rest of the image. The weights are copies, which share memory with the original's until one
    of the two is trained; with `share_weights=True` they are the very same variables, but for dense kernels and
    slopes whose shape changes. `model` itself is left as it is. One that is fully convolutional is returned as such.

    What is left out or taken for granted is said in a warning; optimizer, loss and metrics always are left out. What
    was done is in the attribute `conversion` of the result (a `Conversion`; it is not saved with the model).

    Raises `ConversionError`, with the layer's name, if something cannot be kept exact, and if the check at native
    size finds a larger difference than float rounding explains; `TypeError` if `model` is no Keras model.
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
    """What `convert` gives, and what was done."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model: expected a Keras model, got {type(model).__name__}")
    walk = Walk(RULES, keep_global=keep_global, share_weights=share_weights)
    converted, outputs = walk.convert(model, input_shape)
    independent = not any(row.whole_image for row in walk.rows)
    strides = tuple(value.stride for value in outputs)
    conversion = Conversion(tuple(walk.rows), strides, independent, tuple(walk.notes))
    same_inputs = [tensor.shape for tensor in converted.inputs] == [tensor.shape for tensor in model.inputs]
    if same_inputs and not any(row.changed for row in walk.rows):
        return model, conversion
    if check:
        equivalence = verify(model, converted, input_shape=input_shape)
        if not equivalence.ok:
            raise ConversionError(f"{model.name}: the converted network is not the same network: {equivalence}")
        conversion = dataclasses.replace(conversion, equivalence=equivalence)
    return converted, conversion
