"""The front-end's side of the object store: what was sent to it, and what becomes of that when it dies."""

from __future__ import annotations

import logging
from collections.abc import Callable

from scriptling.errors import ErrorCode, RpcError
from workers import frames
from workers.calls.dispatch import Dispatcher
from workers.calls.pool import as_call, describe_death, describe_end
from workers.calls.tickets import Caller, is_withdrawn_with
from workers.frames import Calls, Init, Ping, Replies, Withdraw
from workers.front_end.supervisor import Child, Supervisor

_PING = 200_000_000  # ns between two pings, at most

_log = logging.getLogger("scriptling.store")


class StoreLink:
    """The one object store, whichever life of it.

    :param send: takes a child's name and a frame
    :param timeout: seconds without a response until it is killed while it has calls; 0 is never. What callers set for
        their own calls is no measure: others lose their objects by that
    """

    def __init__(self, dispatcher: Dispatcher, send: Callable[[str, bytes], None], timeout: float) -> None:
        self._dispatcher = dispatcher
        self._send = send
        self._timeout = timeout * 1e9
        self._name = ""
        self._serving = False
        self._told_to_stop = False
        self._pinged = 0
        self._silent_since = 0
        self.stopped = True
        """Whether it has ended, or never began."""

    def is_greeted(self, child: Child) -> bool:
        """Whether this store has been given its classes."""
        return child.name == self._name

    def greet(self, child: Child, init: Init) -> None:
        """Give a store that is connected the classes it is to resolve."""
        self._name = child.name
        self.stopped = False
        self._send(child.name, frames.encode(init))

    def serve(self) -> None:
        """Begin to send calls: its classes are resolved."""
        self._serving = True

    def hand_out(self) -> None:
        """Send every call that is for it; it queues them by object itself."""
        waiting = self._dispatcher.for_store
        if waiting and self._serving:
            self._send(self._name, frames.encode(Calls([as_call(ticket) for ticket in waiting])))
            waiting.clear()

    def recall(self, caller: Caller) -> None:
        """Have the store not begin what a caller that has gone has sent."""
        sent = [ticket for ticket in self._dispatcher.in_store.values() if is_withdrawn_with(ticket, caller)]
        if sent and self._serving:
            frame = Withdraw([ticket.seq for ticket in sent], [ticket.target for ticket in sent])
            self._send(self._name, frames.encode(frame))

    def receive(self, replies: Replies) -> None:
        """Settle what it has answered."""
        for ticket, reply in self._dispatcher.done_in_store(replies.replies):
            ticket.caller.answer(ticket, reply.failed, reply.payload)

    def look(self, now: int, supervisor: Supervisor) -> None:
        """Kill a store that does not respond for as long as a call may take (``now`` in ns).

        A method that is merely slow does not keep the store from responding; one that holds the interpreter does.
        """
        timeout = self._timeout
        if not (self._serving and timeout and self._dispatcher.in_store):
            self._silent_since = 0
            return
        if self._silent_since and now - self._silent_since > timeout:
            text = "the object store did not respond any more and was killed: some method has kept the interpreter"
            supervisor.kill(self._name, RpcError(ErrorCode.TIMED_OUT, text), now / 1e9)
        if now - self._pinged > min(_PING, timeout / 10):
            self._pinged = now
            self._silent_since = self._silent_since or now
            self._send(self._name, frames.encode(Ping()))

    def responded(self) -> None:
        """Note that the store responds."""
        self._silent_since = 0

    @property
    def watched(self) -> bool:
        """Whether the store has to be looked at from time to time: it works."""
        return bool(self._dispatcher.in_store)

    def stop(self) -> None:
        """Have every object destroyed; it says when it has stopped."""
        if self._name and not self.stopped:
            self._told_to_stop = True  # its last frame may come after the notice of its death
            self._send(self._name, frames.encode(frames.Stop()))

    def died(self, child: Child, code: int) -> None:
        """Answer what died with it. What was not sent waits for its successor, which knows the lost objects by id."""
        self._serving = False
        self.stopped = True
        self._dispatcher.metrics.objects = 0
        for ticket in self._dispatcher.store_gone():
            death = describe_death(child, code, ticket)
            code_for_it = death.code if child.verdict else ErrorCode.OBJECT_LOST
            error = RpcError(code_for_it, f"object lost: {death.message}")
            self._dispatcher.fail(ticket, error)
        if not self._told_to_stop:
            _log.warning("the object store %s; its objects are lost", describe_end(code), extra={"worker": child.name})
