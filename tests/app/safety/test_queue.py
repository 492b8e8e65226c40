"""Gradio's queue, made fair."""

import asyncio
import time
import types

import pytest

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')
import gradio
from gradio.queueing import EventQueue

from vggfcn.app.safety import queue as module


@pytest.fixture
def queue(monkeypatch):
    """The event loops that Gradio makes for its locks are closed afterwards."""
    loops, new_event_loop = [], asyncio.new_event_loop
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", lambda: loops.append(new_event_loop()) or loops[-1])
        made = module.FairQueue(types.SimpleNamespace(max_threads=4, fns={}))
    yield made
    for loop in loops:
        loop.close()


def event(session, address="127.0.0.1"):
    request = types.SimpleNamespace(client=types.SimpleNamespace(host=address))
    function = types.SimpleNamespace(batch=False)
    return types.SimpleNamespace(
        session_hash=session, request=request, fn=function, enqueue_time=time.monotonic(), _id=session
    )


def served(queue, *events):
    queue.event_queue_per_concurrency_id["x"] = waiting = EventQueue("x", 1)
    waiting.queue += events
    return [queue.get_events()[0][0].session_hash for _ in events]


def test_visitors_take_turns_and_each_ones_events_stay_in_order(queue):
    order = served(queue, *map(event, ("ann-1", "ann-2", "ann-3", "bob-1", "cyd-1", "bob-2")))
    assert order == ["ann-1", "bob-1", "cyd-1", "ann-2", "bob-2", "ann-3"]


def test_on_another_machine_an_address_is_one_client_however_many_visitors_it_claims_to_be(queue):
    many = [event(f"mallory{number}-1", "10.0.0.9") for number in range(3)]
    assert served(queue, *many, event("ann-1", "10.0.0.2"))[1] == "ann-1"


def test_events_whose_answers_nobody_waits_for_are_forgotten(queue):
    queue.is_present = {"ann": True, "bob": False, "cyd": False}.get
    old, gone, new = event("ann-1"), event("bob-1"), event("cyd-1")
    for one in (old, gone):
        one.enqueue_time -= 2 * module.PRESENT_SECONDS
    queue.event_ids_to_events = {one._id: one for one in (old, gone, new)}
    queue.event_queue_per_concurrency_id["x"] = waiting = EventQueue("x", 1)
    waiting.queue += [gone, old, new]
    assert queue.get_events()[0] == [old]
    assert waiting.queue == [new]
    assert set(queue.event_ids_to_events) == {"ann-1", "cyd-1"}


def test_one_client_has_a_limit_and_others_have_not_reached_it(queue, monkeypatch):
    async def pushed(self, body, request, username):
        return True, "id", "success"

    monkeypatch.setattr(gradio.queueing.Queue, "push", pushed)
    queue.event_ids_to_events = {str(number): event("ann-1") for number in range(module.MAX_PENDING)}

    def push(session):
        return asyncio.run(queue.push(types.SimpleNamespace(session_hash=session), event(session).request, None))

    assert push("ann-2") == (False, "Too many events at the same time; wait for their answers.", "queue_full")
    assert push("bob-1")[0]


def test_messages_that_nobody_fetches_are_not_kept_without_end(queue):
    kept = asyncio.Queue()
    queue.pending_messages_per_session["ann-1"] = kept
    waiting = types.SimpleNamespace(session_hash="ann-1", _id="x", alive=True)
    for _ in range(module.MAX_MESSAGES + 5):
        queue.send_message(waiting, types.SimpleNamespace())
    assert kept.qsize() == module.MAX_MESSAGES
    queue.send_message(types.SimpleNamespace(session_hash="gone-1", _id="x", alive=True), types.SimpleNamespace())
