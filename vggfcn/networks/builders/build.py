"""`build`: a network by name, spec or weights as a Keras model, whatever family it is of."""

import os

import keras

from vggfcn.networks.families import BuildOptions, NetworkSpec, NetworkWeights
from vggfcn.networks.resolve import family_of, open_weights, standard


def build(
    architecture: str | NetworkSpec | None = None,
    *,
    weights: str | os.PathLike[str] | None = "imagenet",
    head: str | None = "conv",
    classes: int | None = None,
    activation: str | None = None,
    preprocess: bool = True,
) -> keras.Model:
    """Build a network from stock Keras layers, fully convolutional or as it was published.

    The input is a batch of RGB images, float32 or uint8 in [0, 255], shape (batch, height, width, 3); LeNet-5 takes
    grey ones, (batch, height, width, 1). The output is float32 logits, or whatever `activation` makes of them:

    - `head="conv"`: any height and width from the native size (VGG's is 224) up; (batch, rows, columns, classes).
      With VGG's stride of 32, row r, column c is the score of the window [32 r, 32 r + 224) x [32 c, 32 c + 224).
    - `head="dense"`: the original network; native size only; (batch, classes).
    - `head=None`: the trunk alone; VGG's feature map is (batch, height // 32, width // 32, channels).

    `weights` is a name in the registry ("imagenet", "scene-digits", "mnist-lenet5", "efficientnet-lite0", ...), the
    path of a file that `read_weights` understands, or None for random ones. `architecture` ("vgg16", "vgg19",
    "alexnet", "lenet5", "efficientnet-lite0" or a row-built `Architecture`) is inferred from the weights where it is
    None; without either it is VGG16. If `classes` differs from what the weights have, the last layer is new and
    random, ready to be trained. With `preprocess=False` the model wants its input as the checkpoint does (mean
    subtracted, divided by its standard deviation).

    Where a connection table connects nothing, kernels begin at zero; training keeps those zeros only under a
    constraint of its own.

    EfficientNet-Lite0 ends in the mean over its map and one dense layer; `head="conv"` is what `convert` makes of it.

    Raises `WeightsError` if the weights are missing, damaged, or of another architecture.

    >>> model = build(weights=None, head="dense", classes=10)
    >>> model.output_shape
    (None, 10)
    """
    if head not in ("conv", "dense", None):
        raise ValueError(f'head: expected "conv", "dense" or None, got {head!r}')
    source = None
    if weights is None:
        network = standard(architecture)
    else:
        network, source = open_weights(weights, architecture)
    return build_network(network, source, BuildOptions(head, classes, activation, preprocess))


def build_network(network: NetworkSpec, weights: NetworkWeights | None, options: BuildOptions) -> keras.Model:
    """The model of a network whose weights are open already, see `resolve.open_weights`; None for random ones."""
    return family_of(network).build(network, weights, options)
