"""What each event changes on the page."""

import dataclasses
import types

import pytest
from bad_images import bad_files
from sample_scenes import STRIP

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')
import gradio

from vggfcn.app.choices import SAMPLES
from vggfcn.app.events import STEPS, Events, Outputs, reason
from vggfcn.errors import ImageError

# Each component is stood for by its name.
OUTPUTS = Outputs(*(field.name for field in dataclasses.fields(Outputs)))
ANN = types.SimpleNamespace(session_hash="ann")
LENET5 = {"weights": "mnist-lenet5", "label": "0", "stride": 4, "scales": [1.0], "opacity": 0.5}


@pytest.fixture
def events(sessions):
    return Events(sessions, OUTPUTS)


@pytest.fixture
def drawn(evaluated):
    """The events of a page that shows a map."""
    return Events(evaluated, OUTPUTS)


def at(x, y):
    return types.SimpleNamespace(index=[x, y])


def drop(events, path):
    """Upload a file as ann, and say so."""
    with path.open("rb") as file:
        return events.add_image(events.sessions.uploads.add("ann", path.name, file), ANN)


@pytest.mark.parametrize("token", [str(STRIP), "/dev/zero", None, ["a"]], ids=str)
def test_what_was_not_uploaded_is_not_looked_at(events, token):
    assert "drop it again" in events.add_image(token, ANN)
    assert not events.sessions.has_image("ann")


@pytest.mark.parametrize("index", [-1, len(SAMPLES), [0, 1]], ids=str)
def test_a_sample_that_is_none_is_refused(events, index):
    with pytest.raises(gradio.Error, match="no such sample"):
        events.add_sample(types.SimpleNamespace(index=index), ANN)


def test_a_dropped_image_is_evaluated_step_by_step(events):
    assert drop(events, STRIP) == ""
    steps = []
    first, last = events.evaluate(**LENET5, request=ANN, progress=lambda done, desc, unit: steps.append((*done, desc)))
    assert set(first) == {"notice", "welcome", "results"}
    assert set(last) == {field.name for field in dataclasses.fields(Outputs)}
    assert "highest probability" in last["summary"]
    assert "session=ann&amp;opacity=0.5" in last["files"]
    assert last["heatmap"]["url"].startswith("files/heatmap.jpg?session=ann&opacity=0.5&drawn=")
    assert [step for step, _, _ in steps] == sorted(step for step, _, _ in steps)
    assert all(0 < step < total == STEPS for step, total, _ in steps)
    assert steps[-1][2] == "drawing"


def test_a_bad_image_brings_back_the_welcome_and_says_why(events, tmp_path):
    bad_files(tmp_path)
    drop(events, tmp_path / "notes.jpg")
    *_, last = events.evaluate(**LENET5, request=ANN, progress=lambda *_, **__: None)
    assert 'role="alert"' in last["notice"]
    assert "notes.jpg: not an image" in last["notice"]
    assert last["welcome"].visible
    assert not last["results"].visible
    assert not events.sessions.has_map("ann")


def test_without_an_image_nothing_is_evaluated(events):
    assert list(events.evaluate(**LENET5, request=ANN)) == [{"notice": ""}]
    assert set(events.redraw("0", 0.5, ANN)) == {"notice"}
    assert set(events.redraw_after_evaluation("0", 0.5, ANN)) == {"notice"}


def test_a_sample_comes_with_its_weights_classes_and_strides(events):
    number = next(i for i, sample in enumerate(SAMPLES) if sample.weights == "mnist-lenet5")
    weights, label, stride, scales = events.add_sample(types.SimpleNamespace(index=number), ANN)
    assert weights == "mnist-lenet5"
    assert len(label.choices) == 1 + 10
    assert ([value for _, value in stride.choices], stride.value) == ([4, 2, 1], 4)
    assert scales == [1.0]
    assert events.sessions.has_image("ann")


def test_another_class_and_a_click_redraw_the_map(drawn):
    assert "<h2>7 " in drawn.redraw("7", 0.5, ANN)["summary"]
    assert "The window you clicked" in drawn.click(0.5, at(95, 16), ANN)["cell"]
    assert "<h2>7 " in drawn.redraw_after_evaluation("7", 1, ANN)["summary"]
    refused = drawn.redraw("cat", 0.5, ANN)
    assert set(refused) == {"notice"}
    assert "cat" in refused["notice"]


def test_a_class_chosen_during_an_evaluation_is_drawn_after_it(drawn):
    session = drawn.sessions._session("ann")
    session.busy = True
    assert set(drawn.redraw("7", 0.5, ANN)) == {"notice"}
    session.busy = False
    assert "<h2>7 " in drawn.redraw_after_evaluation("7", 0.5, ANN)["summary"]


@pytest.mark.parametrize("event", ["clear", "close"])
def test_a_removed_image_is_forgotten(drawn, event):
    getattr(drawn, event)(ANN)
    assert not drawn.sessions.has_image("ann")
    assert "drop it again" in drawn.click(0.5, at(1, 1), ANN)["notice"]


def test_while_the_server_loads_the_page_says_so(events):
    events.sessions.networks.activity = "loading TensorFlow"
    assert "One moment: loading TensorFlow" in events.show_loading()[0]
    events.sessions.networks.activity = ""
    events.sessions.ready = True
    said, timer = events.show_loading()
    assert (said, timer.active) == ("", False)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(ImageError("a\nb"), "a b", id="a refusal"),
        pytest.param(MemoryError(), "not enough memory; try a smaller image or a larger output stride", id="memory"),
        pytest.param(
            type("ResourceExhaustedError", (Exception,), {})("OOM"),
            "not enough memory; try a smaller image or a larger output stride",
            id="TensorFlow's memory",
        ),
        pytest.param(KeyError("x"), "unexpected KeyError: 'x'; please report it", id="a bug"),
    ],
)
def test_errors_are_one_line(error, said):
    assert reason(error) == said
