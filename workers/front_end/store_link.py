"""The front-end's side of the object stores: what was sent to each, and what becomes of that when it dies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from scriptling.errors import ErrorCode, RpcError
from workers import frames
from workers.calls.dispatch import Dispatcher
from workers.calls.pool import as_call, describe_death, describe_end
from workers.calls.shards import Shard
from workers.calls.tickets import Caller, is_withdrawn_with
from workers.frames import Calls, Init, Ping, Replies, Withdraw
from workers.front_end.supervisor import Child, Supervisor

_PING = 200_000_000  # ns between two pings, at most
_RESOLVE = 60_000_000_000  # ns that a successor may take to resolve its classes, which others have resolved before

_log = logging.getLogger("scriptling.store")


class StoreLink:
    """One object store, whichever life of it.

    :param shard: what it has to do
    :param send: takes a child's name and a frame
    :param timeout: seconds without a response until it is killed while it has calls; 0 is never. What callers set for
        their own calls is no measure: others lose their objects by that
    :ivar name: of the process; empty while there is none
    :ivar objects: how many live there, as it reported last
    :ivar stopped: whether it has ended, or never began
    """

    def __init__(
        self, dispatcher: Dispatcher, shard: Shard, send: Callable[[str, bytes], None], timeout: float
    ) -> None:
        self.name = ""
        self.objects = 0
        self.stopped = True
        self._dispatcher = dispatcher
        self._shard = shard
        self._send = send
        self._timeout = timeout * 1e9
        self._greeted = False
        self._serving = False
        self._has_served = False
        self._told_to_stop = False
        self._resolving_since = 0
        self._pinged = 0
        self._silent_since = 0

    def expect(self, child: Child) -> None:
        """Take a process that has been asked for as this store's."""
        self.name = child.name
        self._dispatcher.shards.born(self._shard, child.generation)

    def take_hello(self, init: Init) -> None:
        """Give a store that is connected the classes it is to resolve; of one that has them, note that it responds."""
        self._silent_since = 0
        if self._greeted:
            return
        self._greeted = True
        if self._told_to_stop:
            self._send(self.name, frames.encode(frames.Stop()))
        else:
            self.stopped = False
            self._send(self.name, frames.encode(init))

    @property
    def calls(self) -> Collection[int]:
        """The numbers of the calls that it owes an answer to."""
        return self._shard.calls.keys()

    def serve(self) -> None:
        """Begin to send calls: its classes are resolved."""
        self._serving = self._has_served = True

    def hand_out(self) -> None:
        """Send every call that is for it; it queues them by object itself."""
        waiting = self._shard.unsent
        if waiting and self._serving:
            self._send(self.name, frames.encode(Calls([as_call(ticket) for ticket in waiting])))
            waiting.clear()

    def recall(self, caller: Caller) -> None:
        """Have the store not begin what a caller that has gone has sent."""
        sent = [ticket for ticket in self._shard.calls.values() if is_withdrawn_with(ticket, caller)]
        if sent and self._serving:
            frame = Withdraw([ticket.seq for ticket in sent], [ticket.target for ticket in sent])
            self._send(self.name, frames.encode(frame))

    def receive(self, replies: Replies) -> None:
        """Settle what it has answered."""
        for ticket, reply in self._dispatcher.done_in_store(self._shard, replies.replies):
            ticket.caller.answer(ticket, reply.failed, reply.payload)

    def look(self, now: int, supervisor: Supervisor) -> None:
        """Kill a store that does not respond for as long as a call may take (``now`` in ns).

        A method that is merely slow does not keep the store from responding; one that holds the interpreter does.
        """
        timeout = self._timeout
        if self._greeted and not self._serving:
            self._look_at_successor(now, supervisor)
        if not (self._serving and timeout and self._shard.calls):
            self._silent_since = 0
            return
        if self._silent_since and now - self._silent_since > timeout:
            text = "the object store did not respond any more and was killed: some method has kept the interpreter"
            supervisor.kill(self.name, RpcError(ErrorCode.TIMED_OUT, text), now / 1e9)
        if now - self._pinged > min(_PING, timeout / 10):
            self._pinged = now
            self._silent_since = self._silent_since or now
            self._send(self.name, frames.encode(Ping()))

    def _look_at_successor(self, now: int, supervisor: Supervisor) -> None:
        self._resolving_since = self._resolving_since or now
        if self._has_served and now - self._resolving_since > _RESOLVE:
            text = f"{self.name} did not resolve its classes within {_RESOLVE / 1e9:g} s"
            supervisor.kill(self.name, RpcError(ErrorCode.INTERNAL_ERROR, text), now / 1e9)

    @property
    def watched(self) -> bool:
        """Whether the store has to be looked at from time to time: it works."""
        return bool(self._shard.calls)

    def stop(self) -> None:
        """Have every object destroyed; it says when it has stopped."""
        self._told_to_stop = True  # it may not have said hello yet, or its last frame may come after its death
        if not self.stopped:
            self._send(self.name, frames.encode(frames.Stop()))

    def died(self, child: Child, code: int) -> None:
        """Answer what died with it. What was not sent waits for its successor, which knows the lost objects by id."""
        self._greeted = self._serving = False
        self._resolving_since = 0
        self.name = ""
        self.objects = 0
        self.stopped = True
        for ticket in self._dispatcher.store_gone(self._shard):
            death = describe_death(child, code, ticket)
            code_for_it = death.code if child.verdict else ErrorCode.OBJECT_LOST
            error = RpcError(code_for_it, f"object lost: {death.message}")
            self._dispatcher.fail(ticket, error)
        if not self._told_to_stop:
            _log.warning("an object store %s; its objects are lost", describe_end(code), extra={"worker": child.name})


class StoreLinks:
    """All object stores; see :class:`StoreLink`."""

    def __init__(self, dispatcher: Dispatcher, send: Callable[[str, bytes], None], timeout: float) -> None:
        self._links = [StoreLink(dispatcher, shard, send, timeout) for shard in dispatcher.shards.all]

    def of(self, child: Child) -> StoreLink:
        """Return the one that a process is."""
        return self._links[child.place]

    def missing(self) -> list[int]:
        """Return the places of those that have no process."""
        return [place for place, link in enumerate(self._links) if not link.name]

    def hand_out(self) -> None:
        """Send every call to the store it is for."""
        for link in self._links:
            link.hand_out()

    def recall(self, caller: Caller) -> None:
        """Have no store begin what a caller that has gone has sent."""
        for link in self._links:
            link.recall(caller)

    def look(self, now: int, supervisor: Supervisor) -> None:
        """Kill stores that do not respond (``now`` in ns)."""
        for link in self._links:
            link.look(now, supervisor)

    def stop(self) -> None:
        """Have every object destroyed."""
        for link in self._links:
            link.stop()

    @property
    def watched(self) -> bool:
        """Whether any has to be looked at from time to time."""
        return any(link.watched for link in self._links)

    @property
    def stopped(self) -> bool:
        """Whether all have ended, or never began."""
        return all(link.stopped for link in self._links)

    @property
    def objects(self) -> int:
        """How many objects live, as the stores reported last."""
        return sum(link.objects for link in self._links)
