"""Each session's image and map, without the page, and the limits on what is kept."""

import collections
import dataclasses
import pathlib
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from vggfcn.app.choices import default_weights
from vggfcn.app.networks import Networks
from vggfcn.app.safety.bodies import visitor_of
from vggfcn.app.safety.uploads import Uploads
from vggfcn.errors import ImageError, MemoryLimitError, VGGFCNError
from vggfcn.evaluation.classifier import Classifier
from vggfcn.images import reading
from vggfcn.progress import Status

if TYPE_CHECKING:
    from vggfcn.evaluation.demo import Agreement
    from vggfcn.evaluation.localization import CellScore, Localization

MAX_SIDE = 1280  # pixels of the longer side; larger images are shrunk
MAX_PIXELS = 4_000_000  # of an image at the largest scale
MAX_MAP = 128 * 2**20  # bytes of one map
MAX_KEPT = 512 * 2**20  # bytes of all maps and images in memory
MAX_SESSIONS = (8, 64)  # with an image: of one visitor, and of all


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a map depends on, apart from the image. Everything else is drawn from the map."""

    weights: str
    output_stride: int | None = None
    scales: tuple[float, ...] = (1.0,)


@dataclasses.dataclass(frozen=True)
class Result:
    """An image's map, one class or group on it, and the cell that is selected.

    `values` is the class's probability at each pixel of the evaluated image, float32 (height, width). `clicked` is
    False as long as the selected cell is the class's most probable one.
    """

    settings: Settings
    classifier: Classifier
    agreement: "Agreement | None"
    localization: "Localization"
    values: np.ndarray
    cell_score: "CellScore"
    clicked: bool
    seconds: float

    @property
    def size(self) -> int:
        """Bytes that the result takes in memory."""
        return self.localization.scores.logits.nbytes + self.localization.image.nbytes + self.values.nbytes

    def for_class(self, label: str) -> "Result":
        """The same map for another class or group, "" for the most probable class.

        Raises `LabelError` for an unknown one.
        """
        labels = self.classifier.labels
        group = labels.find(label) if label else labels.single(self.localization.scores.best(labels.background))
        if group == self.localization.group:
            return self
        localization = self.localization.about(group)
        # A cell that was clicked stays selected.
        x, y = (sum(ends) / 2 for ends in (self.cell_score.window[::2], self.cell_score.window[1::2]))
        cell_score = localization.cell_score(x, y) if self.clicked else localization.best_cell_score()
        values = localization.heatmap()
        return dataclasses.replace(self, localization=localization, values=values, cell_score=cell_score)

    def clicked_at(self, x: float, y: float) -> "Result":
        """The same result with the cell selected that is nearest to (x, y), in pixels of the evaluated image."""
        return dataclasses.replace(self, cell_score=self.localization.cell_score(x, y), clicked=True)


@dataclasses.dataclass
class _Session:
    image: pathlib.Path
    result: Result | None = None
    busy: bool = False  # being evaluated


class Sessions:
    """The images and maps of all sessions, by the session's name, and the networks that they share.

    A session's name is its visitor's, "-" and more. Uploaded images are in `folder`. `own` is a classifier to offer
    before those that are known by name. The maps used last are kept, up to `MAX_KEPT` bytes, and the images of the
    last `MAX_SESSIONS` sessions. Where there are too many, a visitor's own go first.
    """

    def __init__(self, folder: pathlib.Path, own: Classifier | None = None):
        self.networks = Networks({own.source: own} if own else {})
        self.default_weights = own.source if own else default_weights()
        self.ready = False
        self.uploads = Uploads(folder)
        self._lock = threading.RLock()
        self._sessions: collections.OrderedDict[str, _Session] = collections.OrderedDict()

    def prepare(self) -> None:
        """Load TensorFlow and the default networks, so that the first image need not wait for them."""
        try:
            with self.networks.use(self.default_weights) as pair:
                self.networks.activity = "running the networks for the first time"
                pair.warm_up()
        except (VGGFCNError, OSError):
            pass  # An image that needs these weights is refused later, with the reason.
        finally:
            self.ready = True

    def add_upload(self, session: str, token: object) -> None:
        """Replace the session's image by the file that its visitor uploaded; it is not read yet.

        Raises `ImageError` if the visitor has no such file.
        """
        self.add_image(session, self.uploads.path(visitor_of(session), token))

    def add_image(self, session: str, path: pathlib.Path) -> None:
        """Replace the session's image by this file, which is not read yet."""
        self.forget(session)
        with self._lock:
            self._sessions[session] = _Session(path)
            for names, most in ((self._of_visitor(visitor_of(session)), 0), (list(self._sessions), 1)):
                for name in names[: max(0, len(names) - MAX_SESSIONS[most])]:
                    self.forget(name)

    def _of_visitor(self, visitor: str) -> list[str]:
        """The visitor's sessions, the least recently used first."""
        return [name for name in self._sessions if visitor_of(name) == visitor]

    def forget(self, session: str) -> None:
        """Delete the session's image and map, if there are any."""
        with self._lock:
            removed = self._sessions.pop(session, None)
        if removed:
            self.uploads.drop(removed.image)

    def close(self, session: str) -> None:
        """Forget a session whose page was closed, and what its visitor uploaded for no session."""
        self.forget(session)
        visitor = visitor_of(session)
        with self._lock:
            used = {self._sessions[name].image for name in self._of_visitor(visitor)}
        self.uploads.drop_others(visitor, used)

    def has_image(self, session: str) -> bool:
        """Whether the session has an image."""
        with self._lock:
            return session in self._sessions

    def is_busy(self, session: str) -> bool:
        """Whether the session's image is being evaluated."""
        with self._lock:
            return session in self._sessions and self._sessions[session].busy

    def has_map(self, session: str) -> bool:
        """Whether the session's image has a map."""
        with self._lock:
            return session in self._sessions and self._sessions[session].result is not None

    def choose_class(self, session: str, label: str) -> Result:
        """The session's map for a class or group, "" for the most probable class; nothing is evaluated.

        Raises `LabelError` for an unknown class, `ImageError` if there is no map.
        """
        entry, result = self._last(session)
        return self._keep(entry, result.for_class(label))

    def click(self, session: str, x: float, y: float) -> Result:
        """The session's map with the cell selected that is nearest to (x, y), in pixels of the evaluated image.

        Raises `ImageError` if there is no map.
        """
        entry, result = self._last(session)
        return self._keep(entry, result.clicked_at(x, y))

    def last(self, session: str) -> Result:
        """The session's last result; raises `ImageError` if there is none."""
        return self._last(session)[1]

    def evaluate(self, session: str, settings: Settings, label: str, status: Status = lambda text: None) -> Result:
        """Compare the two networks on the session's image and compute its map.

        session: the session's name.
        settings: what the map depends on.
        label: a class or group, "" for the most probable class.
        status: called with what is being done.

        Raises `VGGFCNError` if the image, the class or the weights cannot be used or the map would be too large, and
        `ValueError` if a scale makes the image too small. The session's earlier map is then gone.
        """
        entry = self._session(session)
        entry.result, entry.busy = None, True
        try:
            return self._keep(entry, self._evaluate(entry.image, settings, label, status))
        finally:
            entry.busy = False

    def _evaluate(self, path: pathlib.Path, settings: Settings, label: str, status: Status) -> Result:
        status("reading the image")
        image = _read(path)
        classifier = self.networks.classifier(settings.weights)
        if label:
            classifier.labels.find(label)  # Refuse an unknown class before the work.
        with self.networks.use(settings.weights, status) as pair:
            _check_size(classifier, image, settings)
            start = time.perf_counter()
            status("comparing the original with the converted network")
            agreement = pair.agreement(image)
            status("computing the map")
            stride, scales = settings.output_stride, settings.scales
            localization = pair.localize(image, MAX_SIDE, stride, **({} if scales == (1.0,) else {"scales": scales}))
            seconds = time.perf_counter() - start
        status("drawing")
        values, best = localization.heatmap(), localization.best_cell_score()
        return Result(settings, classifier, agreement, localization, values, best, False, seconds).for_class(label)

    def _session(self, session: str) -> _Session:
        with self._lock:
            if session not in self._sessions or not self._sessions[session].image.exists():
                raise ImageError("the server no longer has this image; drop it again")
            self._sessions.move_to_end(session)
            return self._sessions[session]

    def _last(self, session: str) -> tuple[_Session, Result]:
        entry = self._session(session)
        if entry.result is None:
            raise ImageError("the server no longer has this map; drop the image again")
        return entry, entry.result

    def _keep(self, entry: _Session, result: Result) -> Result:
        """Store a session's result; drop its visitor's, then the least recently used, if the limit is exceeded."""
        with self._lock:
            entry.result = result
            visitor = next((visitor_of(name) for name, other in self._sessions.items() if other is entry), "")
            others = {name: other for name, other in self._sessions.items() if other.result and other is not entry}
            room = MAX_KEPT - result.size - sum(other.result.size for other in others.values() if other.result)
            for _, other in sorted(others.items(), key=lambda pair: visitor_of(pair[0]) != visitor):
                if room < 0 and other.result:
                    room += other.result.size
                    other.result = None
        return result


def _read(path: pathlib.Path) -> np.ndarray:
    """The image; error messages give its name without the server's folder."""
    try:
        return reading.read_image(path)
    except ImageError as error:
        raise ImageError(str(error).replace(f"{path.parent}/", "")) from None


def _check_size(classifier: Classifier, image: np.ndarray, settings: Settings) -> None:
    from vggfcn.evaluation.localization import demand

    needed = demand(classifier, image.shape[:2], MAX_SIDE, settings.output_stride, settings.scales)
    if needed.pixels > MAX_PIXELS:
        raise MemoryLimitError(
            f"the image would be evaluated at {needed.pixels:,} pixels; the limit is {MAX_PIXELS:,}. "
            "Crop it or choose a smaller scale"
        )
    if needed.bytes > MAX_MAP:
        raise MemoryLimitError(
            f"the map would take {needed.bytes / 2**20:.0f} MiB; the limit is {MAX_MAP / 2**20:.0f} MiB. "
            "Choose a larger output stride or a smaller scale"
        )
