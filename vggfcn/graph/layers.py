"""Which kind of layer each stock Keras class is, and which axes a layer works along."""

import enum
from typing import Any

import numpy as np


class Kind(enum.Enum):
    """Kinds of layers. The value of each lists its classes in Keras, including the operations of keras.ops."""

    # A sliding window: the same computation at every position.
    CONVOLUTION = "Conv2D DepthwiseConv2D SeparableConv2D"
    TRANSPOSED_CONVOLUTION = "Conv2DTranspose"
    POOLING = "MaxPooling2D AveragePooling2D"
    PADDING = "ZeroPadding2D"
    CROPPING = "Cropping2D"
    UPSAMPLING = "UpSampling2D"
    # Sliding windows that appear in networks that this package makes.
    PATCHES = "ExtractPatches"
    VOLUMETRIC_PADDING = "ZeroPadding3D"
    VOLUMETRIC_POOLING = "MaxPooling3D AveragePooling3D"
    # Each value separately.
    POINTWISE_LAYER = "Activation ReLU LeakyReLU ELU Identity Rescaling ActivityRegularization"
    ACTIVATION = (
        "Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu Sigmoid LogSigmoid SparseSigmoid HardSigmoid HardSilu Tanh "
        "HardTanh TanhShrink Softplus Softsign SoftShrink HardShrink SparsePlus Squareplus Threshold"
    )
    ARITHMETIC = (
        "Absolute Fabs Negative Sign Signbit Square Sqrt Rsqrt Cbrt Reciprocal Exp Exp2 Expm1 Log Log2 Log10 Log1p "
        "Clip Round Floor Ceil Trunc Cast SaturateCast StopGradient Copy Conjugate Real Deg2rad Rad2deg "
        "Sin Cos Tan Arcsin Arccos Arctan Sinh Cosh Arcsinh Arccosh Arctanh Sinc I0 Erf Erfc Erfinv "
        "NanToNum Isfinite Isinf Isnan Isneginf Isposinf LogicalNot"
    )
    ONES_LIKE = "OnesLike ZerosLike"
    # No effect at inference.
    DROPOUT = "Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout2D"
    AUGMENTATION = (
        "RandomFlip RandomRotation RandomTranslation RandomZoom RandomShear RandomBrightness "
        "RandomContrast RandomColorJitter RandomHue RandomSaturation RandomSharpness RandomGrayscale RandomErasing "
        "RandomInvert RandomPosterization RandomColorDegeneration RandomGaussianBlur RandomPerspective "
        "RandomElasticTransform"
    )
    # Along an axis, usually the channels of each position.
    NORMALIZATION = "BatchNormalization LayerNormalization RMSNormalization UnitNormalization Normalization Normalize"
    SOFTMAX = "Softmax LogSoftmax Sparsemax Glu LayerScale"
    PRELU = "PReLU"
    # Branches are merged.
    MERGING = (
        "Add Subtract Multiply Divide TrueDivide DivideNoNan FloorDivide Mod Fmod Power Average Maximum Minimum Fmax "
        "Fmin Arctan2 Hypot Heaviside Logaddexp Logaddexp2 Concatenate CustomScaleLayer Where "
        "Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr LogicalXor"
    )
    STACK = "Stack"
    # The same values in another shape.
    FLATTEN = "Flatten"
    RESHAPE = "Reshape"
    AXES_OF_LENGTH_1 = "Squeeze ExpandDims"
    PERMUTE = "Permute Transpose Moveaxis Swapaxes"
    # A map is padded, or part of it taken.
    PAD = "Pad"
    TAKE = "Take"
    GET_ITEM = "GetItem"
    SPLIT = "Split Unstack"
    # Values along an axis, usually the channels, are moved, repeated, mixed or reduced.
    REARRANGING = "Flip Roll Repeat Tile RGBToGrayscale RGBToHSV HSVToRGB"
    SUM = "Sum"
    REDUCTION = "Min Amax Amin Prod Std Var Logsumexp Argmax Argmin"
    # Heads of classifiers.
    DENSE = "Dense"
    GLOBAL_POOLING = "GlobalAveragePooling2D GlobalMaxPooling2D GlobalAveragePooling1D GlobalMaxPooling1D Mean Max"
    # Another layer is applied.
    WRAPPER = "SpectralNormalization TimeDistributed"
    # Depends on the whole image.
    WHOLE_IMAGE = "GroupNormalization AutoContrast Equalization"
    FIXED_SIZE = "Resizing CenterCrop RandomCrop"
    ADAPTIVE_POOLING = "AdaptiveAveragePooling2D AdaptiveMaxPooling2D"
    ATTENTION = "MultiHeadAttention"
    # Runs the user's code.
    CUSTOM_CODE = "Lambda TorchModuleWrapper JaxLayer FlaxLayer TFSMLayer"


