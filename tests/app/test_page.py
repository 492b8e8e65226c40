"""The page as Gradio will serve it."""

import asyncio
import re

import pytest

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')

from vggfcn.app import page as module
from vggfcn.app import rendering
from vggfcn.app.choices import default_weights
from vggfcn.app.sessions import Sessions
from vggfcn.evaluation.loading import load


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """The page; the event loops that Gradio makes for its locks are closed afterwards."""
    loops, new_event_loop = [], asyncio.new_event_loop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", lambda: loops.append(new_event_loop()) or loops[-1])
        yield module.page(Sessions(tmp_path_factory.mktemp("page")))
    for loop in loops:
        loop.close()


@pytest.fixture(scope="module")
def ids(blocks):
    """The ids of the components."""
    return {block.elem_id for block in blocks.blocks.values() if getattr(block, "elem_id", None)}


def test_every_id_in_the_style_sheet_is_on_the_page(ids, result):
    styled = set(re.findall(r"#(\w+)", re.sub(r"\{[^{}]*\}", "", module.CSS)))
    assert {"page", "sidebar", "heatmap"} <= styled
    made = re.findall(r'id="(\w+)"', rendering.agreement(result))
    assert styled - ids - set(made) == set()


def test_messages_have_the_classes_that_the_style_sheet_knows():
    assert ".message.error" in module.CSS
    assert 'class="message error"' in rendering.message("no", is_error=True)


def test_events_are_no_public_interface(blocks):
    events = list(blocks.fns.values())
    assert len(events) > 10
    assert {event.api_visibility for event in events if event.fn.__name__ != "close"} == {"private"}


def test_what_is_chosen_first_fits_the_weights_chosen_first(blocks):
    chosen = {getattr(block, "elem_id", None): block for block in blocks.blocks.values()}
    weights = chosen["weights"].value
    assert weights == default_weights()
    strides = module.stride_choices(load(weights))
    assert ([value for _, value in chosen["stride"].choices], chosen["stride"].value) == (strides, strides[0])
    assert chosen["class"].value == ""
    assert chosen["scales"].value == [1.0]


def test_nothing_is_reported_to_others(blocks):
    assert not blocks.analytics_enabled
    assert "http" not in module.CSS
