"""What kind of layer is it? The one table of stock Keras classes, and how a layer says along which axes it works."""

import enum
from typing import Any


class Kind(enum.Enum):
    """Kinds of layers, each with the names of the Keras classes that are of it; classes of keras.ops are meant too."""

    # The same at every place.
    CONVOLUTION = "Conv2D DepthwiseConv2D SeparableConv2D"
    TRANSPOSED_CONVOLUTION = "Conv2DTranspose"
    POOLING = "MaxPooling2D AveragePooling2D"
    PADDING = "ZeroPadding2D"
    CROPPING = "Cropping2D"
    UPSAMPLING = "UpSampling2D"
    # These slide as well; networks that this package makes have them.
    PATCHES = "ExtractPatches"
    VOLUMETRIC_PADDING = "ZeroPadding3D"
    VOLUMETRIC_POOLING = "MaxPooling3D AveragePooling3D"
    # Each value by itself.
    POINTWISE_LAYER = "Activation ReLU LeakyReLU ELU Identity Rescaling ActivityRegularization"
    ACTIVATION = "Relu Relu6 LeakyRelu Elu Selu Gelu Silu Sigmoid HardSigmoid HardSilu Tanh Softplus Softsign"
    ARITHMETIC = "Absolute Negative Square Sqrt Exp Log Clip Cast"
    POWER = "Power"
    ONES_LIKE = "OnesLike"
    # Nothing at inference.
    DROPOUT = "Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout2D"
    AUGMENTATION = (
        "RandomFlip RandomRotation RandomTranslation RandomZoom RandomShear RandomBrightness "
        "RandomContrast RandomColorJitter RandomHue RandomSaturation RandomSharpness"
    )
    # Along an axis, usually the channels of each place.
    NORMALIZATION = "BatchNormalization LayerNormalization RMSNormalization UnitNormalization Normalization"
    SOFTMAX = "Softmax LogSoftmax LayerScale"
    PRELU = "PReLU"
    # Branches that meet.
    MERGING = "Add Subtract Multiply Divide TrueDivide Average Maximum Minimum Concatenate CustomScaleLayer"
    # Other shapes for the same numbers.
    FLATTEN = "Flatten"
    RESHAPE = "Reshape"
    AXES_OF_LENGTH_1 = "Squeeze ExpandDims"
    PERMUTE = "Permute Transpose"
    # A part of a map, or a map and something around it.
    PAD = "Pad"
    TAKE = "Take"
    GET_ITEM = "GetItem"
    # Heads.
    DENSE = "Dense"
    GLOBAL_POOLING = "GlobalAveragePooling2D GlobalMaxPooling2D GlobalAveragePooling1D GlobalMaxPooling1D Mean Max"
    # The whole image.
    WHOLE_IMAGE = "GroupNormalization AutoContrast Equalization"
    FIXED_SIZE = "Resizing CenterCrop RandomCrop AdaptiveAveragePooling2D AdaptiveMaxPooling2D"
    ATTENTION = "MultiHeadAttention"
    # Whatever its user wrote.
    OWN_CODE = "Lambda TorchModuleWrapper JaxLayer FlaxLayer TFSMLayer"


SLIDING = frozenset({Kind.CONVOLUTION, Kind.TRANSPOSED_CONVOLUTION, Kind.POOLING, Kind.PADDING, Kind.CROPPING})
POINTWISE = frozenset({Kind.POINTWISE_LAYER, Kind.ACTIVATION, Kind.ARITHMETIC, Kind.DROPOUT, Kind.AUGMENTATION})
ALONG_CHANNELS = frozenset({Kind.NORMALIZATION, Kind.SOFTMAX})
KINDS = {name: kind for kind in Kind for name in kind.value.split()}
# What moves channels of a map to the end or to the front: axes, without the batch -> order before and after.
PERMUTATIONS: dict[tuple[Any, ...], tuple[str, str]] = {(2, 3, 1): ("chw", "hwc"), (3, 1, 2): ("hwc", "chw")}
# Activation functions that look at all values along the last axis.
ALONG_LAST_AXIS = ("softmax", "log_softmax", "sparsemax", "glu")


def kind_of(layer: Any) -> Kind | None:
    """What a layer or an operation of keras.ops is; None for classes of somebody's own and those that are not known."""
    kind = type(layer)
    return KINDS.get(kind.__name__) if kind.__module__.startswith("keras.") else None


def axes_of(layer: Any, rank: int) -> set[int]:
    """The axes that a layer works along, of a tensor with so many axes; both count the batch."""
    axes = getattr(layer, "axis", -1)
    axes = axes if isinstance(axes, list | tuple) else (axes,)
    return {axis % rank for axis in axes}


def reordering_of(layer: Any) -> tuple[str, str] | None:
    """The orders ("hwc" or "chw") of a map before and after a `PERMUTE` layer; None if it moves more than channels."""
    axes = getattr(layer, "axes", None)  # keras.ops.transpose counts the batch.
    return PERMUTATIONS.get(tuple(axes)[1:] if axes else tuple(layer.dims))


def runs_along_last_axis(layer: Any) -> bool:
    """Whether the layer's activation looks at all values along the last axis."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in ALONG_LAST_AXIS
