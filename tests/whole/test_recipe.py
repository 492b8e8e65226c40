"""The training recipe: its answers are right, its images repeat, and folding changes nothing."""

import gzip
import pathlib

import held_out
import mnist_files
import numpy as np
import pytest
import scene_digits
import scenes
from PIL import Image

import vggfcn


@pytest.fixture(scope="module")
def sources():
    """Stand-ins for MNIST and photographs: digit d is a 20x20 block of grey 155 + 10 d in the middle."""
    digits = np.zeros((10, 28, 28), np.uint8)
    for label in range(10):
        digits[label, 4:24, 4:24] = 155 + 10 * label
    photograph = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    return scenes.Sources(digits, np.arange(10), (Image.fromarray(photograph),))


def test_the_same_number_gives_the_same_batch(sources):
    _, fields = scene_digits.normalised_model()
    for index in (0, 1):
        one, other = (scene_digits.Batches(sources, fields, 2, start)[at] for start, at in ((0, index), (index, 0)))
        for first, second in zip(one, other, strict=True):
            for a, b in zip(first, second, strict=True):
                np.testing.assert_array_equal(a, b)


def test_answers_have_the_shape_of_the_models_maps(sources):
    model, fields = scene_digits.normalised_model()
    for index in (0, 1):
        images, answers, weights = scene_digits.Batches(sources, fields, 2, 0)[index]
        outputs = model.predict(images, batch_size=4, verbose=0)
        assert [output.shape[:3] for output in outputs] == [answer.shape for answer in answers]
        assert [weight.shape for weight in weights] == [answer.shape for answer in answers]


def test_a_crops_middle_lies_on_its_first_digit_or_on_none(sources):
    labels = []
    for seed in range(200):
        image, digits = scenes.make_crop(np.random.default_rng(seed), sources)
        labels.append(scenes.label_at(digits, 111.5, 111.5))
        assert image.shape == (224, 224, 3)
        assert image.dtype == np.uint8
    counts = np.bincount(labels, minlength=11)
    assert counts.min() > 5
    assert counts.sum() == 200


def test_an_images_class_is_the_answer_at_each_of_its_scales(sources, monkeypatch):
    drawn, make_crop = [], scenes.make_crop
    monkeypatch.setattr(
        scenes, "make_crop", lambda *args, **options: drawn.append(make_crop(*args, **options)) or drawn[-1]
    )
    labels = []
    for seed in range(80):
        image, label = held_out.make_image(np.random.default_rng(seed), sources)
        _, digits = drawn[-1]
        assert image.shape == (256, 256, 3)
        labels.append(label)
        for size in held_out.SCALES:
            factor = size / 256
            enlarged = [
                scenes.Digit(digit.label, tuple((at + 0.5) * factor - 0.5 for at in digit.center), digit.size * factor)
                for digit in digits
            ]
            assert scenes.label_at(enlarged, (size - 1) / 2, (size - 1) / 2) == label
            if label != scenes.NONE:
                assert scenes.DIGIT_SIZES[0] <= enlarged[0].size <= scenes.DIGIT_SIZES[1]
    assert np.bincount(labels, minlength=11).min() > 0


def test_digits_lie_where_the_answers_say(sources):
    """On a flat background, changed pixels are digits; they lie in the squares."""
    flat = Image.new("RGB", (640, 480), (128, 128, 128))
    image, digits = scenes.make_scene(
        np.random.default_rng(0), sources, 640, 480, digits=3, margin=112, photograph=flat
    )
    assert len({digit.label for digit in digits}) == 3
    changed = np.argwhere(np.abs(image.astype(int) - 128).max(-1) > 45)
    assert len(changed) > 1000
    assert all(any(digit.contains(x, y, 1.6) for digit in digits) for y, x in changed)
    for digit in digits:
        assert scenes.label_at(digits, *digit.center) == digit.label
        x, y = map(round, digit.center)
        assert np.abs(image[y, x].astype(int) - 128).max() > 45
        assert 112 <= x <= 640 - 112


def test_near_the_edge_of_a_square_nothing_is_asked():
    digits = [scenes.Digit(7, (100, 100), 80)]
    assert scenes.label_at(digits, 100, 125) == 7
    assert scenes.label_at(digits, 100, 139) == scenes.IGNORED
    assert scenes.label_at(digits, 100, 160) == scenes.NONE


def test_mnist_files_packed_and_unpacked(tmp_path):
    images = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    header = bytes([0, 0, 8, 3]) + np.array([2, 28, 28], ">i4").tobytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + np.array([2], ">i4").tobytes() + b"\5\3")
    digits, labels = mnist_files.read("test", tmp_path)
    np.testing.assert_array_equal(digits, images)
    assert labels.tolist() == [5, 3]


def test_folding_the_normalisation_changes_no_logit(tmp_path):
    model, _ = scene_digits.normalised_model()
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_normalisation"):
            layer.set_weights([rng.uniform(0.5, 1.5, value.shape) for value in layer.get_weights()])
    image = rng.integers(0, 256, (1, 256, 288, 3), np.uint8)
    expected = model.predict(image, verbose=0)[0]
    folded = scene_digits.fold(model)
    plain = vggfcn.build(scene_digits.ARCHITECTURE, weights=written(tmp_path, folded))
    for name, parameters in folded.items():
        plain.get_layer(name).set_weights(parameters)  # the file rounds to float16; here all digits count
    found = plain.predict(image, verbose=0)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def written(folder: pathlib.Path, parameters) -> pathlib.Path:
    path = folder / "w.h5"
    scene_digits.write(path, parameters)
    return path


@pytest.mark.slow
def test_training_goes_on_from_its_state(tmp_path, sources, monkeypatch, capsys):
    monkeypatch.setattr(scene_digits, "EPOCH", 1)
    monkeypatch.setattr(scene_digits, "CROPS", 2)
    monkeypatch.setattr(scene_digits, "SCENES", 1)
    monkeypatch.setattr(scene_digits, "SCENE_SIZE", 256)
    part = scene_digits.Part(0, 2, 2, learning_rate=1e-3, warmup=1)
    state = tmp_path / "state.keras"
    model, fields = scene_digits.normalised_model()
    trained = scene_digits.train(model, part, fields, sources, state)
    assert trained.optimizer.iterations.numpy() == 2
    longer = scene_digits.Part(0, 3, 2, learning_rate=1e-3, warmup=1)
    resumed = scene_digits.train(None, longer, fields, sources, state)
    assert resumed.optimizer.iterations.numpy() == 3
    assert "batches 2 to 3" in capsys.readouterr().out
