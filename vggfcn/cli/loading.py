"""How commands load weights: choose, download and open them, with progress on stderr."""

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vggfcn.checkpoints.formats.keras_files import is_model_file
from vggfcn.cli.console import Reporter
from vggfcn.cli.options import Network
from vggfcn.evaluation.classifier import Classifier
from vggfcn.evaluation.loading import AUTO, choose, load
from vggfcn.loading import silenced
from vggfcn.networks import registry

if TYPE_CHECKING:
    from vggfcn.engines.engine import Engine


def load_classifier(
    reporter: Reporter,
    network: Network,
    images: Sequence[str | os.PathLike[str]] = (),
    *,
    needs_input: bool = True,
) -> tuple[Classifier, str]:
    """The classifier that a command's options name, and the reason why these weights were chosen.

    `images` are those that it will see. Without `needs_input`, it need not be known how they are prepared. Downloads
    known weights that are not on disk; loads TensorFlow for a Keras model only. Raises what `choose`, `fetch` and
    `load` raise.
    """
    name, reason = choose(network.weights, images)
    options = network.own
    if not needs_input and network.preprocess == AUTO:
        options["preprocess"] = None
    path = pathlib.Path(name)
    if name in registry.REGISTRY or not (network.architecture or path.is_dir() or is_model_file(path)):
        fetch_weights(reporter, name)
        with reporter.status("opening the weights"):
            return load(name, **options), reason
    with reporter.loading_tensorflow() as status:
        status("converting the network, and proving that it is the same")
        with silenced():
            return load(name, **options), reason


def fetch_weights(reporter: Reporter, name: str) -> pathlib.Path:
    """The path of weights; known weights that are not on disk are downloaded, with a progress bar."""
    entry = registry.REGISTRY.get(name)
    if entry is None or entry.url is None or entry.find():
        return registry.fetch(name)
    with reporter.download(f"downloading {entry.file}") as progress:
        return registry.fetch(name, progress)


def report_classifier(reporter: Reporter, classifier: Classifier, reason: str) -> None:
    """Report which network is used, why, what its input must be, and what its output means."""
    reporter.report(f"weights   {classifier.source} ({reason})")
    reporter.report(f"input     {input_text(classifier)}")
    reporter.report(f"output    {output_text(classifier)}")
    for note in classifier.notes:
        reporter.report(f"note      {note}")


def input_text(classifier: Classifier) -> str:
    """What is done to pixels, and how that is known."""
    height, width = classifier.native_size
    kind = {1: "grey ", 3: "RGB "}.get(classifier.channels, "")
    if classifier.preprocessing is None:
        return f"{kind}{width} x {height} ({classifier.input_reason})"
    done = "" if classifier.preprocessing.is_identity else f", prepared as {classifier.preprocessing}"
    return f"{kind}{width} x {height}, pixels from 0 to 255{done} ({classifier.input_reason})"


def output_text(classifier: Classifier) -> str:
    """What the output means, and how that is known."""
    meanings = {
        "softmax": "probabilities that add up to 1",
        "sigmoid": "an independent probability for each class, by sigmoids; of a group, the largest",
        "none": "values that are no probabilities",
    }
    number = f"{classifier.classes} class{'es' * (classifier.classes != 1)}"
    return f"{number}: {meanings[classifier.activation]} ({classifier.output_reason})"


def classifier_json(classifier: Classifier) -> dict[str, Any]:
    """The same facts for JSON reports."""
    how = classifier.preprocessing
    return {
        "weights": classifier.source,
        "preprocessing": {"how": how and str(how), "reason": classifier.input_reason},
        "activation": {"how": classifier.activation, "reason": classifier.output_reason},
        "notes": list(classifier.notes),
    }


def engine_text(engine: "Engine") -> str:
    """The engine, and if it is a second choice why."""
    return f"{engine.name}{engine.note and f' ({engine.note})'}"
