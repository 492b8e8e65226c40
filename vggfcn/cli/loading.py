"""What most commands begin with: weights chosen, fetched and looked into, with a word on what takes long."""

import pathlib
from typing import TYPE_CHECKING

from rich.markup import escape

from vggfcn.cli.console import Reporter
from vggfcn.networks import registry
from vggfcn.networks.classifier import Classifier, choose, load

if TYPE_CHECKING:
    from vggfcn.engines.engine import Engine


def classifier_of(
    reporter: Reporter, weights: str, labels: pathlib.Path | None = None, groups: pathlib.Path | None = None
) -> tuple[Classifier, str]:
    """The classifier that `--weights`, `--labels` and `--groups` name, and why it is that one."""
    name, reason = choose(weights)
    fetched(reporter, name)
    with reporter.status("looking into the weights"):
        return load(name, labels, groups), reason


def fetched(reporter: Reporter, name: str) -> pathlib.Path:
    """Where the weights lie; they are downloaded, and that is shown, if they are known and not on disk."""
    entry = registry.REGISTRY.get(name)
    if entry is None or entry.url is None or entry.find():
        return registry.fetch(name)
    with reporter.download(f"downloading {entry.file}") as tick:
        return registry.fetch(name, tick)


def described(classifier: Classifier, reason: str) -> str:
    """The weights, for the report."""
    return f"{escape(classifier.weights)} ({escape(reason)})"


def running(engine: "Engine") -> str:
    """What runs the network, and why it is not what `auto` would rather have, for the report."""
    return f"{engine.name}{engine.note and f' ({escape(engine.note)})'}"
