"""Has files read by a process of its own, and says of each what came of it: also if that process ends, hangs or swells.

A process reads many files, one after another; after whatever is wrong, the next file gets a new process.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time

from fuzz_limits import MIB
from paths import ROOT

READER = pathlib.Path(__file__).with_name("fuzz_reader.py")
SECONDS = 20  # a file that takes longer hangs the reader
ADDRESSES = 4 << 30  # bytes that the reader may ask for
OUTCOMES = ("read", "refused", "crash", "hang", "foreign", "memory")
BETWEEN = 0.01  # seconds between two looks at the memory of the reader's children


def allowed(size):
    """Bytes of memory for reading a file of `size` bytes."""
    return 300 * MIB + 3 * size


@dataclasses.dataclass
class Result:
    outcome: str
    text: str
    seconds: float
    memory: int


class Reader:
    """A process that reads files in a folder with one of `fuzz_reader.READERS`."""

    def __init__(self, reader, folder, seconds=SECONDS):
        self.reader, self.folder, self.seconds = reader, pathlib.Path(folder), seconds
        self.process = None

    def start(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "temporary").mkdir(parents=True)
        path = os.pathsep.join(filter(None, [str(READER.parent), os.environ.get("PYTHONPATH"), str(ROOT)]))
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "TMPDIR": str(self.folder / "temporary"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.said = (self.folder.with_suffix(".stderr")).open("wb+")
        command = [sys.executable, str(READER), self.reader, str(ADDRESSES)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=pipe, stdout=pipe, stderr=self.said, start_new_session=True
        )
        if not self.process.stdout.readline():
            raise RuntimeError(f"the reader does not start: {pathlib.Path(self.said.name).read_text()[-2000:]}")

    def stop(self):
        """End the process and all that it started."""
        if self.process:
            for pid in [*descendants(self.process.pid), self.process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.communicate()
            self.said.close()
            self.process = None

    def read(self, data, name):
        """What comes of a file with these bytes."""
        if not self.process:
            self.start()
        path = self.folder / name
        path.write_bytes(data)
        said, start = os.fstat(self.said.fileno()).st_size, time.monotonic()
        self.process.stdin.write(json.dumps(str(path)).encode() + b"\n")
        self.process.stdin.flush()
        line, swollen = self._answer()
        if line:
            result = Result(**json.loads(line))
            result.memory += swollen
        else:
            result = self._ended(time.monotonic() - start)
        self._judge(result, path, len(data), said)
        path.unlink(missing_ok=True)
        if result.outcome not in ("read", "refused"):
            self.stop()
        return result

    def _answer(self):
        """The line that the process answers, "" if it ends or hangs; and the most memory that its children had."""
        most, end = 0, time.monotonic() + self.seconds
        before = sum(map(resident, descendants(self.process.pid)))
        while time.monotonic() < end:
            if select.select([self.process.stdout], [], [], BETWEEN)[0]:
                return self.process.stdout.readline(), most
            most = max(most, sum(map(resident, descendants(self.process.pid))) - before)
        return b"", most

    def _ended(self, seconds):
        if seconds >= self.seconds:
            return Result("hang", f"over {self.seconds} seconds", seconds, 0)
        code = self.process.wait()
        said = pathlib.Path(self.said.name).read_text(errors="replace")[-300:]
        return Result("crash", f"ended with {code}: {said}", seconds, 0)

    def _judge(self, result, path, size, said):
        """Also wrong: what is written to the standard streams, files left behind, memory beyond what is allowed."""
        if result.outcome not in ("read", "refused"):
            return
        left = sorted(
            {str(each.relative_to(self.folder)) for each in self.folder.rglob("*")} - {path.name, "temporary"}
        )
        if left:
            result.outcome, result.text = "foreign", f"leaves {left} behind"
        if os.fstat(self.said.fileno()).st_size > said:
            text = pathlib.Path(self.said.name).read_bytes()[said:][:300]
            result.outcome, result.text = "foreign", f"lets out {text!r}"
        if result.memory > allowed(size):
            result.outcome, result.text = "memory", f"{result.memory / MIB:.0f} MiB; {result.text}"


def descendants(pid):
    """The processes that a process started, and those that these did."""
    found = []
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(child)]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def resident(pid):
    """Bytes of memory of a process, its part of what it shares with others."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass
    return 0


def table(rows):
    """Results by name as Markdown."""
    lines = [f"| hostile weight files | files | {' | '.join(OUTCOMES[:-1])} | over memory | slowest, s | memory, MiB |"]
    lines.append("|---" * 10 + "|")
    for name, results in rows.items():
        counts = [sum(result.outcome == outcome for result in results) for outcome in OUTCOMES]
        slowest, most = max(result.seconds for result in results), max(result.memory for result in results)
        numbers = [f"{count:,}" for count in (len(results), *counts)]
        lines.append(f"| {name} | {' | '.join(numbers)} | {slowest:.2f} | {most / MIB:.0f} |")
    return "\n".join(lines)
