"""Reads weight files in a process of its own: a path and a reader come in JSON, line by line, and what came of it goes.

Started by `fuzz_runner` in an empty folder: FOLDER is the place of all its files, MEMORY what it may have, in bytes.
"""

import json
import os
import pathlib
import resource
import sys
import time
import warnings

import numpy as np
from fuzz_limits import held
from fuzz_values import PLACES

from vggfcn.checkpoints.formats import keras_files, keras_models, keras_rewriting
from vggfcn.errors import VGGFCNError, WeightsError
from vggfcn.networks.weights import read_weights

CLASSIFIER = "classifier"
READY = "ready"
LONGEST = 500  # characters of a message


def weights(path):
    found = read_weights(path)
    for layer in found:
        for array, shape in zip(found[layer], found.shapes[layer], strict=True):
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise AssertionError(f"{layer} has an array {array.dtype} {array.shape}, said to be {shape}")


def model(path):
    """A model's configuration and arrays, without Keras."""
    path = pathlib.Path(path)
    keras_files.is_model_file(path)
    keras_files.read_converted(path)
    stored = keras_models.read(path)
    for array in stored.arrays:
        if array.read().shape != array.shape:
            raise AssertionError(f"{array.name} has the shape {array.read().shape}, said to be {array.shape}")
    if stored.config is not None:
        keras_rewriting.rewrite(path, stored.config, stored.version)


def classifier(path):
    """The network itself, in Keras."""
    import vggfcn

    vggfcn.load(path, preprocess=None)


READERS = {"weights": (weights, WeightsError), "model": (model, WeightsError), CLASSIFIER: (classifier, VGGFCNError)}


def outcome_of(path, reader):
    """("read", ""), ("refused", the message), or what went wrong."""
    read, refusal = READERS[reader]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            read(path)
            outcome, text = "read", ""
        except refusal as error:
            outcome, text = "refused", str(error)
        except BaseException as error:
            return "foreign", f"{type(error).__name__}: {error}"[:300]
    if said:
        return "foreign", f"warns: {said[0].message}"[:300]
    if outcome == "refused" and (problem := _problem(text, path)):
        return "foreign", f"{problem}: {text}"[:900]
    return outcome, text


def _problem(text, path):
    if len(text) > LONGEST:
        return f"says {len(text)} characters"
    return "" if text.isprintable() and text.startswith(path) else "says no line on the file"


def measured(path, reader):
    """An outcome, with seconds and bytes beyond what was held before."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the most so far is what is held now
    before, start = held("VmRSS"), time.perf_counter()
    outcome, text = outcome_of(path, reader)
    memory = max(0, held("VmHWM") - before)
    return {"outcome": outcome, "text": text, "seconds": time.perf_counter() - start, "memory": memory}


def main():
    # What libraries print goes to the standard error stream, which is looked at.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    reader, memory = sys.argv[1], int(sys.argv[2])
    if reader == CLASSIFIER:
        load_keras()
    resource.setrlimit(resource.RLIMIT_AS, (held("VmSize") + memory,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(READY, file=answers, flush=True)
    for line in sys.stdin:
        answer = measured(json.loads(line), reader)
        if any(map(os.path.lexists, PLACES)):
            answer |= {"outcome": "foreign", "text": "ran code of the file"}
        print(json.dumps(answer), file=answers, flush=True)


def load_keras():
    """Load TensorFlow and let it say what it says at first, before words are looked at and memory is limited."""
    import keras

    import vggfcn.networks.builders.build  # noqa: F401

    keras.ops.zeros(1)


if __name__ == "__main__":
    main()
