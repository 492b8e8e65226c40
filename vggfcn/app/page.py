"""The page: its components, their layout, and which event calls which method."""

import importlib.resources
from typing import Any

import gradio as gr

from vggfcn.app import rendering
from vggfcn.app.choices import (
    MOST_PROBABLE,
    SAMPLES,
    SCALES,
    class_choices,
    stride_choices,
    weight_choices,
)
from vggfcn.app.components import drop, html, picture, pictures
from vggfcn.app.events import Events, Outputs
from vggfcn.app.safety.queue import FairQueue
from vggfcn.app.sessions import Sessions
from vggfcn.maps.overlay import OPACITY

TITLE = "vggfcn"
ABOUT = "see where in an image a classifier finds a class"
WELCOME = """<div class="welcome"><h2>Drop an image</h2>
<p>or click a sample below. Your image stays on the machine that serves this page.</p></div>"""
EVALUATIONS = 1  # at the same time
DRAWINGS = 1  # at the same time, so that the page shows them in the order of the requests
SESSIONS = 256  # of which Gradio remembers the components' settings

# Fonts bundled with Gradio; its subdued grey is too pale to read.
THEME = gr.themes.Default(
    primary_hue="teal",
    font=(gr.themes.utils.fonts.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"),
).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_400",
)
CSS = (importlib.resources.files("vggfcn.app") / "style.css").read_text(encoding="utf-8")
PAGE: dict[str, Any] = {"theme": THEME, "css": CSS, "footer_links": [], "run_history": False, "ssr_mode": False}


def page(sessions: Sessions) -> gr.Blocks:
    """The page for these sessions, not yet served."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        blocks.unload(Page(sessions).events.close)
    blocks.state_session_capacity = SESSIONS
    blocks.queue(api_open=False)
    blocks._queue = FairQueue(blocks)
    return blocks


class Page:
    """The components, from top to bottom, and their events."""

    def __init__(self, sessions: Sessions):
        self.sessions = sessions
        html(f"<h1>{TITLE}</h1><p>{ABOUT}</p>", elem_id="title")
        with gr.Column(elem_id="page"):
            self.file = drop(label="Image", show_label=False, file_types=["image"], elem_id="drop", height=124)
            with gr.Column(elem_id="settings"):
                self._settings()
            with gr.Column(elem_id="main"):
                self._main()
            with gr.Column(elem_id="more"):
                self._samples()
            with gr.Column(elem_id="sidebar", visible=False) as self.sidebar:
                self._sidebar()
        self.timer = gr.Timer(0.5)
        parts = (self.notice, self.welcome, self.results, self.sidebar, self.summary, self.heatmap, self.scale)
        self.outputs = [*parts, self.image, self.cell, self.files, self.agreement]
        self.events = Events(sessions, Outputs(*self.outputs))
        self._connect(self.events)

    def _settings(self) -> None:
        networks, default = self.sessions.networks, self.sessions.default_weights
        classifier = networks.classifier(default)
        strides = stride_choices(classifier)
        self.label = gr.Dropdown(
            class_choices(classifier.labels),
            value=MOST_PROBABLE[1],
            label="Class or group",
            info="Type to search: any name, index or WordNet id.",
            allow_custom_value=True,
            elem_id="class",
        )
        self.opacity = gr.Slider(0.05, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity")
        self.weights = gr.Dropdown(
            list(dict.fromkeys([*networks.own, *weight_choices()])), value=default, label="Weights", elem_id="weights"
        )
        self.stride = gr.Radio(strides, value=strides[0], label="Pixels from window to window", elem_id="stride")
        self.scales = gr.CheckboxGroup(SCALES, value=[1.0], label="Scales; several are averaged", elem_id="scales")

    def _main(self) -> None:
        self.loading = html(elem_id="loading")
        self.notice = html(elem_id="notice")
        with gr.Column(visible=False) as self.results:
            self.summary = html(elem_id="summary")
            self.heatmap = picture(elem_id="heatmap", label="Heatmap")
            self.scale = html(rendering.scale())
            self.cell = html(elem_id="cell")
        self.welcome = html(WELCOME)

    def _samples(self) -> None:
        self.samples = pictures(
            [(f"samples/{number}", sample.title) for number, sample in enumerate(SAMPLES)],
            label="Samples",
            columns=4,
            rows=1,
            height="auto",
            object_fit="cover",
            elem_id="samples",
        )

    def _sidebar(self) -> None:
        self.image = picture(elem_id="image")
        self.files = html(elem_id="files")
        self.agreement = html(elem_id="agreement")

    def _connect(self, events: Events) -> None:
        choices = [self.weights, self.label, self.stride, self.scales]
        quick: dict[str, Any] = {
            "api_visibility": "private",
            "show_progress": "hidden",
            "concurrency_limit": DRAWINGS,
            "concurrency_id": "draw",
        }
        drawn = {**quick, "outputs": self.outputs, "trigger_mode": "always_last", "postprocess": False}
        changes_of_map = [
            self.file.upload(events.add_image, self.file, self.notice, **quick),
            self.samples.select(events.add_sample, None, choices, **quick),
            self.weights.input(events.change_weights, self.weights, choices, **quick),
            self.stride.input(events.clear_notice, None, self.notice, **quick),
            self.scales.input(events.clear_notice, None, self.notice, **quick),
        ]
        for change in changes_of_map:
            evaluation = change.then(
                events.evaluate,
                [*choices, self.opacity],
                self.outputs,
                api_visibility="private",
                show_progress_on=[self.heatmap],
                concurrency_limit=EVALUATIONS,
                concurrency_id="evaluate",
                postprocess=False,
            )
            evaluation.then(events.redraw_after_evaluation, [self.label, self.opacity], **drawn)
        self.file.clear(events.clear, None, self.outputs, postprocess=False, **quick)
        self.label.input(events.redraw, [self.label, self.opacity], **drawn)
        self.opacity.input(events.redraw, [self.label, self.opacity], **drawn)
        for clickable in (self.heatmap, self.image):
            clickable.select(events.click, self.opacity, **drawn)
        # Not queued: the queue's stream of events closes whenever no event is pending, and with a tick every half
        # second, an event that arrived at that moment was never answered.
        unqueued: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        self.timer.tick(events.show_loading, None, [self.loading, self.timer], **unqueued)
