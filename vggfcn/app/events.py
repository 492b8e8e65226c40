"""What happens when a visitor does something: the sessions are asked, and what they gave is put on the page."""

import dataclasses
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from vggfcn.app import rendering as drawing
from vggfcn.app.choices import CLEAREST, SAMPLES, class_choices, stride_choices
from vggfcn.app.sessions import Result, Sessions, Settings
from vggfcn.errors import VGGFCNError, one_line
from vggfcn.networks.classifier import load

PARTS = 6  # of an evaluation, as far as its progress is told
Update = dict[Any, Any]


@dataclasses.dataclass(frozen=True)
class Shown:
    """The components that show what came out."""

    said: gr.HTML
    welcome: gr.HTML
    board: gr.Column
    side: gr.Column
    summary: gr.HTML
    heatmap: gr.Image
    image: gr.Image
    cell: gr.HTML
    files: gr.HTML
    agreement: gr.HTML


def session_of(request: gr.Request) -> str:
    """What a visitor is known by: drawn at random for each opened page."""
    return str(request.session_hash)


def reason(error: Exception) -> str:
    """What to say of an error, in one line."""
    if isinstance(error, MemoryError):
        return "not enough memory; try a smaller image or a larger output stride"
    known = isinstance(error, VGGFCNError | OSError | ValueError)
    return one_line(error if known else f"unexpected {type(error).__name__}: {error}; please report it")


class Events:
    """Each method is what an event of the page calls; what it returns is what changes on the page."""

    def __init__(self, sessions: Sessions, shown: Shown):
        self.sessions = sessions
        self.shown = shown

    def take(self, path: str, request: gr.Request) -> str:
        """An image was dropped."""
        self.sessions.take(session_of(request), path)
        return ""

    def take_sample(self, chosen: gr.SelectData, request: gr.Request) -> list[Any]:
        """A sample was clicked: its weights are chosen with it."""
        sample = SAMPLES[chosen.index]
        self.sessions.take(session_of(request), sample.path)
        return [sample.weights, *self.change_weights(sample.weights)[1:]]

    def change_weights(self, weights: str) -> list[Any]:
        """Other weights were chosen: they have classes and strides of their own."""
        classifier = load(weights)
        strides = stride_choices(classifier)
        label = gr.Dropdown(choices=class_choices(classifier.labels), value=CLEAREST[1])
        return [gr.skip(), label, gr.Radio(choices=strides, value=strides[0]), [1.0]]

    def begin(self) -> str:
        """Something else was chosen that the map depends on."""
        return ""

    def evaluate(
        self,
        weights: str,
        label: str | None,
        stride: int,
        scales: list[float],
        opacity: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio is told that progress is shown.
    ) -> Iterator[Update]:
        """Compute the map of the visitor's image."""
        if not self.sessions.has_image(session_of(request)):
            yield {self.shown.said: drawing.message("")}
            return
        yield {
            self.shown.said: "",
            self.shown.welcome: gr.HTML(visible=False),
            self.shown.board: gr.Column(visible=True),
        }
        own = stride_choices(load(weights))[0]
        settings = Settings(weights, None if stride == own else stride, tuple(sorted(scales)) or (1.0,))
        done = 0

        def tell(text: str) -> None:
            nonlocal done
            done = min(done + 1, PARTS - 1)
            progress((done, PARTS), desc=text, unit="steps")

        who = session_of(request)
        found = self._try(lambda: self.sessions.evaluate(who, settings, label or "", tell), opacity, request)
        yield found if self.shown.heatmap in found else {**self._nothing(), **found}

    def redraw(self, label: str | None, opacity: float, request: gr.Request) -> Update:
        """Another class or opacity was chosen."""
        who = session_of(request)
        if not self.sessions.has_image(who) or self.sessions.is_busy(who):
            return {self.shown.said: gr.skip()}
        return self._try(lambda: self.sessions.ask(who, label or ""), opacity, request)

    def catch_up(self, label: str | None, opacity: float, request: gr.Request) -> Update:
        """A map is there: draw what has been chosen meanwhile."""
        if not self.sessions.has_map(session_of(request)):
            return {self.shown.said: gr.skip()}  # It was refused, and that is said.
        return self.redraw(label, opacity, request)

    def click(self, opacity: float, at: gr.SelectData, request: gr.Request) -> Update:
        """The heatmap or the image was clicked; both are as large as what was evaluated."""
        return self._try(lambda: self.sessions.click(session_of(request), *at.index), opacity, request)

    def forget(self, request: gr.Request) -> Update:
        """The image was taken away."""
        self.sessions.forget(session_of(request))
        return {self.shown.said: "", **self._nothing()}

    def close(self, request: gr.Request) -> None:
        """The page was closed."""
        self.sessions.forget(session_of(request))

    def tick(self) -> list[Any]:
        """Say what is done before the first image, until it is done."""
        if self.sessions.ready:
            return [drawing.message(""), gr.Timer(active=False)]
        doing = self.sessions.networks.doing or "loading"
        return [drawing.message(f"One moment: {doing}. You may drop an image already."), gr.skip()]

    def _try(self, job: Callable[[], Result], opacity: float, request: gr.Request) -> Update:
        """What a job gives, or, if it was refused, why."""
        try:
            return self._show(job(), opacity, session_of(request))
        except Exception as error:  # Whatever happens, a visitor gets one line and the server goes on.
            return {self.shown.said: drawing.message(reason(error), wrong=True)}

    def _show(self, result: Result, opacity: float, who: str) -> Update:
        shown = self.shown
        return {
            shown.said: "",
            shown.welcome: gr.HTML(visible=False),
            shown.board: gr.Column(visible=True),
            shown.side: gr.Column(visible=True),
            shown.summary: drawing.summary(result),
            shown.heatmap: drawing.heatmap(result, opacity),
            shown.image: drawing.image(result),
            shown.cell: drawing.cell(result),
            shown.files: drawing.files(urllib.parse.urlencode({"session": who, "opacity": opacity})),
            shown.agreement: drawing.agreement(result),
        }

    def _nothing(self) -> Update:
        hidden = gr.Column(visible=False)
        return {self.shown.welcome: gr.HTML(visible=True), self.shown.board: hidden, self.shown.side: hidden}
