"""What the page does, without the page: each visitor's picture and map, and how much of both is kept."""

import collections
import dataclasses
import pathlib
import shutil
import tempfile
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from vggfcn import images
from vggfcn.app_choices import first_weights
from vggfcn.app_networks import Networks
from vggfcn.classifier import Classifier, load
from vggfcn.errors import ImageError, MemoryLimitError, VGGFCNError
from vggfcn.progress import Status

if TYPE_CHECKING:
    from vggfcn.demonstration import Agreement
    from vggfcn.finding import Finding, Look

MAX_UPLOAD = 32 * 2**20  # bytes of a file
MAX_SIDE = 1280  # pixels; larger pictures are shrunk, as everywhere
MAX_PIXELS = 4_000_000  # of a picture at the largest scale
MAX_MAP = 128 * 2**20  # bytes of one map
MAX_KEPT = 512 * 2**20  # bytes of all maps and pictures in memory
MAX_VISITORS = 64  # whose pictures are on the disk


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a map depends on beside the picture: all else is drawn from the map."""

    weights: str
    output_stride: int | None = None
    scales: tuple[float, ...] = (1.0,)


@dataclasses.dataclass(frozen=True)
class Result:
    """A picture's map asked for a class, the class's probability all over the picture, and one of the map's cells."""

    settings: Settings
    classifier: Classifier
    agreement: "Agreement"
    finding: "Finding"
    values: np.ndarray
    look: "Look"
    clicked: bool
    seconds: float

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return self.finding.scores.logits.nbytes + self.finding.picture.nbytes + self.values.nbytes

    def about(self, wanted: str) -> "Result":
        """The same map asked for a class or group, "" for the clearest; raises `LabelError` for an unknown one."""
        labels = self.classifier.labels
        group = labels.find(wanted) if wanted else labels.single(self.finding.scores.best(labels.background))
        if group == self.finding.group:
            return self
        finding = self.finding.about(group)
        # A cell that was clicked on stays the one looked at.
        x, y = (sum(ends) / 2 for ends in (self.look.window[::2], self.look.window[1::2]))
        look = finding.look(x, y) if self.clicked else finding.best_look()
        return dataclasses.replace(self, finding=finding, values=finding.heatmap(), look=look)

    def clicked_at(self, x: float, y: float) -> "Result":
        """The same, looked at where a pixel of the picture is."""
        return dataclasses.replace(self, look=self.finding.look(x, y), clicked=True)


@dataclasses.dataclass
class _Visitor:
    picture: pathlib.Path
    result: Result | None = None
    busy: bool = False  # being evaluated


