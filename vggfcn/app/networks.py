"""The networks behind the page: built once, whoever asks, and run by one at a time."""

import collections
import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from vggfcn.loading import load_tensorflow
from vggfcn.networks.classifier import Classifier, load
from vggfcn.progress import Status

if TYPE_CHECKING:
    from vggfcn.evaluation.demo import Agreement
    from vggfcn.evaluation.localization import Localization

KEPT = 2  # weights whose networks stay in memory, those asked for last
PATIENCE = 0.25  # seconds between two looks at what others are doing


@dataclasses.dataclass
class Pair:
    """The two networks of one weight file, and the converted one at the output strides that were asked for."""

    classifier: Classifier
    original: Any
    converted: Any
    finer: dict[int, Any] = dataclasses.field(default_factory=dict)

    def at_stride(self, output_stride: int | None) -> Any:
        """The converted network with its cells so many pixels apart; None leaves them where they are."""
        from vggfcn.conversion.output_stride import with_output_stride

        if output_stride is None:
            return self.converted
        if output_stride not in self.finer:
            self.finer[output_stride] = with_output_stride(self.converted, output_stride)
        return self.finer[output_stride]

    def agreement(self, image: np.ndarray) -> "Agreement":
        """The two networks' logits on the middle of an image, RGB uint8 (height, width, 3)."""
        from vggfcn.evaluation.demo import agreement, middle

        batch = middle(self.classifier, image)[None]
        original = self.original.predict(batch, verbose=0)[0]
        return agreement(self.classifier.labels, original, self.converted.predict(batch, verbose=0)[0, 0, 0])

    def warm_up(self) -> None:
        """Run everything once, on nothing: first runs take longer."""
        side = self.classifier.architecture.native_size
        nothing = np.zeros((side, side, 3), np.uint8)
        self.agreement(nothing)
        self.localize(nothing, side, None)

    def localize(self, image: np.ndarray, max_side: int, output_stride: int | None, **passes: Any) -> "Localization":
        """The map of an image, asked for its clearest class."""
        from vggfcn.evaluation.localization import localize

        return localize(self.classifier, self.at_stride(output_stride), image, None, max_side, **passes)


class Networks:
    """Pairs of networks by the name of their weights; TensorFlow is loaded when the first is asked for.

    `doing` says in words what is being done, "" when nothing is.
    """

    def __init__(self) -> None:
        self.doing = ""
        self._lock = threading.Lock()
        self._pairs: collections.OrderedDict[str, Pair] = collections.OrderedDict()

    @contextlib.contextmanager
    def use(self, weights: str, tell: Status = lambda text: None) -> Iterator[Pair]:
        """The networks of such weights, for one user at a time; `tell` is told what is being waited for.

        Raises what `classifier.load` does if the weights cannot be used.
        """
        while not self._lock.acquire(timeout=PATIENCE):
            tell(self.doing or "waiting for another image")
        try:
            yield self._pair(weights, tell)
        finally:
            self.doing = ""
            self._lock.release()

    def _pair(self, weights: str, tell: Status) -> Pair:
        if weights not in self._pairs:
            classifier = load(weights)
            self._say("loading TensorFlow", tell)
            load_tensorflow()
            self._say(f"building the two networks of {weights}", tell)
            while len(self._pairs) >= KEPT:
                self._pairs.popitem(last=False)
            self._pairs[weights] = Pair(classifier, classifier.build("dense"), classifier.build("conv"))
        self._pairs.move_to_end(weights)
        self.doing = "waiting for another image"
        return self._pairs[weights]

    def _say(self, doing: str, tell: Status) -> None:
        self.doing = doing
        tell(doing)
