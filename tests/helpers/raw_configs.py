"""Configurations of Keras models, written by hand as older versions wrote them."""


def layer(kind, name, *inputs, **arguments):
    """A layer as Keras 2 wrote it in an .h5 file, called on one tensor or on several."""
    entries = [[source, 0, 0, {}] for source in inputs]
    part = {"class_name": kind, "config": {"name": name, **arguments}, "name": name}
    return {**part, "inbound_nodes": [entries] if entries else []}


def image_input(name="image", shape=(None, 8, 8, 3), **arguments):
    return layer("InputLayer", name, batch_input_shape=list(shape), dtype="float32", sparse=False, **arguments)


def functional(*layers, outputs=None, name="model"):
    """A Functional model of Keras 2, from its first layer to its last."""
    ends = [[each, 0, 0] for each in outputs or [layers[-1]["name"]]]
    config = {"name": name, "layers": list(layers), "input_layers": [[layers[0]["name"], 0, 0]], "output_layers": ends}
    return {"class_name": "Functional", "config": config}


def sequential(*layers, name="sequential"):
    parts = [{key: part[key] for key in ("class_name", "config")} for part in layers]
    return {"class_name": "Sequential", "config": {"name": name, "layers": parts}}


def of_keras_3(kind, module="keras.layers", registered_name=None, **config):
    return {"module": module, "class_name": kind, "config": config, "registered_name": registered_name}
