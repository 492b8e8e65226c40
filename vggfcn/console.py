"""Where the command line writes: results to stdout, everything else to stderr, and nothing of TensorFlow's."""

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

results = Console(soft_wrap=True, highlight=False)
# A stream of its own: what native libraries write to stderr while they load is silenced, messages are not.
_stream = os.fdopen(os.dup(2), "w")
atexit.register(_stream.close)
messages = Console(file=_stream, soft_wrap=True, highlight=False)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Meanwhile, what anybody but `messages` writes to stderr is thrown away, native libraries included."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def load_tensorflow() -> None:
    """Import TensorFlow without what its C++ libraries write to stderr while they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar, where somebody can see it; what it gives is called with how much is done and how much there is."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bar = Progress(*columns, TimeRemainingColumn(), console=messages, disable=not messages.is_terminal, transient=True)
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
