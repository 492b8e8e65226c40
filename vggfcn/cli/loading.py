"""How commands load weights: choose, download and open them, with progress on stderr."""

import pathlib
from typing import TYPE_CHECKING

from rich.markup import escape

from vggfcn.cli.console import Reporter
from vggfcn.networks import registry
from vggfcn.networks.classifier import Classifier, choose, load

if TYPE_CHECKING:
    from vggfcn.engines.engine import Engine


def load_classifier(
    reporter: Reporter, weights: str, labels: pathlib.Path | None = None, groups: pathlib.Path | None = None
) -> tuple[Classifier, str]:
    """The classifier for `--weights`, `--labels` and `--groups`, and the reason why these weights were chosen.

    Downloads known weights that are not on disk. Raises what `choose`, `fetch` and `load` raise.
    """
    name, reason = choose(weights)
    fetch_weights(reporter, name)
    with reporter.status("opening the weights"):
        return load(name, labels, groups), reason


def fetch_weights(reporter: Reporter, name: str) -> pathlib.Path:
    """The path of weights; known weights that are not on disk are downloaded, with a progress bar."""
    entry = registry.REGISTRY.get(name)
    if entry is None or entry.url is None or entry.find():
        return registry.fetch(name)
    with reporter.download(f"downloading {entry.file}") as progress:
        return registry.fetch(name, progress)


def weights_text(classifier: Classifier, reason: str) -> str:
    """The weights and why they were chosen, as markup for the report."""
    return f"{escape(classifier.weights)} ({escape(reason)})"


def engine_text(engine: "Engine") -> str:
    """The engine, and if it is a second choice why, as markup for the report."""
    return f"{engine.name}{engine.note and f' ({escape(engine.note)})'}"
