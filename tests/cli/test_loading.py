"""Weights chosen, downloaded and opened for a command."""

import contextlib
import dataclasses
import pathlib
import types

import pytest

from vggfcn.cli import loading
from vggfcn.cli.console import Reporter
from vggfcn.cli.options import Network
from vggfcn.errors import LabelError, WeightsError
from vggfcn.evaluation.loading import load
from vggfcn.networks import registry

QUIET = Reporter(quiet=True)


def test_the_classifier_has_the_names_and_groups_that_were_given(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"digit {digit}" for digit in range(10)))
    (tmp_path / "groups.json").write_text('{"round": ["digit 0", "digit 8"]}')
    network = Network("mnist-lenet5", tmp_path / "names.txt", tmp_path / "groups.json")
    classifier, reason = loading.load_classifier(QUIET, network)
    assert classifier.labels.find("digit 3").members == (3,)
    assert classifier.labels.find("round").members == (0, 8)
    assert reason == "as asked"


def test_what_cannot_be_loaded_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"gone.h5: no such weight file"):
        loading.load_classifier(QUIET, Network("gone.h5"))
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(LabelError):
        loading.load_classifier(QUIET, Network("mnist-lenet5", tmp_path / "names.txt"))


def test_weights_on_disk_are_not_downloaded(monkeypatch):
    monkeypatch.setattr(Reporter, "download", pytest.fail)
    expected = registry.EMBEDDED_FOLDER / "scene-digits.h5"
    assert loading.fetch_weights(QUIET, "scene-digits") == expected
    assert loading.fetch_weights(QUIET, str(expected)) == expected


def test_a_download_shows_its_progress(monkeypatch, tmp_path):
    for name in ("VGGFCN_CACHE", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    shown = []

    @contextlib.contextmanager
    def download(self, title):
        shown.append(title)
        yield lambda done, total: shown.append((done, total))

    def fetch(name, progress):
        progress(1, 2)
        return pathlib.Path(name)

    monkeypatch.setattr(Reporter, "download", download)
    monkeypatch.setattr(registry, "fetch", fetch)
    assert loading.fetch_weights(QUIET, "imagenet") == pathlib.Path("imagenet")
    assert shown == ["downloading vgg16_weights_tf_dim_ordering_tf_kernels.h5", (1, 2)]


def test_names_are_reported_as_they_are():
    classifier = dataclasses.replace(load("mnist-lenet5"), source="[red].h5", notes=("[blue]",))
    said = []
    loading.report_classifier(types.SimpleNamespace(report=said.append), classifier, "as [asked]")
    assert said[0] == "weights   [red].h5 (as [asked])"
    assert said[-1] == "note      [blue]"
    engine = types.SimpleNamespace(name="tensorflow", note="openvino [x]")
    assert loading.engine_text(engine) == "tensorflow (openvino [x])"
    assert loading.engine_text(types.SimpleNamespace(name="openvino", note="")) == "openvino"
