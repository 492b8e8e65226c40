"""Gradio's components as this server can show them: without files, which have addresses of its own, and scripts.

None extends a class of Gradio, because Gradio writes a file beside the module of each class that does.
"""

from collections.abc import Iterable
from typing import Any

import gradio as gr


def html(value: str | None = None, **options: Any) -> gr.Markdown:
    """A piece of HTML, which the browser cleans of scripts; `gr.HTML` compiles its values as JavaScript templates."""
    return gr.Markdown(value, padding=False, latex_delimiters=[], **options)


def drop(**options: Any) -> gr.File:
    """A field to drop a file; its value is the text that the server answered to the upload."""
    field: Any = gr.File(**options)
    field.data_model = None  # Otherwise Gradio expects a description of a file.
    field.api_info = lambda: {"type": "string"}
    field.preprocess = lambda payload: payload
    return field


def picture(**options: Any) -> gr.Image:
    """An image whose values are `shown`; its events need `postprocess=False`, or Gradio would look for a file."""
    return gr.Image(interactive=False, buttons=["fullscreen"], show_label=False, **options)


def pictures(images: Iterable[tuple[str, str]], **options: Any) -> gr.Gallery:
    """Images to click, given by their addresses on this server and captions."""
    gallery: Any = gr.Gallery(None, interactive=False, buttons=[], show_label=False, allow_preview=False, **options)
    gallery.value = [{"image": shown(address), "caption": caption} for address, caption in images]
    return gallery


def shown(address: str) -> dict[str, str]:
    """An image at an address of this server, without the mark by which Gradio knows files."""
    return {"path": address, "url": address}
