"""The converted network is the original one, and both are Keras's own VGG."""

import gc

import h5py
import keras
import numpy as np
import pytest
from writers import he_arrays, write_published_layout

import vggfcn
from vggfcn.networks.catalogue import ARCHITECTURES, vgg

# Float32 sums in another order: an error of about sqrt(depth) units in the last place of the largest logit.
TOLERANCE = 2e-5


def published_preprocessing(images):
    """RGB in [0, 255] to what Keras's files want: BGR minus ImageNet's mean, written out."""
    return images[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)


def relative_difference(one, other):
    assert one.shape == other.shape
    return np.abs(one - other).max() / np.abs(other).max()


def test_full_size_vgg16_is_keras_applications_vgg16(full_size_file, image, one_at_a_time, capsys):
    oracle = keras.applications.VGG16(weights=str(full_size_file), classifier_activation=None)
    expected = oracle.predict(published_preprocessing(image), verbose=0)
    assert oracle.count_params() == 138_357_544
    del oracle
    gc.collect()
    assert 0.1 < expected.std() < 10
    original = vggfcn.build(weights=full_size_file, head="dense")
    assert original.count_params() == 138_357_544
    logits = original.predict(image, verbose=0)
    assert relative_difference(logits, expected) < TOLERANCE
    del original
    gc.collect()
    converted = vggfcn.build(weights=full_size_file, head="conv")
    scores = converted.predict(image, verbose=0)
    assert scores.shape == (1, 1, 1, 1000)
    assert relative_difference(scores[:, 0, 0], expected) < TOLERANCE
    with capsys.disabled():
        print(
            f"\nfull-size VGG16, converted: logits differ by {np.abs(scores[:, 0, 0] - logits).max():.1e} from the "
            f"original's and {np.abs(scores[:, 0, 0] - expected).max():.1e} from keras.applications' "
            f"(largest logit {np.abs(expected).max():.2f})"
        )


def test_full_size_fc1_kernel_holds_the_dense_kernel_in_rows_columns_channels_order(full_size_file, one_at_a_time):
    model = vggfcn.build(weights=full_size_file)
    kernel = model.get_layer("fc1").kernel.numpy()
    with h5py.File(full_size_file) as file:
        dense = file["fc1/fc1_W_1:0"][:]
    rng = np.random.default_rng(0)
    for row, column, channel, unit in rng.integers(0, (7, 7, 512, 4096), (1000, 4)):
        assert kernel[row, column, channel, unit] == dense[(row * 7 + column) * 512 + channel, unit]


def test_every_kernel_element_of_a_small_network(small_file):
    model = vggfcn.build(weights=small_file)
    with h5py.File(small_file) as file:
        for layer in model.layers:
            if not isinstance(layer, keras.layers.Conv2D):
                continue
            stored = file[f"{layer.name}/{layer.name}_W_1:0"][:]
            if layer.name == "block1_conv1":
                stored = stored[:, :, ::-1]  # the file is for BGR, the model for RGB
            rows, columns, channels, units = layer.kernel.shape
            expected = np.empty(layer.kernel.shape, np.float32)
            flat = stored.reshape(-1, units)
            for position in range(rows * columns * channels):
                row, column, channel = np.unravel_index(position, (rows, columns, channels))
                expected[row, column, channel] = flat[position]
            np.testing.assert_array_equal(layer.kernel.numpy(), expected)
            np.testing.assert_array_equal(layer.bias.numpy(), file[f"{layer.name}/{layer.name}_b_1:0"][:])


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_small_networks_of_both_depths(tmp_path, image, name, activation):
    convolutions = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}[name]
    shapes = vgg(name, convolutions, width=1 / 16, classes=5).parameter_shapes()
    file = write_published_layout(tmp_path / "w.h5", he_arrays(shapes, np.random.default_rng(3)))
    original = vggfcn.build(weights=file, head="dense", activation=activation)
    converted = vggfcn.build(weights=file, head="conv", activation=activation)
    expected = original.predict(image, verbose=0)
    assert relative_difference(converted.predict(image, verbose=0)[:, 0, 0], expected) < TOLERANCE
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in converted.layers) == int(name[3:])


def test_one_changed_kernel_element_is_seen(small_file, image):
    original = vggfcn.build(weights=small_file, head="dense").predict(image, verbose=0)
    converted = vggfcn.build(weights=small_file, head="conv")
    layer = converted.get_layer("fc1")
    kernel = layer.kernel.numpy()
    kernel[3, 4, 5, :] += 0.5
    layer.kernel.assign(kernel)
    assert relative_difference(converted.predict(image, verbose=0)[:, 0, 0], original) > 100 * TOLERANCE


def test_a_padded_networks_map_is_not_its_crops(capsys):
    """Only the native size is exact: inside a larger image cells see real pixels where a crop is padded with zeros."""
    model = vggfcn.build(weights="scene-digits")
    image = sample_scene()
    scores = model.predict(image[None], verbose=0)[0]
    places = [(row, column) for row in range(0, scores.shape[0], 4) for column in range(0, scores.shape[1], 4)]
    crops = np.stack([image[32 * row : 32 * row + 224, 32 * column : 32 * column + 224] for row, column in places])
    alone = model.predict(crops, batch_size=8, verbose=0)[:, 0, 0]
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


@pytest.mark.parametrize("head", ["conv", "dense"])
def test_saves_and_loads_with_stock_layers_alone(tmp_path, small_file, image, head):
    model = vggfcn.build(weights=small_file, head=head)
    model.save(tmp_path / "x.keras")
    assert (tmp_path / "x.keras").stat().st_size < 1.5 * small_file.stat().st_size
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict(image, verbose=0), model.predict(image, verbose=0))
    assert {type(layer).__module__.split(".")[0] for layer in again.layers} == {"keras"}


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
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((images, answers)).batch(2)


def test_other_classes_give_a_new_last_layer_and_keep_the_rest(small_file):
    model = vggfcn.build(weights=small_file, classes=3)
    with h5py.File(small_file) as file:
        np.testing.assert_array_equal(model.get_layer("fc2").kernel.numpy()[0, 0], file["fc2/fc2_W_1:0"][:])
    assert model.output_shape == (None, None, None, 3)
    assert model.get_layer("predictions").kernel.numpy().std() > 0


def test_without_preprocessing_the_input_is_the_checkpoints(small_file, image):
    with_it = vggfcn.build(weights=small_file, head="dense").predict(image, verbose=0)
    without = vggfcn.build(weights=small_file, head="dense", preprocess=False)
    rgb = published_preprocessing(image)[..., ::-1]
    assert relative_difference(without.predict(rgb, verbose=0), with_it) < TOLERANCE


def test_random_weights_and_the_trunk_alone(small_architecture):
    assert vggfcn.build(small_architecture, weights=None, head=None).output_shape == (None, None, None, 32)
    model = vggfcn.build(small_architecture, weights=None, head="dense")
    assert model.get_layer("fc1").kernel.numpy().std() > 0


def test_architectures_have_the_published_number_of_parameters():
    for name, count in {"vgg16": 138_357_544, "vgg19": 143_667_240}.items():
        shapes = ARCHITECTURES[name].parameter_shapes().values()
        assert sum(np.prod(kernel) + np.prod(bias) for kernel, bias in shapes) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "fcn"}, 'head: expected "conv", "dense" or None, got \'fcn\''),
        ({"architecture": "resnet50"}, "architecture: expected one of vgg16, .*efficientnet-lite0, got 'resnet50'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        vggfcn.build(**{"weights": None, **arguments})
