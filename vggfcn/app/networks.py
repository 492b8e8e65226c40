"""The networks behind the page: built once, shared by all sessions, used by one at a time."""

import collections
import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vggfcn.evaluation.classifier import Classifier
from vggfcn.evaluation.loading import load
from vggfcn.loading import load_tensorflow
from vggfcn.progress import Status

if TYPE_CHECKING:
    from vggfcn.evaluation.demo import Agreement
    from vggfcn.evaluation.localization import Localization

KEPT = 2  # weights whose networks stay in memory
POLL_SECONDS = 0.25  # between two reports to a session that waits
WAITING = "waiting for another image"


@dataclasses.dataclass
class Pair:
    """The original and the converted network of one weight file, and the converted one at finer output strides."""

    classifier: Classifier
    original: Any
    converted: Any
    finer: dict[int, Any] = dataclasses.field(default_factory=dict)

    def at_stride(self, output_stride: int | None) -> Any:
        """The converted network with this output stride in pixels, built once; None stands for the network's own."""
        from vggfcn.conversion.output_stride import with_output_stride

        if output_stride is None:
            return self.converted
        if output_stride not in self.finer:
            self.finer[output_stride] = with_output_stride(self.converted, output_stride)
        return self.finer[output_stride]

    def agreement(self, image: np.ndarray) -> "Agreement | None":
        """Compare the two networks' logits on the centre of an image, RGB uint8 (height, width, 3).

        None if there is no original.
        """
        from vggfcn.evaluation.demo import agreement, middle, run

        crop = middle(self.classifier, image)
        if self.original is None:
            return None
        return agreement(self.classifier, run(self.original, crop), run(self.converted, crop))

    def warm_up(self) -> None:
        """Run everything once on a black image, because first runs take longer."""
        black = np.zeros((*self.classifier.native_size, 3), np.uint8)
        self.agreement(black)
        self.localize(black, max(self.classifier.native_size), None)

    def localize(self, image: np.ndarray, max_side: int, output_stride: int | None, **passes: Any) -> "Localization":
        """The image's map and its most probable class.

        image: RGB uint8 (height, width, 3).
        max_side: the image is shrunk until its longer side has at most this many pixels.
        output_stride: as for `at_stride`.
        passes: `score_map`'s scales, sizes, flip and average.
        """
        from vggfcn.evaluation.localization import localize

        return localize(self.classifier, self.at_stride(output_stride), image, None, max_side, **passes)


class Networks:
    """Pairs of networks by the name of their weights. The first use loads TensorFlow.

    `own` are classifiers that are loaded already, by their names. The pairs used last stay in memory, at most `KEPT`.
    `activity` describes what is being done, "" when nothing is.
    """

    def __init__(self, own: Mapping[str, Classifier] | None = None) -> None:
        self.own = dict(own or {})
        self.activity = ""
        self._lock = threading.Lock()
        self._pairs: collections.OrderedDict[str, Pair] = collections.OrderedDict()

    @contextlib.contextmanager
    def use(self, weights: str, status: Status = lambda text: None) -> Iterator[Pair]:
        """The pair of these weights, for one user at a time.

        `status` is called with what is being done, or with what others are doing while this one waits. Raises what
        `classifier.load` raises if the weights cannot be used.
        """
        while not self._lock.acquire(timeout=POLL_SECONDS):
            status(self.activity or WAITING)
        try:
            yield self._pair(weights, status)
        finally:
            self.activity = ""
            self._lock.release()

    def classifier(self, weights: str) -> Classifier:
        """The classifier of this name; raises what `load` raises."""
        return self.own.get(weights) or load(weights)

    def _pair(self, weights: str, status: Status) -> Pair:
        if weights not in self._pairs:
            classifier = self.classifier(weights)
            self._begin("loading TensorFlow", status)
            load_tensorflow()
            self._begin(f"building the two networks of {weights}", status)
            while len(self._pairs) >= KEPT:
                self._pairs.popitem(last=False)
            original = classifier.build("dense") if classifier.has_original else None
            self._pairs[weights] = Pair(classifier, original, classifier.build("conv"))
        self._pairs.move_to_end(weights)
        self.activity = WAITING
        return self._pairs[weights]

    def _begin(self, activity: str, status: Status) -> None:
        self.activity = activity
        status(activity)
