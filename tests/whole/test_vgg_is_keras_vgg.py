"""The converted network is the original one, and both are Keras's own VGG."""

import gc

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from writers import he_arrays, write_published_layout

import vggfcn
from vggfcn.networks.catalogue import vgg

# Float32 sums in another order: an error of about sqrt(depth) units in the last place of the largest logit.
TOLERANCE = 2e-5


def published_preprocessing(images):
    """RGB in [0, 255] to what Keras's files want: BGR minus ImageNet's mean, written out."""
    return images[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)


def relative_difference(one, other):
    assert one.shape == other.shape
    return np.abs(one - other).max() / np.abs(other).max()


def logits_of(model, images):
    """Called like this, nothing is traced, which would take longer than the run."""
    return np.asarray(model(images, training=False))


@pytest.fixture(scope="module")
def full_size(full_size_file):
    """Logits of Keras's VGG16 and of the original, and the converted network; one of them at a time is in memory."""
    image = np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3), np.uint8)
    gc.collect()
    oracle = keras.applications.VGG16(weights=str(full_size_file), classifier_activation=None)
    assert oracle.count_params() == 138_357_544
    expected = logits_of(oracle, published_preprocessing(image))
    del oracle
    gc.collect()
    original = vggfcn.build(weights=full_size_file, head="dense")
    assert original.count_params() == 138_357_544
    logits = logits_of(original, image)
    del original
    gc.collect()
    yield image, expected, logits, vggfcn.build(weights=full_size_file, head="conv")
    gc.collect()


def test_full_size_vgg16_is_keras_applications_vgg16(full_size, capsys):
    image, expected, logits, converted = full_size
    assert 0.1 < expected.std() < 10
    assert relative_difference(logits, expected) < TOLERANCE
    scores = logits_of(converted, image)
    assert scores.shape == (1, 1, 1, 1000)
    assert relative_difference(scores[:, 0, 0], expected) < TOLERANCE
    with capsys.disabled():
        print(
            f"\nfull-size VGG16, converted: logits differ by {np.abs(scores[:, 0, 0] - logits).max():.1e} from the "
            f"original's and {np.abs(scores[:, 0, 0] - expected).max():.1e} from keras.applications' "
            f"(largest logit {np.abs(expected).max():.2f})"
        )


def test_full_size_fc1_kernel_holds_the_dense_kernel_in_rows_columns_channels_order(full_size, full_size_file):
    kernel = np.from_dlpack(tf.convert_to_tensor(full_size[-1].get_layer("fc1").kernel.value))
    rng = np.random.default_rng(0)
    with h5py.File(full_size_file) as file:
        dense = file["fc1/fc1_W_1:0"]
        for row, column, channel, unit in rng.integers(0, (7, 7, 512, 4096), (1000, 4)):
            assert kernel[row, column, channel, unit] == dense[(row * 7 + column) * 512 + channel, unit]


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_small_networks_of_both_depths(tmp_path, image, name, activation):
    convolutions = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}[name]
    shapes = vgg(name, convolutions, width=1 / 16, classes=5).parameter_shapes()
    file = write_published_layout(tmp_path / "w.h5", he_arrays(shapes, np.random.default_rng(3)))
    original = vggfcn.build(weights=file, head="dense", activation=activation)
    converted = vggfcn.build(weights=file, head="conv", activation=activation)
    expected = logits_of(original, image)
    assert relative_difference(logits_of(converted, image)[:, 0, 0], expected) < TOLERANCE
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in converted.layers) == int(name[3:])


def test_one_changed_kernel_element_is_seen(small_file, image):
    original = logits_of(vggfcn.build(weights=small_file, head="dense"), image)
    converted = vggfcn.build(weights=small_file, head="conv")
    layer = converted.get_layer("fc1")
    kernel = layer.kernel.numpy()
    kernel[3, 4, 5, :] += 0.5
    layer.kernel.assign(kernel)
    assert relative_difference(logits_of(converted, image)[:, 0, 0], original) > 100 * TOLERANCE


def test_a_padded_networks_map_is_not_its_crops(capsys):
    """Only the native size is exact: inside a larger image cells see real pixels where a crop is padded with zeros."""
    model = vggfcn.build(weights="scene-digits")
    image = sample_scene()
    scores = logits_of(model, image[None])[0]
    places = [(row, column) for row in range(0, scores.shape[0], 4) for column in range(0, scores.shape[1], 4)]
    crops = np.stack([image[32 * row : 32 * row + 224, 32 * column : 32 * column + 224] for row, column in places])
    alone = np.concatenate([logits_of(model, part)[:, 0, 0] for part in np.array_split(crops, 7)])
    dense = np.stack([scores[place] for place in places])
    difference = np.abs(dense - alone)
    same = (dense.argmax(1) == alone.argmax(1)).mean()
    with capsys.disabled():
        print(
            f"\nmap against {len(places)} crops, scene-digits: logits differ by {difference.mean():.2f} on average, "
            f"{difference.max():.2f} at most (largest logit {np.abs(alone).max():.1f}); same class in {same:.1%}"
        )
    assert difference.max() > 100 * TOLERANCE * np.abs(alone).max()
    assert same > 0.9


def sample_scene():
    from vggfcn.images.reading import read_image
    from vggfcn.networks.registry import EMBEDDED_FOLDER

    return read_image(EMBEDDED_FOLDER / "scenes" / "rocket.jpg")


def test_feeds_other_layers_and_stays_frozen(small_file):
    base = vggfcn.build(weights=small_file)
    base.trainable = False
    before = [value.copy() for value in base.get_weights()]
    inputs = keras.Input((256, 288, 3))
    pooled = keras.layers.GlobalMaxPooling2D()(base(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    assert len(model.trainable_variables) == 2
    model.compile("sgd", "mse")
    images = np.random.default_rng(0).integers(0, 256, (4, 256, 288, 3), np.uint8)
    model.fit(dataset(images, np.ones((4, 2), np.float32)), shuffle=False, verbose=0)
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_trains_when_not_frozen(small_file, image):
    model = vggfcn.build(weights=small_file, head="dense", classes=3)
    assert model.output_shape == (None, 3)
    before = model.get_layer("fc1").kernel.numpy().copy()
    model.compile(keras.optimizers.SGD(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(dataset(image, np.array([1])), shuffle=False, verbose=0)
    assert not np.array_equal(model.get_layer("fc1").kernel.numpy(), before)


def dataset(images, answers):
    return tf.data.Dataset.from_tensor_slices((images, answers)).batch(2)
