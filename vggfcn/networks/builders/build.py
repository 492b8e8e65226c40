"""`build`: a Keras model of a network, given by name, by spec or by its weights."""

import os

import keras

from vggfcn.checkpoints.preprocessing import Preprocessing, parse_preprocessing
from vggfcn.errors import WeightsError
from vggfcn.networks import registry
from vggfcn.networks.builders.inputs import given
from vggfcn.networks.catalogue import ARCHITECTURES
from vggfcn.networks.families import BuildOptions, NetworkSpec, NetworkWeights
from vggfcn.networks.resolve import family_of, open_weights, spec_of
from vggfcn.networks.spec import Architecture


def build(
    architecture: str | NetworkSpec | None = None,
    *,
    weights: str | os.PathLike[str] | None = "imagenet",
    head: str | None = "conv",
    classes: int | None = None,
    activation: str | None = None,
    preprocess: bool | str | Preprocessing = True,
) -> keras.Model:
    """Build a network from stock Keras layers, either fully convolutional or as it was published.

    The input is a batch of RGB images, float32 or uint8 in [0, 255], shape (batch, height, width, 3). LeNet-5 takes
    grey images, (batch, height, width, 1). The output is float32: logits, or `activation` applied to them.

    - `architecture`: "vgg16", "vgg19", "alexnet", "lenet5", "efficientnet-lite0" or an `Architecture`. If it is None,
      it follows from the weights; without weights it is VGG16.
    - `weights`: a name of `list_weights` ("imagenet", "scene-digits", "mnist-lenet5", "efficientnet-lite0", ...), the
      path of a file that `read_weights` can read, or None for random values.
    - `head`: `"conv"` for the fully convolutional network, `"dense"` for the original, None for the trunk alone.
      - `"conv"` takes any height and width from the native size (VGG's is 224) up; output (batch, rows, columns,
        classes). With VGG's stride of 32, row r and column c hold the scores of the window [32 r, 32 r + 224) x
        [32 c, 32 c + 224).
      - `"dense"` takes the native size only; output (batch, classes).
      - None gives the feature map; VGG's is (batch, height // 32, width // 32, channels).
    - `classes`: the number of classes. If it differs from that of the weights, the last layer is new and random, ready
      to be trained.
    - `activation`: of the last layer, such as "softmax"; None for logits.
    - `preprocess`: what happens to pixels first. True does what the weights expect, where the file states it or is a
      published one. For all other files say how they were trained: a text such as "caffe" (BGR minus ImageNet's mean,
      Keras's `preprocess_input` of VGG), "torch", "0..1", "-1..1", "raw" or "mean=..,std=..", or a `Preprocessing`.
      False does nothing: the model then expects preprocessed images, as RGB if the weights' order of colours is known,
      otherwise in the file's order.

    Where a connection table leaves out connections, the new kernel's elements are zero. Training changes them unless
    you add a constraint.

    EfficientNet-Lite0 ends in the mean over its map and one dense layer. With `head="conv"` it is converted by
    `convert`.

    Raises `WeightsError` if the weights are missing, damaged, or of another architecture, or if nobody says how their
    images are preprocessed, and `ValueError` if another argument is wrong; that is checked before anything is
    downloaded.

    >>> model = build(weights=None, head="dense", classes=10)
    >>> model.output_shape
    (None, 10)
    """
    _check(architecture, weights, BuildOptions(head, classes, activation, preprocess))
    opened = None
    if weights is None:
        network = spec_of(architecture)
    else:
        network, opened = open_weights(weights, architecture)
    return build_network(network, opened, BuildOptions(head, classes, activation, preprocess))


def _check(
    architecture: str | NetworkSpec | None, weights: str | os.PathLike[str] | None, options: BuildOptions
) -> None:
    """Raise an error for whatever can be found wrong without opening, let alone downloading, a file."""
    head, classes = options.head, options.classes
    if head not in ("conv", "dense", None):
        raise ValueError(f'head: expected "conv", "dense" or None, got {head!r}')
    if classes is not None and (not isinstance(classes, int) or isinstance(classes, bool) or classes < 1):
        raise ValueError(f"classes: expected a whole number from 1 up, or None, got {classes!r}")
    try:
        keras.activations.get(options.activation)
    except (ValueError, TypeError):
        raise ValueError(
            f'activation: expected None or the name of a Keras activation such as "softmax", got {options.activation!r}'
        ) from None
    known = registry.REGISTRY.get(os.fspath(weights)) if weights is not None else None
    if architecture is not None or weights is None or known:
        network = spec_of(known.network if known and architecture is None else architecture)
        given(options.preprocess, network.channels)
        if known and known.url and isinstance(network, Architecture) and network.name == known.network:
            _check_shapes(network, str(weights), known, options)
    elif isinstance(options.preprocess, str):
        parse_preprocessing(options.preprocess)
    if known and head and not known.classes:
        raise WeightsError(f"{weights}: has no head; choose weights with a head, or head=None for the trunk alone")


def _check_shapes(network: Architecture, weights: str, known: registry.KnownWeights, options: BuildOptions) -> None:
    """Raise `WeightsError` if published weights cannot have the shapes of a network."""
    stored = ARCHITECTURES[known.network].with_classes(known.classes or network.classes).parameter_shapes()
    needed = network.parameter_shapes() if options.head else {row.name: () for row in network.trained_layers}
    if options.head and options.classes not in (None, network.classes):
        needed.pop(network.head[-1].name)
    shapes = network.parameter_shapes()
    wrong = [
        f"{name} {stored.get(name)} instead of {shapes[name]}" for name in needed if stored.get(name) != shapes[name]
    ]
    if wrong:
        raise WeightsError(f"{weights}: some (kernel, bias) shapes do not fit: {'; '.join(wrong)[:300]}")


def build_network(network: NetworkSpec, weights: NetworkWeights | None, options: BuildOptions) -> keras.Model:
    """Build a network from weights opened by `resolve.open_weights`; None for random values."""
    return family_of(network).build(network, weights, options)
