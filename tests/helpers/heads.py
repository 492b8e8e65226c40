"""The two networks of one architecture, with its dense layers and with convolutions in their place."""

import itertools

import vggfcn


def both(architecture, parameters, **options):
    """Both networks, holding the same parameters: {layer: (kernel, bias)}."""
    models = [vggfcn.build(architecture, weights=None, head=head, **options) for head in ("dense", "conv")]
    for model, (name, arrays) in itertools.product(models, parameters.items()):
        layer = model.get_layer(name)
        layer.set_weights([array.reshape(value.shape) for array, value in zip(arrays, layer.weights, strict=True)])
    return models
