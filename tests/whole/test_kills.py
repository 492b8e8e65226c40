"""Every long command is killed 40 times, wherever it is just then; started again it gives what it always gives.

Nothing else is left behind: neither beside the results nor in the folder for temporary files or the cache.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from command_line import PROGRAM
from file_server import CONTENT, SHA256, serving
from PIL import Image

pytestmark = pytest.mark.slow
KILLS = 40
IN_A_ROW = 4  # kills before the command may finish
# What a run leaves on purpose, so that the next one goes on from there.
RESUMABLE = (".part", ".blocks", ".unfinished", ".state.npz", ".jsonl")
REGISTER = """
import os
from vggfcn import answers
from vggfcn.networks import download, registry
answers.BLOCK = download.BLOCK = 500
registry.REGISTRY["w"] = registry.KnownWeights("w.h5", "vgg16", "", 1, "", os.environ["URL"], {size}, "sha256:{digest}")
"""
MAP = """
import numpy, vggfcn
vggfcn.score_map(vggfcn.build(weights="mnist-lenet5"), "{{images}}/large.npy", max_memory="4GB", output="map{ending}")
sys.exit()
"""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line, in which `{images}` is a folder, and what runs before it in the same process."""

    line: str
    before: str = ""


LENET = "--weights mnist-lenet5"
COMMANDS = {
    "heatmap": Command(f"heatmap {{images}}/large.npy {LENET} --max-memory 4GB --format npy --overwrite"),
    "score_map to npy": Command("", MAP.format(ending=".npy")),
    "score_map to zarr": Command("", MAP.format(ending=".zarr")),
    "evaluate": Command(f"evaluate {{images}}/classes {LENET} --sizes 32,40,48 --results r.jsonl"),
    "convert": Command("convert scene-digits x.keras --overwrite"),
    "export to onnx": Command(f"export x.onnx {LENET} --overwrite"),
    "export to openvino": Command(f"export x.xml {LENET} --overwrite"),
    "weights fetch": Command("weights fetch w", REGISTER.format(size=len(CONTENT), digest=SHA256)),
    "weights convert": Command("weights convert scene-digits x.safetensors --overwrite"),
    "bench": Command(f"bench {LENET} --size 64 --engine openvino"),
    "demo": Command("demo --weights scene-digits --max-side 300"),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A large image, and small ones in two classes."""
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(0, 256, (4000, 700, 1), np.uint8)
    np.save(folder / "large.npy", pixels)
    for number in range(30):
        place = folder / "classes" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[20 * number : 20 * number + 60, :50, 0]).save(place / f"{number}.png")
    return folder


class Trial:
    """A command with folders of its own for results, temporary files and the cache."""

    def __init__(self, command, folder, images, url):
        self.folders = [folder / name for name in ("results", "temporary", "cache")]
        for place in self.folders:
            place.mkdir(parents=True)
        results, temporary, cache = map(str, self.folders)
        program = PROGRAM.format(before=command.before.replace("{images}", str(images)))
        self.command = [sys.executable, "-c", program, *command.line.replace("{images}", str(images)).split()]
        unwanted = ("VGGFCN_MIRROR", "PYTEST_CURRENT_TEST")
        environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        environment |= {"TMPDIR": temporary, "VGGFCN_CACHE": cache, "URL": url}
        self.options = {"cwd": results, "env": environment, "text": True, "stdin": subprocess.DEVNULL}

    def start(self):
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **self.options)

    def finish(self):
        """Run to the end; returns the seconds, and the number of times that the files changed."""
        start, process = time.perf_counter(), self.start()
        changes = self.watch(process)
        error = process.communicate()[1]
        assert process.returncode == 0, error
        return time.perf_counter() - start, changes

    def watch(self, process, seconds=None, changes=None):
        """Wait until the process has ended, or for so many seconds or changes of files; returns the changes seen."""
        start, seen, before = time.perf_counter(), 0, self.files()
        while process.poll() is None and seen != changes:
            if seconds is not None and time.perf_counter() - start > seconds:
                break
            time.sleep(0.0005)
            now = self.files()
            seen, before = seen + (now != before), now
        return seen

    def files(self):
        """All files and folders, with the sizes of files; some may vanish meanwhile."""
        found = {}
        for folder in self.folders:
            for place, folders, files in os.walk(folder):
                for path in (pathlib.Path(place, name) for name in (*folders, *files)):
                    with contextlib.suppress(OSError):
                        found[path.relative_to(folder.parent)] = path.stat().st_size if path.is_file() else 0
        return found

    def contents(self):
        """What the files say: names, and the contents but for the times that a .keras file holds."""
        folder = self.folders[0].parent
        return {path: _content(folder / path) for path in self.files() if (folder / path).is_file()}


def _content(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return {name: _without_time(archive.read(name)) for name in archive.namelist()}
    if path.suffix == ".jsonl":
        return sorted(path.read_text().splitlines())
    return path.read_bytes()


def _without_time(content):
    """JSON without the time, and without the numbers by which Keras says which objects are the same: addresses."""
    with contextlib.suppress(ValueError):
        return json.loads(content, object_hook=_lasting)
    return content


def _lasting(values):
    return {key: value for key, value in values.items() if key not in ("date_saved", "shared_object_id")}


def is_temporary(path):
    return not any(part.endswith(RESUMABLE) for part in path.parts) and (
        path.parts[0] == "temporary" or any(part.startswith(".") for part in path.parts)
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_was_killed_gives_the_same_when_it_is_started_again(name, images, tmp_path):
    random_ = random.Random(name)
    with serving() as (address, _):
        start = [COMMANDS[name], images, f"{address}/trickle/w.h5"]
        undisturbed = Trial(start[0], tmp_path / "undisturbed", *start[1:])
        seconds, changes = undisturbed.finish()
        expected = undisturbed.contents()
        assert expected
        found = {"kills": 0, "ended before": 0, "identical": 0, "left after SIGTERM": [], "left": []}
        while found["kills"] < KILLS:
            trial = Trial(start[0], tmp_path / str(found["kills"]), *start[1:])
            for _ in range(IN_A_ROW):
                _kill(trial, random_, seconds, changes, found)
            trial.finish()
            found["identical"] += trial.contents() == expected
            found["left"] += map(str, trial.files().keys() - undisturbed.files().keys())
    print(f"{name}: {found}")
    assert found == {**found, "identical": KILLS // IN_A_ROW, "left after SIGTERM": [], "left": []}


def _kill(trial, random_, seconds, changes, found):
    """Kill the command at a random time, or as soon as its files have changed so many times."""
    kind = signal.SIGTERM if random_.random() < 0.25 else signal.SIGKILL
    limit = {"changes": random_.randint(1, changes)} if changes and random_.random() < 0.5 else {}
    while True:
        before = trial.files()  # Also what an earlier SIGKILL left, and this run may not have come to remove.
        process = trial.start()
        trial.watch(process, **(limit or {"seconds": random_.uniform(0, seconds)}))
        process.send_signal(kind)
        error = process.communicate()[1]
        if process.returncode != 0:
            break
        found["ended before"] += 1
        limit = {}
    found["kills"] += 1
    if process.returncode == 130:
        found["left after SIGTERM"] += [str(path) for path in trial.files().keys() - before if is_temporary(path)]
        assert error == "vggfcn: interrupted\n"
    else:
        assert process.returncode == -kind, error
