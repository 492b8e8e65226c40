"""What a damaged file may cost, and the table of what such files did cost."""

import contextlib
import faulthandler
import pathlib
import resource
import time

SECONDS = 60  # a file that takes longer hangs the reader
MIB = 1 << 20


def held(name):
    """Bytes that this process holds: "VmRSS" now, "VmHWM" at most so far, "VmSize" of addresses."""
    line = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def limited(memory):
    """At most so many bytes beyond what is in use."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held("VmSize") + memory, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Tally:
    """Of many files the longest, in seconds of CPU, and the most memory, in bytes beyond what was held at first."""

    def __init__(self):
        self.slowest, self.memory = 0.0, 0
        self._before = held("VmRSS")

    @contextlib.contextmanager
    def file(self):
        """Around one file; what hangs ends the process, and says where it was."""
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the most so far is what is held now
        start = time.process_time()
        try:
            yield
        finally:
            self.slowest = max(self.slowest, time.process_time() - start)
            self.memory = max(self.memory, held("VmHWM") - self._before)
            faulthandler.cancel_dump_traceback_later()


def table(title, rows):
    """Rows by name, (files, read, refused, seconds, bytes) each, as Markdown."""
    lines = [f"| {title} | files | read | refused | slowest, s of CPU | memory, MiB |", "|---|---|---|---|---|---|"]
    for name, (files, read, refused, slowest, memory) in rows.items():
        lines.append(f"| {name} | {files:,} | {read:,} | {refused:,} | {slowest:.2f} | {memory / MIB:.0f} |")
    return "\n".join(lines)
