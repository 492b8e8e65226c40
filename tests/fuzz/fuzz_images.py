"""Damaged images by the thousand: `make fuzz`. Each is read or refused in one line, and nothing else comes of it."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import pytest
from fuzz_limits import SECONDS, table
from fuzz_mutations import BOMBS, damaged
from fuzz_seeds import KINDS, seeds
from fuzz_worker import COMMAND
from paths import ROOT

from vggfcn.images.reading import read_image

COUNT = int(os.environ.get("FUZZ_IMAGES", "400"))  # of each kind
ALONE = 6  # of each kind, by a command in a process of its own, which takes seconds to load TensorFlow
AT_ONCE = 2
WORKER = pathlib.Path(__file__).with_name("fuzz_worker.py")
STARTED = "import sys; from vggfcn.cli.main import main; sys.argv[0] = 'vggfcn'; main()"
WAYS = ("read whole", "read in parts", "command")


def environment(folder):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder), "PYTHONFAULTHANDLER": "1"}


def worked(kind, folder):
    """A worker's report on one kind; what it says if it ended without."""
    folder.mkdir()
    with (folder / "stdout").open("a") as out, (folder / "stderr").open("a") as err:
        command = [sys.executable, WORKER, kind, str(COUNT)]
        code = subprocess.run(command, cwd=folder, stdout=out, stderr=err, env=environment(folder)).returncode
    if (folder / "report.json").exists():
        return json.loads((folder / "report.json").read_text())
    at = sorted(path.name for path in folder.glob(f"{kind}-*"))
    said = (folder / "stderr").read_text(errors="replace")[-3000:]
    return {"wrong": [f"ended with {code} at {at}, {folder}:\n{said}"], "outcomes": {}, "slowest": 0, "memory": 0}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Of every kind; at the end the table is printed."""
    folder = tmp_path_factory.mktemp("images")
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        kinds = (BOMBS, *KINDS)
        found = dict(zip(kinds, pool.map(lambda kind: worked(kind, folder / kind), kinds), strict=True))
    print(f"\n{summary(found)}\n")
    return found


def summary(found):
    rows = {}
    for kind, report in found.items():
        for way, outcomes in report["outcomes"].items():
            read, refused = outcomes.count("read"), outcomes.count("refused")
            costs = (report["slowest"][way], report["memory"][way])
            name = kind if kind == BOMBS else kind.upper()
            rows[f"{name}, {way}"] = (len(outcomes), read, refused, *costs)
    return table("damaged images", rows)


@pytest.mark.parametrize("kind", KINDS)
def test_every_seed_is_sound(kind, tmp_path):
    for name, content in seeds(kind).items():
        (tmp_path / name).write_bytes(content)
        assert read_image(tmp_path / name).size


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_images(kind, reports):
    report = reports[kind]
    assert report["wrong"] == []
    assert {way: len(outcomes) for way, outcomes in report["outcomes"].items()} == dict.fromkeys(WAYS, COUNT)
    # Such damage as is always refused, or never, tries nothing.
    assert 0.05 < report["outcomes"]["read whole"].count("read") / COUNT < 0.95


def test_bombs(reports):
    """Images below Pillow's limit are read, in bounded memory; those beyond it are, in parts, if they can be."""
    outcomes = reports[BOMBS]["outcomes"]
    assert reports[BOMBS]["wrong"] == []
    below, beyond = ["read"] * 7, ["refused"] * 4
    assert outcomes["read whole"] == outcomes["command"] == below + beyond
    assert outcomes["read in parts"] == [*below, "refused", "refused", "read", "read"]


def test_the_command_in_a_process_of_its_own(reports, tmp_path):
    """The same outcome, in as much memory as a limit of the system leaves."""
    chosen = [(kind, number) for kind in KINDS for number in range(0, COUNT, max(1, COUNT // ALONE))]

    def run(one):
        kind, number = one
        data, ending = damaged(kind, number)
        folder = tmp_path / f"{kind}-{number}"
        folder.mkdir()
        path = folder / f"image{ending}"
        path.write_bytes(data)
        command = [sys.executable, "-c", STARTED, "heatmap", path.name, *COMMAND]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=6 * SECONDS, env=environment(folder)
        )
        made = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        return one, done, made, path.name

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for (kind, number), done, made, name in pool.map(run, chosen):
            expected = reports[kind]["outcomes"]["command"][number]
            where = f"{kind} {number}: {done.stderr}"
            if expected == "read":
                assert (done.returncode, done.stderr, made) == (0, "", [name, "out/image-heatmap.png"]), where
            else:
                assert (done.returncode, made, len(done.stderr.splitlines())) == (1, [name], 2), where
                assert done.stderr.startswith(f"vggfcn: {name}: ") or "each side must have at least" in done.stderr, (
                    where
                )
    print(f"\n{len(chosen)} of them by a command of its own each: the same outcomes")
