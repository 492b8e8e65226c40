"""The command line's output: results on stdout, messages and progress on stderr."""

import atexit
import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from vggfcn.cli.options import in_words_of_options
from vggfcn.errors import one_line, printable, shortened
from vggfcn.loading import load_tensorflow, silenced
from vggfcn.progress import Progress, Status

if TYPE_CHECKING:
    import numpy as np

# Columns of a table that is written to a file or a pipe, where long lines do not wrap.
WIDTH = 200
# Characters of a line of a report, or of a cell of a table.
LENGTH = 10_000


class Screen(Console):
    """A console that prints texts as they are, without markup; what could change a terminal is left out of them."""

    def __init__(self, file: IO[str] | None = None):
        super().__init__(file=file, soft_wrap=True, highlight=False, markup=False, emoji=False)

    @property
    def on_terminal(self) -> bool:
        """Whether this goes to a terminal. Rich says so of a file too if FORCE_COLOR or TTY_COMPATIBLE is set."""
        return self.is_terminal and self.file.isatty()

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as Rich prints it; Rich calls this for every string, those in tables included."""
        return super().render_str(printable(shortened(text, LENGTH)), **options)


results = Screen()
if not results.on_terminal:
    results.width = WIDTH
# A copy of stderr's descriptor: `silenced` turns stderr off while native libraries load, but not this stream.
_stream = os.fdopen(os.dup(2), "w", errors="backslashreplace")
atexit.register(_stream.close)
messages = Screen(_stream)


@dataclasses.dataclass(frozen=True)
class Reporter:
    """What a command prints: a report, with `--json` a JSON object instead, with `--quiet` no report.

    Progress is shown on stderr if that is a terminal, and not with `--quiet`.
    """

    as_json: bool = False
    quiet: bool = False

    def report(self, part: RenderableType = "") -> None:
        """Print a part of the report: a table or a line."""
        if not (self.as_json or self.quiet):
            # If both are the same terminal, only the console that draws the bar can print above it.
            (messages if results.on_terminal and messages.on_terminal else results).print(part)

    def json(self, value: dict[str, Any] | list[Any]) -> None:
        """Print a value as JSON on one line, with `--json` only."""
        if self.as_json:
            print(json.dumps(value), flush=True)

    @contextlib.contextmanager
    def status(self, activity: str) -> Iterator[Status]:
        """Show a line with what is being done; call the yielded function with what is done next."""
        if self.quiet or not messages.on_terminal:
            yield lambda activity: None
            return
        with messages.status(_doing(activity)) as line:
            yield lambda activity: line.update(_doing(activity))

    @contextlib.contextmanager
    def progress(self, title: str, unit: str = "") -> Iterator[Progress]:
        """Show a bar with the rate and the time left; call the yielded function with (done, total)."""
        columns = (MofNCompleteColumn(), _Rate(unit), TimeElapsedColumn(), TimeRemainingColumn())
        with self._bar(title, *columns) as progress:
            yield progress

    @contextlib.contextmanager
    def download(self, title: str) -> Iterator[Progress]:
        """Show the same bar for bytes."""
        with self._bar(title, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as progress:
            yield progress

    @contextlib.contextmanager
    def _bar(self, title: str, *columns: ProgressColumn) -> Iterator[Progress]:
        if self.quiet or not messages.on_terminal:  # Before Rich 14.3 a disabled bar writes an empty line.
            yield lambda done, total: None
            return
        description = TextColumn("{task.description}", markup=False)
        bar = Bar(description, BarColumn(20), *columns, console=messages, transient=True)
        with bar:
            task = bar.add_task(printable(title), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextlib.contextmanager
    def loading_tensorflow(self) -> Iterator[Status]:
        """Import TensorFlow under a status line, which stays while the block runs."""
        with self.status("loading TensorFlow") as status:
            load_tensorflow()
            yield status


def complain(reason: object, *details: str) -> None:
    """Print the reason on one line of stderr, and each detail on a line below it, in the words of the command line."""
    messages.print(f"vggfcn: {in_words_of_options(one_line(reason))}")
    for detail in details:
        messages.print(f"  {in_words_of_options(one_line(detail))}")


def _doing(activity: str) -> Text:
    return Text(printable(f"{activity} ..."))


def read_image_quietly(path: pathlib.Path) -> "np.ndarray":
    """`images.reading.read_image` without what Pillow's C libraries print about a damaged file."""
    from vggfcn.images import reading

    with silenced():
        return reading.read_image(path)


class _Rate(ProgressColumn):
    """Units done per second, or per minute if that is less than one."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed: Any = task.finished_speed or task.speed
        if not speed:
            return Text("")
        text = f"{speed:.1f} {self.unit}/s" if speed >= 1 else f"{60 * speed:.1f} {self.unit}/min"
        return Text(text, style="progress.data.speed")
