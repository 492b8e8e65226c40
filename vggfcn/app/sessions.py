"""What the page does, without the page: each visitor's image and map, and how much of both is kept."""

import collections
import dataclasses
import pathlib
import shutil
import tempfile
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from vggfcn.app.choices import first_weights
from vggfcn.app.networks import Networks
from vggfcn.errors import ImageError, MemoryLimitError, VGGFCNError
from vggfcn.images import reading
from vggfcn.networks.classifier import Classifier, load
from vggfcn.progress import Status

if TYPE_CHECKING:
    from vggfcn.evaluation.demo import Agreement
    from vggfcn.evaluation.localization import CellScore, Localization

MAX_UPLOAD = 32 * 2**20  # bytes of a file
MAX_SIDE = 1280  # pixels; larger images are shrunk, as everywhere
MAX_PIXELS = 4_000_000  # of an image at the largest scale
MAX_MAP = 128 * 2**20  # bytes of one map
MAX_KEPT = 512 * 2**20  # bytes of all maps and images in memory
MAX_SESSIONS = 64  # whose images are on the disk


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a map depends on beside the image: all else is drawn from the map."""

    weights: str
    output_stride: int | None = None
    scales: tuple[float, ...] = (1.0,)


@dataclasses.dataclass(frozen=True)
class Result:
    """An image's map asked for a class, the class's probability all over the image, and one of the map's cells."""

    settings: Settings
    classifier: Classifier
    agreement: "Agreement"
    localization: "Localization"
    values: np.ndarray
    cell_score: "CellScore"
    clicked: bool
    seconds: float

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return self.localization.scores.logits.nbytes + self.localization.image.nbytes + self.values.nbytes

    def about(self, wanted: str) -> "Result":
        """The same map asked for a class or group, "" for the clearest; raises `LabelError` for an unknown one."""
        labels = self.classifier.labels
        group = labels.find(wanted) if wanted else labels.single(self.localization.scores.best(labels.background))
        if group == self.localization.group:
            return self
        localization = self.localization.about(group)
        # A cell that was clicked on stays the one looked at.
        x, y = (sum(ends) / 2 for ends in (self.cell_score.window[::2], self.cell_score.window[1::2]))
        cell_score = localization.cell_score(x, y) if self.clicked else localization.best_cell_score()
        values = localization.heatmap()
        return dataclasses.replace(self, localization=localization, values=values, cell_score=cell_score)

    def clicked_at(self, x: float, y: float) -> "Result":
        """The same, looked at where a pixel of the image is."""
        return dataclasses.replace(self, cell_score=self.localization.cell_score(x, y), clicked=True)


@dataclasses.dataclass
class _Session:
    image: pathlib.Path
    result: Result | None = None
    busy: bool = False  # being evaluated


