"""Which kind of layer each stock Keras class is, and which axes a layer works along."""

import enum
from typing import Any


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
    ACTIVATION = "Relu Relu6 LeakyRelu Elu Selu Gelu Silu Sigmoid HardSigmoid HardSilu Tanh Softplus Softsign"
    ARITHMETIC = "Absolute Negative Square Sqrt Exp Log Clip Cast"
    POWER = "Power"
    ONES_LIKE = "OnesLike"
    # No effect at inference.
    DROPOUT = "Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout2D"
    AUGMENTATION = (
        "RandomFlip RandomRotation RandomTranslation RandomZoom RandomShear RandomBrightness "
        "RandomContrast RandomColorJitter RandomHue RandomSaturation RandomSharpness"
    )
    # Along an axis, usually the channels of each position.
    NORMALIZATION = "BatchNormalization LayerNormalization RMSNormalization UnitNormalization Normalization"
    SOFTMAX = "Softmax LogSoftmax LayerScale"
    PRELU = "PReLU"
    # Branches are merged.
    MERGING = "Add Subtract Multiply Divide TrueDivide Average Maximum Minimum Concatenate CustomScaleLayer"
    # The same values in another shape.
    FLATTEN = "Flatten"
    RESHAPE = "Reshape"
    AXES_OF_LENGTH_1 = "Squeeze ExpandDims"
    PERMUTE = "Permute Transpose"
    # A map is padded, or part of it taken.
    PAD = "Pad"
    TAKE = "Take"
    GET_ITEM = "GetItem"
    # Heads of classifiers.
    DENSE = "Dense"
    GLOBAL_POOLING = "GlobalAveragePooling2D GlobalMaxPooling2D GlobalAveragePooling1D GlobalMaxPooling1D Mean Max"
    # Depends on the whole image.
    WHOLE_IMAGE = "GroupNormalization AutoContrast Equalization"
    FIXED_SIZE = "Resizing CenterCrop RandomCrop AdaptiveAveragePooling2D AdaptiveMaxPooling2D"
    ATTENTION = "MultiHeadAttention"
    # Runs the user's code.
    CUSTOM_CODE = "Lambda TorchModuleWrapper JaxLayer FlaxLayer TFSMLayer"


SLIDING = frozenset({Kind.CONVOLUTION, Kind.TRANSPOSED_CONVOLUTION, Kind.POOLING, Kind.PADDING, Kind.CROPPING})
POINTWISE = frozenset({Kind.POINTWISE_LAYER, Kind.ACTIVATION, Kind.ARITHMETIC, Kind.DROPOUT, Kind.AUGMENTATION})
ALONG_CHANNELS = frozenset({Kind.NORMALIZATION, Kind.SOFTMAX})
KIND_BY_CLASS = {name: kind for kind in Kind for name in kind.value.split()}
# Permutations that move the channels to the end or to the front: axes without the batch -> order before and after.
PERMUTATIONS: dict[tuple[Any, ...], tuple[str, str]] = {(2, 3, 1): ("chw", "hwc"), (3, 1, 2): ("hwc", "chw")}
# Activation functions that depend on all values along the last axis.
ALONG_LAST_AXIS = ("softmax", "log_softmax", "sparsemax", "glu")


def kind_of(layer: Any) -> Kind | None:
    """The kind of a layer or of an operation of keras.ops; None for custom and for unknown classes."""
    cls = type(layer)
    return KIND_BY_CLASS.get(cls.__name__) if cls.__module__.startswith("keras.") else None


def axes_of(layer: Any, rank: int) -> set[int]:
    """The axes that a layer works along, on a tensor with `rank` axes; the batch is axis 0."""
    axes = getattr(layer, "axis", -1)
    axes = axes if isinstance(axes, list | tuple) else (axes,)
    return {axis % rank for axis in axes}


def reordering_of(layer: Any) -> tuple[str, str] | None:
    """The order ("hwc" or "chw") of a map before and after a `PERMUTE` layer; None if it moves rows or columns."""
    axes = getattr(layer, "axes", None)  # keras.ops.transpose lists the batch too, Permute does not.
    return PERMUTATIONS.get(tuple(axes)[1:] if axes else tuple(layer.dims))


def runs_along_last_axis(layer: Any) -> bool:
    """Whether the layer's activation depends on all values along the last axis."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in ALONG_LAST_AXIS
