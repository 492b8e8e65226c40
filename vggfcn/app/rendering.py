"""What the page shows and serves: images, files and pieces of HTML."""

import html
import io

import numpy as np
from PIL import Image

from vggfcn.app.sessions import Result
from vggfcn.labels.labels import BACKGROUND
from vggfcn.maps import figure
from vggfcn.maps.overlay import colorize, overlay
from vggfcn.maps.scale import PROBABILITY

SHADES = 17  # of the colour scale


def image(result: Result) -> Image.Image:
    """The evaluated image with the selected cell's window outlined."""
    return _outlined(result.localization.image, result)


def heatmap(result: Result, opacity: float) -> Image.Image:
    """The heatmap over the evaluated image, with the same window outlined."""
    found = result.localization
    return _outlined(overlay(found.image, found.scale.fractions(result.values), opacity=opacity), result)


def _outlined(pixels: np.ndarray, result: Result) -> Image.Image:
    panel = Image.fromarray(pixels)
    figure.outline(panel, result.cell_score.window)
    return panel


def jpeg(drawn: Image.Image) -> bytes:
    """A drawing as a JPEG file."""
    file = io.BytesIO()
    drawn.save(file, format="JPEG", quality=90)
    return file.getvalue()


def png(result: Result, opacity: float) -> bytes:
    """The heatmap with its title and colour scale, as a PNG file."""
    found = result.localization
    drawn = figure.captioned(found.image, result.values, found.title, opacity=opacity, scale=found.scale)
    file = io.BytesIO()
    drawn.save(file, format="PNG")
    return file.getvalue()


def npy(result: Result) -> bytes:
    """The score at each pixel of the evaluated image, float32 (height, width), as a `.npy` file."""
    file = io.BytesIO()
    np.save(file, result.values, allow_pickle=False)
    return file.getvalue()


def message(text: str, *, is_error: bool = False) -> str:
    """A message line as HTML; "" for no text."""
    role, kind = ("alert", "error") if is_error else ("status", "info")
    return f'<p class="message {kind}" role="{role}">{html.escape(text)}</p>' if text else ""


def summary(result: Result) -> str:
    """The class and its highest probability as a heading, and below it how the map was computed."""
    localization, settings = result.localization, result.settings
    rows, columns = localization.scores.logits.shape[:2]
    height, width = localization.image.shape[:2]
    stride = settings.output_stride or result.classifier.output_stride
    facts = [
        f"{rows} x {columns} windows, {stride} pixels apart",
        f"evaluated at {width} x {height} pixels",
        f"{result.seconds:.2f} s",
    ]
    quantity = result.classifier.quantity
    if localization.group.name == BACKGROUND:
        heading = "None of the classes that these weights know"
    else:
        heading = f"{html.escape(localization.group.name)} <span>highest {quantity} {localization.score:.2f}</span>"
    return f"<h2>{heading}</h2><p>{' · '.join(facts)}</p>"


def scale(result: Result | None = None) -> str:
    """The colours of a result's scale, by default of the probabilities from 0 to 1."""
    shown = result.localization.scale if result else PROBABILITY
    colors = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colorize(np.linspace(0, 1, SHADES)))
    gradient = f"linear-gradient(to right, {colors})"
    ends = f"{shown.low:.3g}", f"{shown.high:.3g}"
    return f'<p class="scale">{shown.name} {ends[0]} <span style="background: {gradient}"></span> {ends[1]}</p>'


def cell(result: Result) -> str:
    """The probability, the logit and the window of the selected cell."""
    cell_score = result.cell_score
    left, top, right, bottom = (round(edge) for edge in cell_score.box)
    height, width = result.localization.original_size
    heading = "The window you clicked" if result.clicked else "The best window; click to select another"
    quantity = result.classifier.quantity
    averaged = len(result.settings.scales) > 1
    facts = {
        quantity: f"{cell_score.score:.4f}",
        **({} if quantity == "value" else {"logit of the mean" if averaged else "logit": f"{cell_score.logit:.4f}"}),
        f"columns, of {width}": f"{left} to {right}",
        f"rows, of {height}": f"{top} to {bottom}",
    }
    return f"<h3>{heading}</h3><dl>{''.join(f'<div><dt>{k}</dt><dd>{v}</dd></div>' for k, v in facts.items())}</dl>"


def agreement(result: Result) -> str:
    """The two networks' logits side by side, and their largest difference."""
    found, (height, width) = result.agreement, result.classifier.native_size
    if found is None:
        return f"<p>No original network to compare with: {html.escape(result.classifier.no_original)}.</p>"
    rows = "".join(
        f"<tr><th>{html.escape(original.label)}</th><td>{original.logit:.4f}</td><td>{converted.logit:.4f}</td></tr>"
        for original, converted in zip(found.original, found.converted, strict=True)
    )
    return (
        f"<h3>The same network?</h3><p>Logits on the centre of the image, {width} x {height} pixels</p>"
        f"<table><thead><tr><th>class</th><td>original</td><td>converted</td></tr></thead><tbody>{rows}</tbody></table>"
        f"<p>Largest difference over all {len(result.classifier.labels)} classes: "
        f'<strong id="difference">{found.max_abs_error:.1e}</strong></p>'
    )


def files(query: str) -> str:
    """Links to the files to download; `query` names the session and the opacity."""
    links = "".join(
        f'<a href="files/{name}?{html.escape(query)}" download>{title}</a>'
        for name, title in (("heatmap.png", "Heatmap, PNG"), ("probabilities.npy", "Numbers, .npy"))
    )
    return f'<p class="files">{links}</p>'
