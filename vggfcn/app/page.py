"""The page: what is where, and which of the visitor's actions calls what."""

import importlib.resources
from typing import Any

import gradio as gr

from vggfcn.app import rendering as drawing
from vggfcn.app.choices import CLEAREST, SAMPLES, SCALES, class_choices, first_weights, stride_choices, weight_choices
from vggfcn.app.events import Events, Shown
from vggfcn.app.sessions import Sessions
from vggfcn.maps.overlay import OPACITY
from vggfcn.networks.classifier import load

TITLE = "vggfcn"
ABOUT = "where on an image an image classifier sees a class"
WELCOME = """<div class="welcome"><h2>Drop an image</h2>
<p>or click one of these. Images stay on the machine that serves this page.</p></div>"""
EVALUATIONS = 2  # at once, of which one computes and the other waits
DRAWINGS = 1  # at once: what was asked for first is on the page first, and what was asked for last stays
DELETED = (60, 600)  # seconds: how often it is seen to that drawings older than this are deleted

# Fonts that come with Gradio; its subdued grey is too pale to read.
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
    """The page, not yet served, over these sessions."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=DELETED, fill_width=True) as blocks:
        blocks.unload(Page(sessions).events.close)
    blocks.queue(api_open=False, max_size=64)
    return blocks


class Page:
    """The components, in the order in which they are seen, and what they do."""

    def __init__(self, sessions: Sessions):
        gr.HTML(f"<h1>{TITLE}</h1><p>{ABOUT}</p>", elem_id="title", padding=False)
        with gr.Column(elem_id="page"):
            self.file = gr.File(label="Image", show_label=False, file_types=["image"], elem_id="drop", height=124)
            with gr.Column(elem_id="settings"):
                self._settings()
            with gr.Column(elem_id="main"):
                self._main()
            with gr.Column(elem_id="more"):
                self._samples()
            with gr.Column(elem_id="side", visible=False) as self.side:
                self._side()
        self.timer = gr.Timer(0.5)
        parts = (self.said, self.welcome, self.board, self.side, self.summary, self.heatmap, self.image)
        self.shown = [*parts, self.cell, self.files, self.agreement]
        self.events = Events(sessions, Shown(*self.shown))
        self._connect(self.events)

    def _settings(self) -> None:
        classifier = load(first_weights())
        strides = stride_choices(classifier)
        self.label = gr.Dropdown(
            class_choices(classifier.labels),
            value=CLEAREST[1],
            label="Class or group",
            info="Type to search; any name, index or WordNet id.",
            allow_custom_value=True,
            elem_id="class",
        )
        self.opacity = gr.Slider(0.05, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity")
        self.weights = gr.Dropdown(weight_choices(), value=first_weights(), label="Weights", elem_id="weights")
        self.stride = gr.Radio(strides, value=strides[0], label="Pixels from window to window", elem_id="stride")
        self.scales = gr.CheckboxGroup(SCALES, value=[1.0], label="Scales, averaged if several", elem_id="scales")

    def _main(self) -> None:
        self.loading = gr.HTML(padding=False, elem_id="loading")
        self.said = gr.HTML(padding=False, elem_id="said")
        with gr.Column(visible=False) as self.board:
            self.summary = gr.HTML(padding=False, elem_id="summary")
            options: dict[str, Any] = {
                "interactive": False,
                "format": "jpeg",
                "buttons": ["fullscreen"],
                "show_label": False,
            }
            self.heatmap = gr.Image(elem_id="heatmap", label="Heatmap", **options)
            gr.HTML(drawing.scale(), padding=False)
            self.cell = gr.HTML(padding=False, elem_id="cell")
        self.welcome = gr.HTML(WELCOME, padding=False)

    def _samples(self) -> None:
        self.samples = gr.Gallery(
            [(str(sample.path), sample.title) for sample in SAMPLES],
            label="Samples",
            show_label=False,
            columns=4,
            rows=1,
            height="auto",
            object_fit="cover",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="samples",
        )

    def _side(self) -> None:
        self.image = gr.Image(
            elem_id="image", interactive=False, format="jpeg", buttons=["fullscreen"], show_label=False
        )
        self.files = gr.HTML(padding=False, elem_id="files")
        self.agreement = gr.HTML(padding=False, elem_id="agreement")

    def _connect(self, events: Events) -> None:
        choices = [self.weights, self.label, self.stride, self.scales]
        quick: dict[str, Any] = {
            "api_visibility": "private",
            "show_progress": "hidden",
            "concurrency_limit": DRAWINGS,
            "concurrency_id": "draw",
        }
        drawn = {**quick, "outputs": self.shown, "trigger_mode": "always_last"}
        begun = [
            self.file.upload(events.take, self.file, self.said, **quick),
            self.samples.select(events.take_sample, None, choices, **quick),
            self.weights.input(events.change_weights, self.weights, choices, **quick),
            self.stride.input(events.begin, None, self.said, **quick),
            self.scales.input(events.begin, None, self.said, **quick),
        ]
        for event in begun:
            computed = event.then(
                events.evaluate,
                [*choices, self.opacity],
                self.shown,
                api_visibility="private",
                show_progress_on=[self.heatmap],
                concurrency_limit=EVALUATIONS,
                concurrency_id="evaluate",
            )
            computed.then(events.catch_up, [self.label, self.opacity], **drawn)
        self.file.clear(events.forget, None, self.shown, **quick)
        self.label.input(events.redraw, [self.label, self.opacity], **drawn)
        self.opacity.input(events.redraw, [self.label, self.opacity], **drawn)
        for shown in (self.heatmap, self.image):
            shown.select(events.click, self.opacity, **drawn)
        # Not by the queue: its stream of events ends whenever none is under way, and with a tick every half second one
        # that came just then was never answered.
        unqueued: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        self.timer.tick(events.tick, None, [self.loading, self.timer], **unqueued)