class Sessions:
    """Images of several visitors, each known by its session's name, their maps, and the networks they share.

    Files are in `folder`. Of the maps those used last are kept, up to `MAX_KEPT` bytes, and of the images those of
    the last `MAX_SESSIONS` visitors.
    """

    def __init__(self, folder: pathlib.Path):
        self.networks = Networks()
        self.ready = False
        self._folder = folder
        self._lock = threading.RLock()
        self._sessions: collections.OrderedDict[str, _Session] = collections.OrderedDict()

    def prepare(self) -> None:
        """Load TensorFlow and the networks that are shown first, so that the first image need not wait for them."""
        try:
            with self.networks.use(first_weights()) as pair:
                self.networks.doing = "running the networks for the first time"
                pair.warm_up()
        except (VGGFCNError, OSError):
            pass  # Weights that cannot be used are refused, with the reason, when an image asks for them.
        finally:
            self.ready = True

    def take(self, session: str, path: str | pathlib.Path) -> None:
        """Take over a copy of a visitor's image; nothing is read yet."""
        self.forget(session)
        image = pathlib.Path(tempfile.mkdtemp(dir=self._folder)) / pathlib.Path(path).name
        shutil.copyfile(path, image)
        with self._lock:
            self._sessions[session] = _Session(image)
            while len(self._sessions) > MAX_SESSIONS:
                self.forget(next(iter(self._sessions)))

    def forget(self, session: str) -> None:
        """Delete what there is of a visitor."""
        with self._lock:
            gone = self._sessions.pop(session, None)
        if gone:
            shutil.rmtree(gone.image.parent, ignore_errors=True)

    def has_image(self, session: str) -> bool:
        """Whether there is an image of this visitor."""
        with self._lock:
            return session in self._sessions

    def is_busy(self, session: str) -> bool:
        """Whether an image of this visitor is being evaluated."""
        with self._lock:
            return session in self._sessions and self._sessions[session].busy

    def has_map(self, session: str) -> bool:
        """Whether there is a map of this visitor's image."""
        with self._lock:
            return session in self._sessions and self._sessions[session].result is not None

    def ask(self, session: str, wanted: str) -> Result:
        """The visitor's last map asked for a class or group; nothing is evaluated.

        Raises `LabelError` for an unknown class, `ImageError` if there is no map.
        """
        mine, result = self._last(session)
        return self._keep(mine, result.about(wanted))

    def click(self, session: str, x: float, y: float) -> Result:
        """The visitor's last result, looked at where a pixel of the evaluated image is; errors as in `ask`."""
        mine, result = self._last(session)
        return self._keep(mine, result.clicked_at(x, y))

    def last(self, session: str) -> Result:
        """The visitor's last result; raises `ImageError` if there is none."""
        return self._last(session)[1]

    def evaluate(self, session: str, settings: Settings, wanted: str, tell: Status = lambda text: None) -> Result:
        """Compare the two networks on a visitor's image, compute its map and ask it for a class, "" for the clearest.

        `tell` is told what is being done. Raises `VGGFCNError` for an image or a class that is none, for weights that
        cannot be used and for a map that would take too much, and `ValueError` for scales that the image is too small
        for. What there was before is gone then.
        """
        mine = self._session(session)
        mine.result, mine.busy = None, True
        try:
            return self._keep(mine, self._evaluate(mine.image, settings, wanted, tell))
        finally:
            mine.busy = False

    def _evaluate(self, path: pathlib.Path, settings: Settings, wanted: str, tell: Status) -> Result:
        tell("reading the image")
        image = _read(path)
        classifier = load(settings.weights)
        if wanted:
            classifier.labels.find(wanted)
        with self.networks.use(settings.weights, tell) as pair:
            _check(classifier, image, settings)
            start = time.perf_counter()
            tell("comparing the original with the converted network")
            agreement = pair.agreement(image)
            tell("computing the map")
            stride, scales = settings.output_stride, settings.scales
            localization = pair.localize(image, MAX_SIDE, stride, **({} if scales == (1.0,) else {"scales": scales}))
            seconds = time.perf_counter() - start
        tell("drawing")
        values, best = localization.heatmap(), localization.best_cell_score()
        return Result(settings, classifier, agreement, localization, values, best, False, seconds).about(wanted)

    def _session(self, session: str) -> _Session:
        with self._lock:
            if session not in self._sessions:
                raise ImageError("there is no image here any more; drop it again")
            self._sessions.move_to_end(session)
            return self._sessions[session]

    def _last(self, session: str) -> tuple[_Session, Result]:
        mine = self._session(session)
        if mine.result is None:
            raise ImageError("the map is not here any more; compute it again")
        return mine, mine.result

    def _keep(self, mine: _Session, result: Result) -> Result:
        """Keep a visitor's result, and let those that were used longest ago make room for it."""
        with self._lock:
            mine.result = result
            others = [other for other in self._sessions.values() if other.result and other is not mine]
            room = MAX_KEPT - result.size - sum(other.result.size for other in others if other.result)
            for other in others:
                if room < 0 and other.result:
                    room += other.result.size
                    other.result = None
        return result


def _read(path: pathlib.Path) -> np.ndarray:
    """The image; errors name it as its owner knows it."""
    try:
        return reading.read_image(path)
    except ImageError as error:
        raise ImageError(str(error).replace(f"{path.parent}/", "")) from None


def _check(classifier: Classifier, image: np.ndarray, settings: Settings) -> None:
    from vggfcn.evaluation.localization import demand

    needed = demand(classifier, image.shape[:2], MAX_SIDE, settings.output_stride, settings.scales)
    if needed.pixels > MAX_PIXELS:
        raise MemoryLimitError(
            f"the image would be evaluated at {needed.pixels:,} pixels, and {MAX_PIXELS:,} are the most here; "
            "cut out a part of it, or choose a smaller scale"
        )
    if needed.bytes > MAX_MAP:
        raise MemoryLimitError(
            f"the map would take {needed.bytes / 2**20:.0f} MiB, and {MAX_MAP / 2**20:.0f} are the most here; "
            "choose a larger output stride or a smaller scale"
        )
