"""`cam` makes the class activation map of a network that ends in global average pooling (Zhou et al. 2016).

"Learning deep features for discriminative localization", arXiv:1512.04150, section 2: what follows the pooling is
linear, so it may be applied to each cell before the cells are averaged.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from vggfcn.conversion.call import map_shape
from vggfcn.conversion.pooled_heads import PooledHead, pooled_head
from vggfcn.conversion.verify import verify
from vggfcn.errors import ConversionError
from vggfcn.graph.copying import LayerFactory
from vggfcn.graph.nesting import NestedModels, model_like
from vggfcn.graph.shapes import size_of_one_cell
from vggfcn.graph.walking import evaluate, graph_or_refuse, order_of_inputs


def cam(
    model: keras.Model,
    *,
    input_shape: tuple[int, ...] | None = None,
    share_weights: bool = False,
    check: bool = True,
) -> keras.Model:
    """Make the network that returns a classifier's class activation map: its head, applied to each cell of its trunk.

    The result is the same network without the pooling over the native map, so it has a map at native size already,
    with a cell for each cell of the trunk. The mean of the map's cells, at native size, is the classifier's logit. On a
    larger image, the mean of the cells in a window is the logit of `model` there. A single cell is no classifier of
    what it sees: only the means are what the network was trained for.

    The result is a Keras model of stock layers with the same names. Its `receptive_field` is that of the trunk's cells.
    If `model` was converted with `keep_global=True`, its context is kept.

    - `model`: a fully convolutional model that returns logits and has one input and one output: the result of
      `vggfcn.convert` or `build`, with nested models to any depth. It ends in `AveragePooling2D` with stride 1 and
      linear layers alone: dense layers or 1 x 1 convolutions without activation, batch normalisation, dropout, scaling,
      added constants. It is not changed. For a finer map, make the class activation map first:
      `with_output_stride(cam(model), 8)`.
    - `input_shape`: the size of the images in the check, without the batch. Only needed if the size is left open and
      none can be found.
    - `share_weights`: use the model's variables instead of copies. Copies share memory with the model until one of the
      two is trained.
    - `check`: compare the mean of the cells with the model, as `verify` does.

    Raises `ConversionError`, with the layer's name, if the network has no such head, and if the check finds a larger
    difference than float rounding explains; `TypeError` if `model` is not a Keras model.

    >>> network = keras.applications.MobileNetV2(weights=None, classifier_activation=None)
    >>> cam(vggfcn.convert(network)).compute_output_shape((1, 224, 224, 3))
    (1, 7, 7, 1000)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model: expected a Keras model, got {type(model).__name__}")
    graph = graph_or_refuse(model, model.name)
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (graph.inputs, graph.outputs)]
    if [[len(shape) for shape in side] for side in shapes] != [[4], [4]]:
        raise ConversionError(
            f"{model.name}: expected a fully convolutional model from one image to one map, got inputs of shape "
            f"{shapes[0]} and outputs of shape {shapes[1]}; convert it first: cam(vggfcn.convert(model))"
        )
    head = pooled_head(graph, model.name)
    image = graph.inputs[0]
    resizable = keras.Input(batch_shape=image.shape, dtype=image.dtype, name=image.name)
    result = _Unpooled(head, share_weights).model(model, graph, [_Tensor(resizable, True)], "", 0)[0]
    if check:
        _check(model, result, head, input_shape)
    return result


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor of the new network; `holds_pool` says if the model that it flows into holds the pooling to be left out.

    A model that is called several times holds it in one of its calls only.
    """

    tensor: Any
    holds_pool: bool


class _Unpooled:
    """Rebuilds a network without one call of a pooling layer."""

    def __init__(self, head: PooledHead, share_weights: bool):
        self.head = head
        self.share_weights = share_weights
        self.nested = NestedModels(self.model)

    def model(
        self, model: keras.Model, graph: Any, inputs: list[_Tensor], path: str, copies: int
    ) -> tuple[keras.Model, list[_Tensor]]:
        factory, holds_pool = LayerFactory(self.share_weights, {}), inputs[0].holds_pool

        def visit(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[_Tensor]:
            layer = node.operation
            values = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, _Tensor)]
            if isinstance(layer, keras.Model):
                inside = holds_pool and id(node) in self.head.pool.around
                return self.nested.call(layer, [_Tensor(value.tensor, inside) for value in values], path + layer.name)
            if holds_pool and node is self.head.pool.node:
                return values
            tensors = iter(values)
            args, kwargs = keras.tree.map_structure(
                lambda item: next(tensors).tensor if isinstance(item, _Tensor) else item, (args, kwargs)
            )
            outputs = keras.tree.flatten(factory.call(factory.copy(layer, {}), *args, **kwargs))
            return [_Tensor(output, False) for output in outputs]

        outputs = evaluate(graph, inputs, visit)
        return model_like(model, graph, inputs, outputs, copies), outputs


def _check(model: keras.Model, result: keras.Model, head: PooledHead, input_shape: tuple[int, ...] | None) -> None:
    """Compare the means of the map's cells with the model."""
    data_format = "channels_first" if head.order == "chw" else "channels_last"
    mean = keras.layers.AveragePooling2D(head.pool.layer.pool_size, 1, data_format=data_format)
    averaged = keras.Model(result.inputs, mean(result.outputs[0]), name=f"{model.name}_mean")
    try:
        equivalence = verify(model, averaged, input_shape=input_shape or _size_to_check(model))
    except (ValueError, ArithmeticError, tf.errors.InvalidArgumentError) as error:
        raise ConversionError(
            f"{model.name}: found no image size to check the class activation map at; pass the network's native size, "
            "for example input_shape=(224, 224, 3)"
        ) from error
    if not equivalence.ok:
        raise ConversionError(f"{model.name}: the mean of the class activation map is not the logit: {equivalence}")


def _size_to_check(model: keras.Model) -> tuple[int, ...]:
    """The size of the model's images without the batch; where it is open, one for which the map has one cell."""
    graph = graph_or_refuse(model, model.name)
    own, order = tuple(graph.inputs[0].shape[1:]), order_of_inputs(graph)
    return map_shape(size_of_one_cell(model), own[order.index("c")], order) if None in own else own