class Work:
    """Pictures of several visitors, each known by a text of the page's, their maps, and the networks they share.

    Files are in `folder`. Of the maps those used last are kept, up to `MAX_KEPT` bytes, and of the pictures those of
    the last `MAX_VISITORS` visitors.
    """

    def __init__(self, folder: pathlib.Path):
        self.networks = Networks()
        self.ready = False
        self._folder = folder
        self._lock = threading.RLock()
        self._visitors: collections.OrderedDict[str, _Visitor] = collections.OrderedDict()

    def prepare(self) -> None:
        """Load TensorFlow and the networks that are shown first, so that the first picture need not wait for them."""
        try:
            with self.networks.use(first_weights()) as pair:
                self.networks.doing = "running the networks for the first time"
                pair.warm_up()
        except (VGGFCNError, OSError):
            pass  # Weights that cannot be used are refused, with the reason, when a picture asks for them.
        finally:
            self.ready = True

    def take(self, visitor: str, path: str | pathlib.Path) -> None:
        """Take over a copy of a visitor's picture; nothing is read yet."""
        self.forget(visitor)
        picture = pathlib.Path(tempfile.mkdtemp(dir=self._folder)) / pathlib.Path(path).name
        shutil.copyfile(path, picture)
        with self._lock:
            self._visitors[visitor] = _Visitor(picture)
            while len(self._visitors) > MAX_VISITORS:
                self.forget(next(iter(self._visitors)))

    def forget(self, visitor: str) -> None:
        """Delete what there is of a visitor."""
        with self._lock:
            gone = self._visitors.pop(visitor, None)
        if gone:
            shutil.rmtree(gone.picture.parent, ignore_errors=True)

    def has_picture(self, visitor: str) -> bool:
        """Whether there is a picture of this visitor."""
        with self._lock:
            return visitor in self._visitors

    def is_busy(self, visitor: str) -> bool:
        """Whether a picture of this visitor is being evaluated."""
        with self._lock:
            return visitor in self._visitors and self._visitors[visitor].busy

    def has_map(self, visitor: str) -> bool:
        """Whether there is a map of this visitor's picture."""
        with self._lock:
            return visitor in self._visitors and self._visitors[visitor].result is not None

    def ask(self, visitor: str, wanted: str) -> Result:
        """The visitor's last map asked for a class or group; nothing is evaluated.

        Raises `LabelError` for an unknown class, `ImageError` if there is no map.
        """
        mine, result = self._last(visitor)
        return self._keep(mine, result.about(wanted))

    def click(self, visitor: str, x: float, y: float) -> Result:
        """The visitor's last result, looked at where a pixel of the evaluated picture is; errors as in `ask`."""
        mine, result = self._last(visitor)
        return self._keep(mine, result.clicked_at(x, y))

    def last(self, visitor: str) -> Result:
        """The visitor's last result; raises `ImageError` if there is none."""
        return self._last(visitor)[1]

    def evaluate(self, visitor: str, settings: Settings, wanted: str, tell: Status = lambda text: None) -> Result:
        """Compare the two networks on a visitor's picture, compute its map and ask it for a class, "" for the clearest.

        `tell` is told what is being done. Raises `VGGFCNError` for a picture or a class that is none, for weights that
        cannot be used and for a map that would take too much, and `ValueError` for scales that the picture is too small
        for. What there was before is gone then.
        """
        mine = self._visitor(visitor)
        mine.result, mine.busy = None, True
        try:
            return self._keep(mine, self._evaluate(mine.picture, settings, wanted, tell))
        finally:
            mine.busy = False

    def _evaluate(self, path: pathlib.Path, settings: Settings, wanted: str, tell: Status) -> Result:
        tell("reading the picture")
        picture = _read(path)
        classifier = load(settings.weights)
        if wanted:
            classifier.labels.find(wanted)
        with self.networks.use(settings.weights, tell) as pair:
            _check(classifier, picture, settings)
            start = time.perf_counter()
            tell("comparing the original with the converted network")
            agreement = pair.agreement(picture)
            tell("computing the map")
            stride, scales = settings.output_stride, settings.scales
            finding = pair.find(picture, MAX_SIDE, stride, **({} if scales == (1.0,) else {"scales": scales}))
            seconds = time.perf_counter() - start
        tell("drawing")
        result = Result(
            settings, classifier, agreement, finding, finding.heatmap(), finding.best_look(), False, seconds
        )
        return result.about(wanted)

    def _visitor(self, visitor: str) -> _Visitor:
        with self._lock:
            if visitor not in self._visitors:
                raise ImageError("there is no picture here any more; drop it again")
            self._visitors.move_to_end(visitor)
            return self._visitors[visitor]

    def _last(self, visitor: str) -> tuple[_Visitor, Result]:
        mine = self._visitor(visitor)
        if mine.result is None:
            raise ImageError("the map is not here any more; compute it again")
        return mine, mine.result

    def _keep(self, mine: _Visitor, result: Result) -> Result:
        """Keep a visitor's result, and let those that were used longest ago make room for it."""
        with self._lock:
            mine.result = result
            others = [other for other in self._visitors.values() if other.result and other is not mine]
            room = MAX_KEPT - result.size - sum(other.result.size for other in others if other.result)
            for other in others:
                if room < 0 and other.result:
                    room += other.result.size
                    other.result = None
        return result


def _read(path: pathlib.Path) -> np.ndarray:
    """The picture; errors name it as its owner knows it."""
    try:
        return images.read_image(path)
    except ImageError as error:
        raise ImageError(str(error).replace(f"{path.parent}/", "")) from None


def _check(classifier: Classifier, picture: np.ndarray, settings: Settings) -> None:
    from vggfcn.finding import demand

    needed = demand(classifier, picture.shape[:2], MAX_SIDE, settings.output_stride, settings.scales)
    if needed.pixels > MAX_PIXELS:
        raise MemoryLimitError(
            f"the picture would be evaluated at {needed.pixels:,} pixels, and {MAX_PIXELS:,} are the most here; "
            "cut out a part of it, or choose a smaller scale"
        )
    if needed.bytes > MAX_MAP:
        raise MemoryLimitError(
            f"the map would take {needed.bytes / 2**20:.0f} MiB, and {MAX_MAP / 2**20:.0f} are the most here; "
            "choose a larger output stride or a smaller scale"
        )
