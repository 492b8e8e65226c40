"""What a rewriting did and what it refuses, worded in one place."""

import collections
import pathlib

from vggfcn.errors import WeightsError, shown

Config = dict[str, object]


class Rewriting:
    """The rewriting of one configuration: the file, the version that wrote it, and what has been changed so far.

    `version` is Keras's, such as (2, 15); () if the file does not state it.
    """

    def __init__(self, path: pathlib.Path, version: tuple[int, ...] = ()):
        self.path, self.version = path, version
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()

    @property
    def before_keras_3(self) -> bool:
        """Whether Keras 1 or 2 wrote the file; a file that does not say so is taken for theirs."""
        return self.version < (3,)

    def note(self, kind: str, change: str) -> None:
        """Count a change to one layer of this kind."""
        self._counts[kind, change] += 1

    def notes(self) -> tuple[str, ...]:
        """One sentence for each kind of change, such as "rewrote 17 DepthwiseConv2D layers: dropped groups=1"."""
        return tuple(
            f"rewrote {count} {kind} {'layer' if count == 1 else 'layers'}: {change}"
            for (kind, change), count in self._counts.items()
        )

    def refusal(self, layer: object, kind: str, reason: str, hint: str) -> WeightsError:
        """The error for a layer that cannot be loaded with the same results."""
        return WeightsError(f"{self.path}: {short(layer)} ({short(kind)}): {reason}; {hint}")

    def malformed(self, problem: str) -> WeightsError:
        """The error for a configuration that is not a model's."""
        return WeightsError(f"{self.path}: the model's configuration {problem}; save the model again")


LOAD_YOURSELF = "load it yourself with custom_objects=... and give the model to vggfcn in Python"
IN_KERAS_2 = "load it in the Keras that wrote it, and rebuild that layer from layers that Keras 3 has"


def short(text: object) -> str:
    """A text from a file, cut to a length that a message can hold; for anything else, what `shown` says of it."""
    return text[:80] if isinstance(text, str) else shown(text)
