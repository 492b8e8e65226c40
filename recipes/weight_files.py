"""Writing the embedded weight files: the layout of Keras's published VGG files, with preprocessing and labels."""

import pathlib

import h5py
import numpy as np


def write(path: pathlib.Path, architecture, parameters, preprocessing, labels, dtype=np.float32) -> None:
    """Write (kernel, bias) by layer in the shapes that the architecture gives them, so dense kernels as such."""
    shapes = architecture.parameter_shapes()
    unfinished = path.with_name(path.name + ".unfinished")
    with h5py.File(unfinished, "w") as file:
        file.attrs["layer_names"] = list(parameters)
        file.attrs["color_order"] = "RGB"
        file.attrs["mean"], file.attrs["std"] = preprocessing.mean, preprocessing.std
        file.attrs["labels"] = list(labels)
        for name, (kernel, bias) in parameters.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_W", f"{name}_b"]
            kernel = kernel.reshape(shapes[name][0]).astype(dtype)
            group.create_dataset(f"{name}_W", data=kernel, compression="gzip", shuffle=True)
            group.create_dataset(f"{name}_b", data=bias.astype(dtype))
    unfinished.replace(path)
