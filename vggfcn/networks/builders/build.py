"""`build`: a Keras model of a network, given by name, by spec or by its weights."""

import os

import keras

from vggfcn.networks.families import BuildOptions, NetworkSpec, NetworkWeights
from vggfcn.networks.resolve import family_of, open_weights, spec_of


def build(
    architecture: str | NetworkSpec | None = None,
    *,
    weights: str | os.PathLike[str] | None = "imagenet",
    head: str | None = "conv",
    classes: int | None = None,
    activation: str | None = None,
    preprocess: bool = True,
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
    - `preprocess`: if False, the model expects preprocessed images, as the checkpoint does (mean subtracted, divided by
      the standard deviation).

    Where a connection table leaves out connections, the new kernel's elements are zero. Training changes them unless
    you add a constraint.

    EfficientNet-Lite0 ends in the mean over its map and one dense layer. With `head="conv"` it is converted by
    `convert`.

    Raises `WeightsError` if the weights are missing, damaged, or of another architecture, and `ValueError` if the
    architecture or the head is unknown.

    >>> model = build(weights=None, head="dense", classes=10)
    >>> model.output_shape
    (None, 10)
    """
    if head not in ("conv", "dense", None):
        raise ValueError(f'head: expected "conv", "dense" or None, got {head!r}')
    opened = None
    if weights is None:
        network = spec_of(architecture)
    else:
        network, opened = open_weights(weights, architecture)
    return build_network(network, opened, BuildOptions(head, classes, activation, preprocess))


def build_network(network: NetworkSpec, weights: NetworkWeights | None, options: BuildOptions) -> keras.Model:
    """Build a network from weights opened by `resolve.open_weights`; None for random values."""
    return family_of(network).build(network, weights, options)
