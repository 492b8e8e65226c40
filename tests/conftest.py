"""What several tests share: weight files of the published layouts, written here and nowhere else."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import pytest

from vggfcn.architectures import ARCHITECTURES, Architecture, vgg


def he_arrays(shapes, rng):
    """Random (kernel, bias) by layer, one layer at a time, scaled so that activations and logits are of size 1."""
    for depth, (name, (kernel, bias)) in enumerate(shapes.items()):
        scale = np.float32(np.sqrt(2 / np.prod(kernel[:-1])) / (100 if depth == 0 else 1))
        yield (
            name,
            rng.standard_normal(kernel, np.float32) * scale,
            rng.standard_normal(bias, np.float32) * np.float32(0.1),
        )


def write_published_layout(path, layers):
    """Write what Keras publishes: `layer_names`, `weight_names`, `block1_conv1/block1_conv1_W_1:0` and so on.

    Layers without weights are listed too, as there.
    """
    with h5py.File(path, "w") as file:
        names = ["input_1"]
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for name, kernel, bias in layers:
            names.append(name)
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}_W_1:0", f"{name}_b_1:0"], "S")
            group.create_dataset(f"{name}_W_1:0", data=kernel)
            group.create_dataset(f"{name}_b_1:0", data=bias)
        file.attrs["layer_names"] = np.array(names, "S")
    return path


@pytest.fixture(scope="session")
def full_size_file(tmp_path_factory):
    """VGG16's own weight file but for its numbers: 553 MB."""
    path = tmp_path_factory.mktemp("full") / "vgg16.h5"
    yield write_published_layout(path, he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0)))
    path.unlink()


@pytest.fixture(scope="session")
def small_architecture() -> Architecture:
    """VGG16 at 1/16 width with 7 classes."""
    return vgg("vgg16", (2, 2, 3, 3, 3), width=1 / 16, classes=7)


@pytest.fixture(scope="session")
def small_file(tmp_path_factory, small_architecture):
    path = tmp_path_factory.mktemp("small") / "small.h5"
    return write_published_layout(path, he_arrays(small_architecture.parameter_shapes(), np.random.default_rng(1)))


@pytest.fixture
def picture():
    """A batch of one native-size picture, uint8 (1, 224, 224, 3)."""
    return np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3), np.uint8)


@pytest.fixture
def one_at_a_time():
    """Free what the test before and the test itself built: full-size networks are half a gigabyte each."""
    gc.collect()
    yield
    gc.collect()
