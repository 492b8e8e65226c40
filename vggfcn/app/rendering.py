"""What the page shows and hands out: images, files and pieces of HTML."""

import html
import io

import numpy as np
from PIL import Image

from vggfcn.app.sessions import Result
from vggfcn.labels.labels import BACKGROUND
from vggfcn.maps import figure
from vggfcn.maps.overlay import colorize, overlay

SHADES = 17  # of the scale's colours


def image(result: Result) -> Image.Image:
    """The image that was evaluated, and the window of the cell that is looked at."""
    return _outlined(result.localization.image, result)


def heatmap(result: Result, opacity: float) -> Image.Image:
    """The heatmap over it, and the same window."""
    return _outlined(overlay(result.localization.image, result.values, opacity=opacity), result)


def _outlined(pixels: np.ndarray, result: Result) -> Image.Image:
    panel = Image.fromarray(pixels)
    figure.outline(panel, result.cell_score.window)
    return panel


def png(result: Result, opacity: float) -> bytes:
    """The heatmap with its title and scale as a PNG."""
    drawn = figure.captioned(result.localization.image, result.values, result.localization.title, opacity=opacity)
    file = io.BytesIO()
    drawn.save(file, format="PNG")
    return file.getvalue()


def npy(result: Result) -> bytes:
    """The probability at each pixel of the evaluated image, float32 (height, width), as `.npy`."""
    file = io.BytesIO()
    np.save(file, result.values, allow_pickle=False)
    return file.getvalue()


def message(text: str, *, wrong: bool = False) -> str:
    """A line on what happened."""
    role, kind = ("alert", "wrong") if wrong else ("status", "fine")
    return f'<p class="message {kind}" role="{role}">{html.escape(text)}</p>' if text else ""


def summary(result: Result) -> str:
    """What was found, as a heading, and how."""
    localization, settings = result.localization, result.settings
    rows, columns = localization.scores.logits.shape[:2]
    height, width = localization.image.shape[:2]
    stride = settings.output_stride or result.classifier.architecture.receptive_field.stride
    about = [
        f"{rows} x {columns} windows, {stride} pixels apart",
        f"evaluated at {width} x {height} pixels",
        f"{result.seconds:.2f} s",
    ]
    if localization.group.name == BACKGROUND:
        heading = "Nothing that these weights know"
    else:
        heading = f"{html.escape(localization.group.name)} <span>highest probability {localization.score:.2f}</span>"
    return f"<h2>{heading}</h2><p>{' · '.join(about)}</p>"


def scale() -> str:
    """The colours of probabilities from 0 to 1."""
    colors = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colorize(np.linspace(0, 1, SHADES)))
    gradient = f"linear-gradient(to right, {colors})"
    return f'<p class="scale">probability 0 <span style="background: {gradient}"></span> 1</p>'


def cell(result: Result) -> str:
    """The probability, the logit and the window of the cell that is looked at."""
    cell_score = result.cell_score
    left, top, right, bottom = (round(edge) for edge in cell_score.box)
    height, width = result.localization.original_size
    heading = "The window under the click" if result.clicked else "The most certain window; click for others"
    averaged = len(result.settings.scales) > 1
    facts = {
        "probability": f"{cell_score.probability:.4f}",
        "log of mean probability" if averaged else "logit": f"{cell_score.logit:.4f}",
        f"columns, of {width}": f"{left} to {right}",
        f"rows, of {height}": f"{top} to {bottom}",
    }
    return f"<h3>{heading}</h3><dl>{''.join(f'<div><dt>{k}</dt><dd>{v}</dd></div>' for k, v in facts.items())}</dl>"


def agreement(result: Result) -> str:
    """The two networks' logits side by side."""
    agreed, size = result.agreement, result.classifier.architecture.native_size
    rows = "".join(
        f"<tr><th>{html.escape(one.label)}</th><td>{one.logit:.4f}</td><td>{other.logit:.4f}</td></tr>"
        for one, other in zip(agreed.original, agreed.converted, strict=True)
    )
    return (
        f"<h3>The same network?</h3><p>Logits of the image's middle at {size} x {size}</p>"
        f"<table><thead><tr><th>class</th><td>original</td><td>converted</td></tr></thead><tbody>{rows}</tbody></table>"
        f"<p>Largest difference over all {len(result.classifier.labels)} classes: "
        f'<strong id="difference">{agreed.max_abs_error:.1e}</strong></p>'
    )


def files(query: str) -> str:
    """Links to what can be taken home; `query` says whose and how."""
    links = "".join(
        f'<a href="files/{name}?{html.escape(query)}" download>{title}</a>'
        for name, title in (("heatmap.png", "Heatmap, PNG"), ("probabilities.npy", "Numbers, .npy"))
    )
    return f'<p class="files">{links}</p>'
