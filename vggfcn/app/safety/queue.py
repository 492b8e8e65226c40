"""Gradio's queue of events, made fair: whoever was served least recently comes first."""

import collections
import time
from collections.abc import Callable
from typing import Any

import gradio.queueing

from vggfcn.app.safety.bodies import visitor_of
from vggfcn.app.safety.names import is_loopback

MAX_PENDING = 12  # events of one client
MAX_SIZE = 64  # events that wait
MAX_MESSAGES = 200  # of a page that fetches none
PRESENT_SECONDS = 2.0  # after which somebody must wait for an event's answer
MAX_REMEMBERED = 1000  # clients


def client_of(session: str, request: Any) -> str:
    """Whom an event is counted for: an address of another machine; on this machine, the visitor."""
    address = request.client.host if request.client else ""
    return visitor_of(session) if is_loopback(address) else address


class FairQueue(gradio.queueing.Queue):
    """A queue in which one client's events do not make the others wait, however many they are."""

    def __init__(self, blocks: Any):
        super().__init__(
            live_updates=True,
            concurrency_count=blocks.max_threads,
            update_intervals=1,
            max_size=MAX_SIZE,
            blocks=blocks,
            default_concurrency_limit=1,
        )
        self.is_present: Callable[[str], bool] = lambda visitor: True  # whether a visitor has a request in progress
        self._served: collections.OrderedDict[str, float] = collections.OrderedDict()

    def get_events(self) -> Any:
        """What Gradio runs next; events of visitors who do not wait for their answers are forgotten."""
        for waiting in self.event_queue_per_concurrency_id.values():
            for event in [event for event in waiting.queue if self._is_abandoned(event)]:
                waiting.queue.remove(event)
                self.event_ids_to_events.pop(event._id, None)
            waiting.queue.sort(key=lambda event: self._served.get(_client(event), 0.0))  # A stable sort.
        found = super().get_events()
        if found:
            self._served[_client(found[0][0])] = time.monotonic()
            self._served.move_to_end(_client(found[0][0]))
            while len(self._served) > MAX_REMEMBERED:
                self._served.popitem(last=False)
        return found

    def _is_abandoned(self, event: Any) -> bool:
        waits = time.monotonic() - event.enqueue_time < PRESENT_SECONDS
        return not waits and not self.is_present(visitor_of(event.session_hash))

    def send_message(self, event: Any, event_message: Any) -> None:
        """Keep a message for the page, unless the page has not fetched many others."""
        kept = self.pending_messages_per_session.get(event.session_hash)
        if kept is not None and kept.qsize() < MAX_MESSAGES:
            super().send_message(event, event_message)

    async def push(self, body: Any, request: Any, username: Any) -> Any:
        """Add an event, unless its client has too many already."""
        client = client_of(body.session_hash, request)
        if sum(_client(event) == client for event in list(self.event_ids_to_events.values())) >= MAX_PENDING:
            return False, "Too many events at the same time; wait for their answers.", "queue_full"
        return await super().push(body=body, request=request, username=username)


def _client(event: Any) -> str:
    return client_of(event.session_hash, event.request)
