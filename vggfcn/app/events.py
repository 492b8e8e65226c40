"""What the page does when something is dropped, chosen or clicked."""

import dataclasses
import itertools
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from vggfcn.app import rendering
from vggfcn.app.choices import MOST_PROBABLE, SAMPLES, class_choices, stride_choices
from vggfcn.app.components import shown
from vggfcn.app.sessions import Result, Sessions, Settings
from vggfcn.errors import VGGFCNError, lacks_memory, one_line

STEPS = 6  # of an evaluation, as its progress bar counts them
Update = dict[Any, Any]  # a component, and its new value


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The components that show a result."""

    notice: gr.Markdown
    welcome: gr.Markdown
    results: gr.Column
    sidebar: gr.Column
    summary: gr.Markdown
    heatmap: gr.Image
    scale: gr.Markdown
    image: gr.Image
    cell: gr.Markdown
    files: gr.Markdown
    agreement: gr.Markdown


def session_of(request: gr.Request) -> str:
    """The name of the session: Gradio draws a random one for each opened page."""
    return str(request.session_hash)


def reason(error: Exception) -> str:
    """An error's message for the page, on one line."""
    if lacks_memory(error):
        return "not enough memory; try a smaller image or a larger output stride"
    known = isinstance(error, VGGFCNError | OSError | ValueError)
    return one_line(error if known else f"unexpected {type(error).__name__}: {error}; please report it")


class Events:
    """Gradio calls one method for each event; what the method returns changes on the page."""

    def __init__(self, sessions: Sessions, outputs: Outputs):
        self.sessions = sessions
        self.outputs = outputs
        self._drawn = itertools.count()  # Makes addresses new, so that browsers fetch new drawings.

    def add_image(self, token: str, request: gr.Request) -> str:
        """An image was dropped; the upload's answer names it."""
        try:
            self.sessions.add_upload(session_of(request), token)
        except VGGFCNError as error:
            return rendering.message(reason(error), is_error=True)
        return ""

    def add_sample(self, selected: gr.SelectData, request: gr.Request) -> list[Any]:
        """A sample was clicked: use it with its weights."""
        if selected.index not in range(len(SAMPLES)):
            raise gr.Error("there is no such sample; reload the page", print_exception=False)
        sample = SAMPLES[selected.index]
        self.sessions.add_image(session_of(request), sample.path)
        return [sample.weights, *self.change_weights(sample.weights)[1:]]

    def change_weights(self, weights: str) -> list[Any]:
        """Other weights were chosen: offer their classes and output strides."""
        classifier = self.sessions.networks.classifier(weights)
        strides = stride_choices(classifier)
        label = gr.Dropdown(choices=class_choices(classifier.labels), value=MOST_PROBABLE[1])
        return [gr.skip(), label, gr.Radio(choices=strides, value=strides[0]), [1.0]]

    def clear_notice(self) -> str:
        """Another stride or scale was chosen: a new map will be computed."""
        return ""

    def evaluate(
        self,
        weights: str,
        label: str | None,
        stride: int,
        scales: list[float],
        opacity: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio recognises the parameter by its default value.
    ) -> Iterator[Update]:
        """Compute the map of the session's image; the parameters are the values of the page's settings."""
        session = session_of(request)
        if not self.sessions.has_image(session):
            yield {self.outputs.notice: rendering.message("")}
            return
        yield {
            self.outputs.notice: "",
            self.outputs.welcome: gr.Markdown(visible=False),
            self.outputs.results: gr.Column(visible=True),
        }
        own_stride = stride_choices(self.sessions.networks.classifier(weights))[0]
        settings = Settings(weights, None if stride == own_stride else stride, tuple(sorted(scales)) or (1.0,))
        done = 0

        def status(text: str) -> None:
            nonlocal done
            done = min(done + 1, STEPS - 1)
            progress((done, STEPS), desc=text, unit="steps")

        update = self._try(lambda: self.sessions.evaluate(session, settings, label or "", status), opacity, session)
        yield update if self.outputs.heatmap in update else {**self._hide(), **update}

    def redraw(self, label: str | None, opacity: float, request: gr.Request) -> Update:
        """Another class or opacity was chosen."""
        session = session_of(request)
        if not self.sessions.has_image(session) or self.sessions.is_busy(session):
            return {self.outputs.notice: gr.skip()}
        return self._try(lambda: self.sessions.choose_class(session, label or ""), opacity, session)

    def redraw_after_evaluation(self, label: str | None, opacity: float, request: gr.Request) -> Update:
        """An evaluation ended: draw the class and opacity that were chosen in the meantime."""
        if not self.sessions.has_map(session_of(request)):
            return {self.outputs.notice: gr.skip()}  # It was refused, and the notice says why.
        return self.redraw(label, opacity, request)

    def click(self, opacity: float, at: gr.SelectData, request: gr.Request) -> Update:
        """The heatmap or the image was clicked; both have the size of the evaluated image."""
        session = session_of(request)
        return self._try(lambda: self.sessions.click(session, *at.index), opacity, session)

    def clear(self, request: gr.Request) -> Update:
        """The image was removed."""
        self.sessions.forget(session_of(request))
        return {self.outputs.notice: "", **self._hide()}

    def close(self, request: gr.Request) -> None:
        """The page was closed."""
        self.sessions.close(session_of(request))

    def show_loading(self) -> list[Any]:
        """The timer ticked: show what the server does before it is ready for the first image."""
        if self.sessions.ready:
            return [rendering.message(""), gr.Timer(active=False)]
        activity = self.sessions.networks.activity or "loading"
        return [rendering.message(f"One moment: {activity}. You can already drop an image."), gr.skip()]

    def _try(self, job: Callable[[], Result], opacity: float, session: str) -> Update:
        """Show the job's result, or the reason if it was refused."""
        try:
            return self._show(job(), opacity, session)
        except Exception as error:  # Whatever happens, the page shows one line and the server keeps running.
            return {self.outputs.notice: rendering.message(reason(error), is_error=True)}

    def _show(self, result: Result, opacity: float, session: str) -> Update:
        outputs = self.outputs
        query = urllib.parse.urlencode({"session": session, "opacity": opacity, "drawn": next(self._drawn)})
        return {
            outputs.notice: "",
            outputs.welcome: gr.Markdown(visible=False),
            outputs.results: gr.Column(visible=True),
            outputs.sidebar: gr.Column(visible=True),
            outputs.summary: rendering.summary(result),
            outputs.heatmap: shown(f"files/heatmap.jpg?{query}"),
            outputs.scale: rendering.scale(result),
            outputs.image: shown(f"files/image.jpg?{query}"),
            outputs.cell: rendering.cell(result),
            outputs.files: rendering.files(query),
            outputs.agreement: rendering.agreement(result),
        }

    def _hide(self) -> Update:
        """Show the welcome text instead of a result."""
        hidden = gr.Column(visible=False)
        return {
            self.outputs.welcome: gr.Markdown(visible=True),
            self.outputs.results: hidden,
            self.outputs.sidebar: hidden,
        }
