"""What several tests share."""

import gc
import os
import shutil
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Two workers share the cores: each keeps to its own, rather than starting threads that get in the other's way.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

import numpy as np
import pytest
from paths import ROOT
from writers import he_arrays, write_published_layout

from vggfcn.networks.catalogue import ARCHITECTURES, Architecture, vgg

# Tests that import OpenVINO or ONNX Runtime themselves report nothing either.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules["openvino_telemetry"] = None


@pytest.fixture(scope="session")
def full_size_file(tmp_path_factory):
    """VGG16's own weight file but for its numbers: 553 MB."""
    path = tmp_path_factory.mktemp("full") / "vgg16.h5"
    yield write_published_layout(path, he_arrays(ARCHITECTURES["vgg16"].parameter_shapes(), np.random.default_rng(0)))
    path.unlink()


@pytest.fixture(scope="session")
def small_architecture() -> Architecture:
    """VGG16 at 1/16 width with 7 classes."""
    return vgg("vgg16", (2, 2, 3, 3, 3), width=1 / 16, classes=7)


@pytest.fixture(scope="session")
def small_file(tmp_path_factory, small_architecture):
    path = tmp_path_factory.mktemp("small") / "small.h5"
    return write_published_layout(path, he_arrays(small_architecture.parameter_shapes(), np.random.default_rng(1)))


@pytest.fixture
def image():
    """A batch of one native-size image, uint8 (1, 224, 224, 3)."""
    return np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3), np.uint8)


@pytest.fixture
def one_at_a_time():
    """Free what the test before and the test itself built: full-size networks are half a gigabyte each."""
    gc.collect()
    yield
    gc.collect()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Built from a copy of the project's files, so that nothing of the working folder slips in."""
    source = tmp_path_factory.mktemp("source")
    for name in ("vggfcn", "weights", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--outdir", target, source]
    subprocess.run(build, check=True, capture_output=True)
    return next(target.glob("*.whl"))


def pytest_collection_finish():
    """What has been imported stays: garbage collections need not walk all of TensorFlow every time."""
    import hypothesis  # noqa: F401 When it is imported it looks for references, which it must still find.

    gc.freeze()
