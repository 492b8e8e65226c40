"""Random networks, and weight files of the published layouts, written here and nowhere else."""

import dataclasses

import h5py
import numpy as np

from vggfcn.networks.catalogue import HEAD, DenseSpec, vgg

# Small in every respect, and no two layers alike in the head.
TINY = dataclasses.replace(
    vgg("vgg16", (2, 2, 3, 3, 3), width=1 / 32),
    head=tuple(DenseSpec(name, units) for name, units in zip(HEAD, (32, 24, 7), strict=True)),
)

# As small as VGG16 can be, so that most of a file is structure and not numbers.
MICRO = dataclasses.replace(
    TINY,
    trunk=tuple(dataclasses.replace(row, filters=1) if hasattr(row, "filters") else row for row in TINY.trunk),
    head=tuple(DenseSpec(name, 2) for name in HEAD),
)


def he_arrays(shapes, rng):
    """Random (kernel, bias) by layer, one layer at a time, scaled so that activations and logits are of size 1."""
    for depth, (name, (kernel, bias)) in enumerate(shapes.items()):
        scale = np.float32(np.sqrt(2 / np.prod(kernel[:-1])) / (100 if depth == 0 else 1))
        yield (
            name,
            rng.standard_normal(kernel, np.float32) * scale,
            rng.standard_normal(bias, np.float32) * np.float32(0.1),
        )


def write_published_layout(path, layers, stated=True):
    """Write what Keras publishes: `layer_names`, `weight_names`, `block1_conv1/block1_conv1_W_1:0` and so on.

    Layers without weights are listed too, as there. Random numbers have no published hash, so if `stated`, the root's
    attributes say what the published files expect of images.
    """
    with h5py.File(path, "w") as file:
        names, previous = [], "input_1"
        for name, kernel, bias in layers:
            names += between(previous, name)
            previous = name
            names.append(name)
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}_W_1:0", f"{name}_b_1:0"], "S")
            group.create_dataset(f"{name}_W_1:0", data=kernel)
            group.create_dataset(f"{name}_b_1:0", data=bias)
        names += between(previous, "the end")
        for name in names:
            if name not in file:
                file.create_group(name).attrs["weight_names"] = np.array([], "S1")
        file.attrs["layer_names"] = np.array(names, "S")
        if stated:
            file.attrs["color_order"], file.attrs["std"] = "BGR", [1.0] * 3
            file.attrs["mean"] = [123.68, 116.779, 103.939]
    return path


def between(previous, name):
    """The layers without weights between two of VGG's layers: the input, the pool after a block, the flattening."""
    if previous == "input_1":
        return ["input_1"]
    blocks = [layer.partition("_conv")[0] for layer in (previous, name)]
    if not previous.startswith("block") or blocks[0] == blocks[1]:
        return []
    return [f"{blocks[0]}_pool", *(["flatten"] if name == "fc1" else [])]


def arrays_of(architecture=TINY):
    """A network with the same random numbers everywhere: {layer: (kernel, bias)} in canonical form."""
    shapes = architecture.parameter_shapes()
    return {name: (kernel, bias) for name, kernel, bias in he_arrays(shapes, np.random.default_rng(11))}


def tiny_image():
    """A native-size image, uint8 (1, 224, 224, 3)."""
    return np.random.default_rng(12).integers(0, 256, (1, 224, 224, 3), np.uint8)


def to_torch(name, kernel):
    """A canonical kernel as torch and Caffe keep it: (out, in, rows, columns), or (out, in) flattened in that order."""
    if kernel.ndim == 4:
        return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    turned = convolutional(name, kernel).transpose(3, 2, 0, 1)
    return np.ascontiguousarray(turned.reshape(kernel.shape[1], -1))


def convolutional(name, kernel):
    """A canonical dense kernel as (rows, columns, in, out)."""
    size = 7 if name == "fc1" else 1
    return kernel.reshape(size, size, -1, kernel.shape[1])
