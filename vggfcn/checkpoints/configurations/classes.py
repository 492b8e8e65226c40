"""What a model's configuration may name: the layers, operations and functions of Keras itself, as closed lists."""

from typing import Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Layers whose results follow from their arguments and weights alone. Lookup layers are left out: they read files.
LAYERS = _names(
    "Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D "
    "AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention "
    "AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional "
    "CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D "
    "ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense "
    "Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D "
    "GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D "
    "GroupNormalization GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking "
    "MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute "
    "RMSNormalization RNN RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop "
    "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert "
    "RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear "
    "RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D "
    "SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D "
    "SpectralNormalization StackedRNNCells Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D "
    "UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D"
)
# Layers that keras.applications defines for itself, and where.
APPLICATION_LAYERS = {
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "LayerScale": "keras.src.applications.convnext",
}
MODELS = {"Sequential": "keras", "Functional": "keras.src.models.functional"}
# Operations of keras.ops, by module, that an .h5 file names without their module.
OPERATIONS = {
    "keras.src.ops.numpy": "Absolute Add Clip Concatenate Divide Exp ExpandDims Flip GetItem Log Max Maximum Mean Min "
    "Minimum Multiply Negative OnesLike Pad Power Reshape Sqrt Square Squeeze Stack Subtract Sum Take Tanh Transpose "
    "TrueDivide",
    "keras.src.ops.nn": "Elu Gelu HardSigmoid HardSilu LeakyRelu LogSoftmax Relu Relu6 Selu Sigmoid Silu Softmax "
    "Softplus Softsign",
    "keras.src.ops.core": "Cast",
    "keras.src.ops.image": "RGBToGrayscale Resize",
    "keras.src.ops.math": "Rsqrt",
}
MODULE_OF_OPERATION = {name: module for module, names in OPERATIONS.items() for name in names.split()}
# TensorFlow's functions in the models of Keras 2.
FUNCTION_LAYERS = {"TFOpLambda", "SlicingOpLambda"}
ACTIVATIONS = _names(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear "
    "log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus "
    "sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"
)
# Keras's own layers that this list leaves out: not in Keras 3, or not of images.
OTHER_LAYERS = _names(
    "AbstractRNNCell CategoryEncoding ConvLSTM2DCell CuDNNGRU CuDNNLSTM DenseFeatures Discretization FeatureSpace "
    "HashedCrossing Hashing Highway IntegerLookup Layer LocallyConnected1D LocallyConnected2D MaxoutDense "
    "MelSpectrogram Merge Pipeline STFTSpectrogram StringLookup TFOpLambda SlicingOpLambda TextVectorization "
    "Wrapper"
)
# For training alone.
INITIALIZERS = _names(
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform "
    "Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros"
)
REGULARIZERS = _names("L1 L1L2 L2 OrthogonalRegularizer")
CONSTRAINTS = _names("MaxNorm MinMaxNorm NonNeg UnitNorm")
# These run code, from the file or from elsewhere.
CODE = {
    "Lambda": "a Lambda layer, whose Python code is in the file",
    "__lambda__": "a function whose Python code is in the file",
    "TorchModuleWrapper": "a torch module, which is unpickled",
    "JaxLayer": "a JAX function",
    "FlaxLayer": "a Flax module",
    "TFSMLayer": "a TensorFlow SavedModel, which is another file",
}
# Classes of older versions that are another class today.
RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "GRUV1": "GRU",
    "GRUV2": "GRU",
    "LSTMV1": "LSTM",
    "LSTMV2": "LSTM",
    "Model": "Functional",
    "SyncBatchNormalization": "BatchNormalization",  # The same results at inference.
}
# Prefixes of registered names that are Keras's own.
_OWN_PREFIXES = {"", "keras", "experimental"}
# keras.applications of Keras 2 registered this class as its users do theirs.
_OWN_REGISTERED = ("Custom>CustomScaleLayer",)
_OWN_MODULES = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras", "tensorflow_core.python.keras")


def is_custom(item: dict[str, Any]) -> bool:
    """Whether a serialised object is of a class outside Keras, by its module and its registered name."""
    names = (item["class_name"], item.get("registered_name"))
    prefixes = {str(name).rpartition(">")[0].lower() for name in names if name not in (None, *_OWN_REGISTERED)}
    if not prefixes <= _OWN_PREFIXES:
        return True
    return "module" in item and not is_own_module(item["module"])


def is_own_module(module: object) -> bool:
    """Whether a module belongs to Keras, under any name that it has had."""
    return isinstance(module, str) and any(module == own or module.startswith(f"{own}.") for own in _OWN_MODULES)


def class_name(item: dict[str, Any]) -> str:
    """The name of a serialised object's class without prefixes, as Keras 3 calls it."""
    name = str(item["class_name"]).rpartition(">")[2].rpartition(".")[2]
    return RENAMED.get(name, name)


def legal_name(name: object) -> str:
    """A layer's name as Keras 3 allows it: Keras 2 named some of its own layers "conv1/conv"."""
    return str(name).replace("/", "_")


def is_operation(item: dict[str, Any]) -> bool:
    """Whether a serialised object is an operation of keras.ops and not a layer."""
    module = item.get("module")
    if module is not None:
        return isinstance(module, str) and module in OPERATIONS
    config = item.get("config")
    # Layers and operations share names, such as Add; only layers state whether they are trainable.
    return class_name(item) in MODULE_OF_OPERATION and isinstance(config, dict) and "trainable" not in config