SLIDING = frozenset({Kind.CONVOLUTION, Kind.TRANSPOSED_CONVOLUTION, Kind.POOLING, Kind.PADDING, Kind.CROPPING})
POINTWISE = frozenset({Kind.POINTWISE_LAYER, Kind.ACTIVATION, Kind.ARITHMETIC, Kind.DROPOUT, Kind.AUGMENTATION})
ALONG_CHANNELS = frozenset({Kind.NORMALIZATION, Kind.SOFTMAX})
KIND_BY_CLASS = {name: kind for kind in Kind for name in kind.value.split()}
# Permutations that move the channels to the end or to the front: axes without the batch -> order before and after.
PERMUTATIONS: dict[tuple[Any, ...], tuple[str, str]] = {(2, 3, 1): ("chw", "hwc"), (3, 1, 2): ("hwc", "chw")}
# The batch, rows, columns and channels.
MAP_RANK = 4
# Activation functions that depend on all values along the last axis.
ALONG_LAST_AXIS = ("softmax", "log_softmax", "sparsemax", "glu")


def kind_of(layer: Any) -> Kind | None:
    """The kind of a layer or of an operation of keras.ops; None for custom and for unknown classes."""
    cls = type(layer)
    if cls.__name__ == "Average" and ".ops." in cls.__module__:
        return None  # A weighted mean along an axis, unlike the layer of this name.
    return KIND_BY_CLASS.get(cls.__name__) if cls.__module__.startswith("keras.") else None


def axes_of(layer: Any, rank: int) -> set[int]:
    """The axes that a layer works along, on a tensor with `rank` axes; the batch is axis 0."""
    axes = getattr(layer, "axis", -1)
    if axes is None:
        return set(range(rank))
    axes = axes if isinstance(axes, list | tuple) else (axes,)
    return {axis % rank for axis in axes}


def rearranged_axes(layer: Any, rank: int) -> set[int]:
    """The axes along which a layer of `REARRANGING` or `REDUCTION` works, on a tensor with `rank` axes."""
    if hasattr(layer, "data_format"):
        return {rank - 1 if layer.data_format == "channels_last" else rank - 3}
    if type(layer).__name__ != "Tile":
        return axes_of(layer, rank)
    repeats = [layer.repeats] if isinstance(layer.repeats, int) else list(layer.repeats)
    if len(repeats) > rank:
        return set(range(rank))
    return {axis for axis, repeat in enumerate(repeats, rank - len(repeats)) if repeat != 1}


def indexed_axes(key: Any, rank: int) -> dict[int, int | slice] | None:
    """What x[key] takes along each axis of a tensor with `rank` axes, leaving out the axes that it takes whole.

    None if the key adds an axis, or holds anything but numbers, slices between numbers and an ellipsis.
    """
    parts = list(key) if isinstance(key, tuple | list) else [key]
    if not all(part is Ellipsis or _is_index(part) for part in parts):
        return None
    given = [part for part in parts if part is not Ellipsis]
    if len(parts) - len(given) > 1 or len(given) > rank:
        return None
    whole = [slice(None)] * (rank - len(given))
    place = next((place for place, part in enumerate(parts) if part is Ellipsis), len(given))
    full = given[:place] + whole + given[place:]
    return {axis: part for axis, part in enumerate(full) if part != slice(None)}


def leaves_cells_alone(layer: Any, args: tuple[Any, ...], rank: int, channel_axis: int) -> bool:
    """Whether a layer of kind `GET_ITEM`, `TAKE` or `PAD` takes or pads channels alone; `rank` counts the batch."""
    if kind_of(layer) is Kind.PAD:
        widths = layer.pad_width
        return len(widths) == rank and not any(any(pair) for axis, pair in enumerate(widths) if axis != channel_axis)
    if kind_of(layer) is Kind.TAKE:
        return layer.axis is not None and layer.axis % rank == channel_axis
    parts = indexed_axes(args[1], rank)
    return parts is not None and set(parts) <= {channel_axis}


def _is_index(part: Any) -> bool:
    if isinstance(part, slice):
        return all(end is None or isinstance(end, int) for end in (part.start, part.stop, part.step))
    return isinstance(part, int) and not isinstance(part, bool)


def reordering_of(layer: Any) -> tuple[str, str] | None:
    """The order ("hwc" or "chw") of a map before and after a `PERMUTE` layer; None if it moves rows or columns."""
    return PERMUTATIONS.get(_permutation(layer))


def _permutation(layer: Any) -> tuple[Any, ...]:
    """Which axis of a map, without the batch, each axis of the result is."""
    if hasattr(layer, "dims"):
        return tuple(layer.dims)  # Permute does not list the batch.
    if hasattr(layer, "axes"):
        axes = tuple(layer.axes or ())
        return tuple(axis % MAP_RANK for axis in axes[1:]) if axes and axes[0] == 0 else ()
    numbered = np.empty(tuple(range(1, MAP_RANK + 1)))  # Each axis has a length of its own.
    if hasattr(layer, "source"):
        moved = np.moveaxis(numbered, layer.source, layer.destination)
    else:
        moved = np.swapaxes(numbered, layer.axis1, layer.axis2)
    axes = tuple(length - 1 for length in moved.shape)
    return axes[1:] if axes[0] == 0 else ()


def runs_along_last_axis(layer: Any) -> bool:
    """Whether the layer's activation depends on all values along the last axis."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in ALONG_LAST_AXIS
