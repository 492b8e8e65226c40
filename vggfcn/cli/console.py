"""Where the command line writes: results to stdout, everything else to stderr, and nothing of TensorFlow's."""

import atexit
import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

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

from vggfcn.errors import one_line
from vggfcn.loading import load_tensorflow, silenced
from vggfcn.progress import Progress, Status

if TYPE_CHECKING:
    import numpy as np

# Of a table that does not go to a terminal: nobody's lines are broken there.
WIDTH = 200

results = Console(soft_wrap=True, highlight=False)
if not results.is_terminal:
    results.width = WIDTH
# A stream of its own: what native libraries write to stderr while they load is silenced, messages are not.
_stream = os.fdopen(os.dup(2), "w")
atexit.register(_stream.close)
messages = Console(file=_stream, soft_wrap=True, highlight=False)


@dataclasses.dataclass(frozen=True)
class Reporter:
    """What a command says: by default a report, with `--json` an object instead, with `--quiet` no report.

    What goes on meanwhile is shown on stderr, to terminals only, and not to those who asked for quiet.
    """

    as_json: bool = False
    quiet: bool = False

    def report(self, part: RenderableType = "") -> None:
        """A part of the report: a line, in which square brackets are markup, or a table."""
        if not (self.as_json or self.quiet):
            # On one screen, only the console that draws the bar can keep clear of it.
            (messages if results.is_terminal and messages.is_terminal else results).print(part)

    def object(self, found: dict[str, Any] | list[Any]) -> None:
        """What programs read in the report's place."""
        if self.as_json:
            print(json.dumps(found), flush=True)

    @contextlib.contextmanager
    def status(self, what: str) -> Iterator[Status]:
        """A line that says what is being done; what it gives is called with what is done next."""
        if self.quiet:
            yield lambda what: None
            return
        with messages.status(f"{what} ...") as status:
            yield lambda what: status.update(f"{what} ...")

    @contextlib.contextmanager
    def progress(self, what: str, unit: str = "") -> Iterator[Progress]:
        """A bar, with a rate and the time that is left; what it gives is called with how much is done, of how much."""
        columns = (MofNCompleteColumn(), _Rate(unit), TimeElapsedColumn(), TimeRemainingColumn())
        with self._bar(what, *columns) as tick:
            yield tick

    @contextlib.contextmanager
    def download(self, what: str) -> Iterator[Progress]:
        """The same for bytes."""
        with self._bar(what, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as tick:
            yield tick

    @contextlib.contextmanager
    def _bar(self, what: str, *columns: ProgressColumn) -> Iterator[Progress]:
        if self.quiet or not messages.is_terminal:  # A disabled bar of Rich before 14.3 writes an empty line.
            yield lambda done, total: None
            return
        described = TextColumn("{task.description}", markup=False)
        bar = Bar(described, BarColumn(20), *columns, console=messages, transient=True)
        with bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextlib.contextmanager
    def loading_tensorflow(self) -> Iterator[Status]:
        """A status line under which TensorFlow is imported, and then whatever the block does."""
        with self.status("loading TensorFlow") as now:
            load_tensorflow()
            yield now


def complain(reason: object, *details: str) -> None:
    """One line on stderr, and one below it for each detail."""
    messages.print(f"vggfcn: {one_line(reason)}", markup=False)
    for detail in details:
        messages.print(f"  {one_line(detail)}", markup=False)


def read_image_quietly(path: pathlib.Path) -> "np.ndarray":
    """`images.read_image` without what Pillow's C libraries write to stderr about a damaged file."""
    from vggfcn.images import reading

    with silenced():
        return reading.read_image(path)


class _Rate(ProgressColumn):
    """How many are done in a second, or in a minute where that is less than one."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed: Any = task.finished_speed or task.speed
        if not speed:
            return Text("")
        text = f"{speed:.1f} {self.unit}/s" if speed >= 1 else f"{60 * speed:.1f} {self.unit}/min"
        return Text(text, style="progress.data.speed")
