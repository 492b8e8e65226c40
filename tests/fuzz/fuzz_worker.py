"""Damaged images through the readers and the command line, in a process of its own: KIND COUNT, and a report in JSON.

Started by `fuzz_images` in an empty folder, with that as the place of all its files.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

from fuzz_limits import Tally, limited
from fuzz_mutations import hostile
from fuzz_seeds import seeds

from vggfcn.errors import ImageError
from vggfcn.images.opening import open_source
from vggfcn.images.reading import read_image

MEMORY = 2 << 30  # bytes beyond what is in use
# For a PNG whose last chunk says that it is long, Pillow asks for so much and touches none of it.
ADDRESSES = MEMORY + (4 << 30)
COMMAND = ("--weights", "mnist-lenet5", "--max-side", "64", "--output", "out")
KEPT = pathlib.Path("kept")
BLOCK = 16  # rows
WHOLE = 1 << 22  # pixels that are read to the last one


class WrongError(Exception):
    """A file did what it must not."""


def expect(condition, what):
    if not condition:
        raise WrongError(what)


def one_line(text, path):
    expect(text.startswith(f"{path}: "), f"says {text!r}")
    # The option's name is advice; any other word on memory would mean that it ran short.
    expect("\n" not in text and "memory" not in text.replace("--max-memory", "").lower(), f"says {text!r}")


@contextlib.contextmanager
def silence():
    """Python's own standard streams, which libraries' logs go to, and warnings: nothing may be said."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("always")
        yield
    expect(not said.getvalue(), f"lets out {said.getvalue()!r}")


def read_whole(path):
    check_pixels(read_image(path))


def read_in_parts(path):
    source = open_source(path)
    height, width, _ = source.shape
    if height * width <= WHOLE:
        spans = [(top, min(top + BLOCK, height), width) for top in range(0, height, BLOCK)]
    else:
        spans = [(0, min(BLOCK, height), min(width, 1024)), (max(0, height - BLOCK), height, min(width, 1024))]
    for top, bottom, right in spans:
        pixels = source.read(slice(top, bottom), slice(0, right))
        check_pixels(pixels)
        expect(pixels.shape[:2] == (bottom - top, right), f"gives {pixels.shape}")


def check_pixels(pixels):
    expect(pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == "uint8", f"gives {pixels.shape}")
    expect(min(pixels.shape) > 0, f"gives {pixels.shape}")


def outcome_of(read):
    """A reader's outcome."""

    def attempt(path):
        try:
            with silence():
                read(path)
            return "read"
        except ImageError as error:
            one_line(str(error), path)
            return "refused"

    return attempt


class CommandLine:
    """`vggfcn heatmap FILE` as `main` runs it, with LeNet-5 built once for all files."""

    def __init__(self):
        from vggfcn.cli import console
        from vggfcn.cli import main as cli
        from vggfcn.networks import classifier

        self._main, self._said = cli.main, os.open("said", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(self._said, console.messages.file.fileno())
        model = classifier.load("mnist-lenet5").build("conv")
        classifier.Classifier.build = lambda self, head: model
        self._streams = {"stdout": 1, "stderr": 2, "said": self._said}
        # What TensorFlow makes at its first image is no file's doing.
        pathlib.Path("sound.bmp").write_bytes(seeds("bmp")["RGB"])
        with contextlib.suppress(WrongError):
            self("sound.bmp")

    def __call__(self, path):
        self._clear()
        before = listing()
        sys.argv = ["vggfcn", "heatmap", path, *COMMAND]
        code = 0
        try:
            self._main()
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        try:
            outcome = self._judge(path, code, self._clear())
        finally:
            shutil.rmtree("out", ignore_errors=True)
        expect(listing() == before, f"leaves {set(listing()) - set(before)} behind")
        return outcome

    def _judge(self, path, code, said):
        expect(not said["stderr"], f"lets out {said['stderr']!r}")
        made = sorted(str(path) for path in pathlib.Path("out").rglob("*"))
        if code == 0:
            stem = pathlib.Path(path).stem
            expect(made == [f"out/{stem}-heatmap.png"] and not said["said"], f"made {made}, said {said['said']!r}")
            return "read"
        expect(code == 1 and not made, f"ended with {code}, made {made}")
        reason, left_out, *more = said["said"].splitlines()
        expect(not more and left_out == f"vggfcn: Skipped 1 of 1 images: {path}", f"says {said['said']!r}")
        if "each side must have at least" not in reason:
            one_line(reason.removeprefix("vggfcn: "), path)
        return "refused"

    def _clear(self):
        """What was written to each stream since the last time."""
        said = {}
        for name, stream in self._streams.items():
            said[name] = pathlib.Path(f"/proc/self/fd/{stream}").read_text(errors="replace")
            os.ftruncate(stream, 0)
        return said


def listing():
    return sorted(str(path) for path in pathlib.Path().rglob("*") if KEPT not in path.parents)


def run(kind, count):
    """Every file through every way in: a tally of each way, and what went wrong."""
    ways = {"read whole": outcome_of(read_whole), "read in parts": outcome_of(read_in_parts), "command": CommandLine()}
    wrong = []
    with limited(ADDRESSES):
        tallies = {way: Tally() for way in ways}
        outcomes = {way: [] for way in ways}
        for number, (data, ending) in enumerate(hostile(kind, count)):
            path = pathlib.Path(f"{kind}-{number:04}{ending}")
            path.write_bytes(data)
            for way, attempt in ways.items():
                try:
                    with tallies[way].file():
                        outcomes[way].append(attempt(str(path)))
                except BaseException as error:
                    outcomes[way].append("wrong")
                    KEPT.mkdir(exist_ok=True)
                    (KEPT / path.name).write_bytes(data)
                    wrong.append(f"{path}, {way}: {type(error).__name__}: {error}")
            path.unlink()
    return outcomes, tallies, wrong


def main():
    temporary = pathlib.Path("temporary").absolute()
    temporary.mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
    outcomes, tallies, wrong = run(sys.argv[1], int(sys.argv[2]))
    slowest = {way: tally.slowest for way, tally in tallies.items()}
    memory = {way: tally.memory for way, tally in tallies.items()}
    wrong += [
        f"{way} took {taken:,} bytes; expected at most {MEMORY:,}" for way, taken in memory.items() if taken > MEMORY
    ]
    report = {"outcomes": outcomes, "slowest": slowest, "memory": memory, "wrong": wrong}
    pathlib.Path("report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
