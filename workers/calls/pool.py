"""The front-end's side of the workers: what each was given, what it does, and what becomes of its calls when it dies.

Joins the dispatcher's lanes with the children behind them, their claims and their journals. The clock is an argument.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scriptling.errors import ErrorCode, RpcError
from scriptling.settings import Settings
from workers import frames
from workers.calls import journal
from workers.calls.claims import Claims, ClaimsError
from workers.calls.dispatch import Dispatcher
from workers.calls.lanes import Lane
from workers.calls.tickets import Caller, Ticket
from workers.frames import Calls, Ping, Replies, Reply, Stop
from workers.front_end.supervisor import Child, Supervisor
from workers.questions.relay import Loss

STUCK = 5_000_000  # ns that a call may run until what lies behind it is taken back
_UNBEGUN = 50_000_000  # ns until a worker that begins nothing is asked whether it lives
_UNRESPONSIVE = 5_000_000_000  # ns until one that does not answer is replaced
_MOST_MISSES = 40  # times in a row that one may answer and begin nothing, until it is replaced
_SURPLUS_LIFE = 2_000_000_000  # ns that a surplus worker may be idle

Send = Callable[[str, bytes], None]
PutDown = Callable[[str, str], None]
"""Takes a child's name, and what of it makes no sense; kills it."""

_log = logging.getLogger("scriptling.pool")


@dataclass(eq=False)
class Seat:
    """One worker: its lane, and what is shared with the process.

    :ivar memory: descriptor of the journal's memory
    :ivar handed_out: when it was last given work (ns)
    :ivar pinged: when it was asked whether it lives (ns); 0 if it was not
    :ivar running: the call that it was last seen in, and ``since`` the earliest time (ns) that it gave for it
    :ivar misses: how often in a row, while ``settled`` calls were settled, it has begun nothing of what it was given
    :ivar forged: whether its pipe of claims was written into, so that only its end tells what it has begun
    """

    child: Child
    claims: Claims
    memory: int
    journal: journal.Reader
    lane: Lane | None = None
    handed_out: int = 0
    pinged: int = 0
    running: int = 0
    since: int = 0
    misses: int = 0
    settled: int = 0
    forged: bool = False

    def close(self) -> None:
        """Give back what was shared."""
        self.claims.close()
        self.journal.close()
        os.close(self.memory)

    def begun_at(self, seq: int, since: int) -> int:
        """Return when the running call was begun (ns): the earliest that was ever said, for nobody gains time so."""
        if seq != self.running:
            self.running, self.since = seq, since
        self.since = min(self.since, since)
        return self.since

    def count_miss(self, settled: int) -> int:
        """Note that it has begun nothing of what it was given; return how often in a row it has not."""
        self.misses = self.misses + 1 if settled == self.settled else 1
        self.settled = settled
        return self.misses


class Pool:
    """All workers.

    :param send: takes a child's name and a frame
    """

    def __init__(self, settings: Settings, dispatcher: Dispatcher, send: Send, put_down: PutDown) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._send = send
        self._put_down = put_down
        self._seats: dict[str, Seat] = {}
        self._init = b""
        self._idle_since = 0

    def furnish(self, child: Child) -> list[int]:
        """Make what a new worker shares with the front-end, and return the descriptors it is to get.

        :raises OSError: there are not enough descriptors
        """
        memory = journal.create()
        try:
            claims = Claims()
        except OSError:
            os.close(memory)
            raise
        self._seats[child.name] = Seat(child, claims, memory, journal.Reader(memory))
        return [claims.reader, memory]

    def open(self, init: bytes) -> None:
        """Take every worker that is ready into service; ``init`` is the frame that tells them what is served."""
        self._init = init
        for seat in self._seats.values():
            if seat.child.ready:
                self._take_into_service(seat)

    def ready(self, name: str) -> None:
        """Note that a worker lives: a new one, or one that was asked."""
        seat = self._seats.get(name)
        if seat is None:
            return
        if seat.lane is None:
            if self._init:
                self._take_into_service(seat)
        elif seat.pinged:
            seat.pinged = 0
            seat.lane.held = bool(seat.lane.assigned)

    def _take_into_service(self, seat: Seat) -> None:
        self._send(seat.child.name, self._init)
        seat.lane = self._dispatcher.add_lane(seat.child.name)

    def hand_out(self, now: int) -> None:
        """Send out what the dispatcher has for anyone."""
        for lane, batch in self._dispatcher.assign():
            seat = self._seats[lane.name]
            seat.handed_out = now
            try:
                seat.claims.put([ticket.seq for ticket in batch])
            except ClaimsError as error:
                self._dispatcher.give_back(lane, [ticket.seq for ticket in batch])
                self._expose(seat, error)
                continue
            self._send(lane.name, frames.encode(Calls([as_call(ticket) for ticket in batch])))

    def receive(self, name: str, replies: Replies) -> None:
        """Settle what a worker has answered."""
        seat = self._seats.get(name)
        if seat is not None and seat.lane is not None:
            self._settle(seat, seat.journal.accept(replies.first, replies.replies))

    def _settle(self, seat: Seat, replies: list[Reply]) -> None:
        lane = seat.lane
        assert lane is not None
        for ticket, reply in self._dispatcher.done(lane, replies):
            ticket.caller.answer(ticket, reply.failed, reply.payload)
        if self._settings.max_requests and lane.settled >= self._settings.max_requests and not lane.retired:
            self.retire(seat)

    def waits(self, lane: Lane) -> None:
        """Take back what lies behind a call that now waits for somebody."""
        self._take_back(self._seats[lane.name])

    def _take_back(self, seat: Seat) -> None:
        assert seat.lane is not None
        self._settle(seat, seat.journal.unsent())
        if not seat.forged:
            try:
                self._dispatcher.give_back(seat.lane, seat.claims.take_back())
            except ClaimsError as error:
                self._expose(seat, error)

    def _expose(self, seat: Seat, error: ClaimsError) -> None:
        """Put down a worker whose claims somebody in it has written; what it has begun is known when it is dead."""
        assert seat.lane is not None
        seat.forged = True
        seat.lane.retired = True
        self._put_down(seat.child.name, str(error))

    def _spare(self, seat: Seat) -> None:
        """Give back what a dead worker cannot have begun, where its claims do not tell.

        It begins calls in their order, and says which it is in. What it said may be forged as well, so that both the
        first and the one that it named die with it: a call that kills its worker must not come back.
        """
        assert seat.lane is not None
        assigned = seat.lane.assigned
        begun = {next(iter(assigned), 0), seat.journal.running()[0]}
        self._dispatcher.give_back(seat.lane, [seq for seq in assigned if seq not in begun])

    def recall(self, caller: Caller) -> None:
        """Take back from every worker what lies behind its call, if some of that is of a caller that has gone."""
        for name, lane in list(self._dispatcher.active.items()):
            if any(ticket.caller is caller for ticket in list(lane.assigned.values())[1:]):
                self._take_back(self._seats[name])

    # Watching

    def look(self, now: int, supervisor: Supervisor) -> None:
        """Find workers that are stuck, hung, dumb, too large or superfluous, and do what is to be done."""
        for name in list(self._dispatcher.active):  # the clock of those that are parked stands still
            seat = self._seats[name]
            if seat.child.verdict is None:
                self._look_at(seat, now, supervisor)
        self._dismiss_surplus(now, supervisor)

    def _look_at(self, seat: Seat, now: int, supervisor: Supervisor) -> None:
        lane = seat.lane
        assert lane is not None
        seq, since = seat.journal.running()
        ticket = lane.assigned.get(seq)
        if ticket is None:
            self._ask_if_dumb(seat, now, supervisor)
            return
        seat.pinged = 0  # it lives, although it reads nothing before its call is done
        age = now - seat.begun_at(seq, min(since, now)) - lane.parked_for
        if age > STUCK and not lane.held:
            self._take_back(seat)
        if ticket.timeout and age > ticket.timeout * 1e9:
            text = f"{ticket.target} did not return within {ticket.timeout:g} s; its worker was killed"
            supervisor.kill(lane.name, RpcError(ErrorCode.TIMED_OUT, text), now / 1e9)

    def _ask_if_dumb(self, seat: Seat, now: int, supervisor: Supervisor) -> None:
        """Take work away from a worker that has not begun it, and replace it if it does not answer at all."""
        lane = seat.lane
        assert lane is not None
        if seat.pinged and now - seat.pinged > _UNRESPONSIVE:
            text = "the worker did not respond any more and was killed"
            supervisor.kill(lane.name, RpcError(ErrorCode.WORKER_DIED, text), now / 1e9)
        if lane.assigned and not seat.pinged and now - seat.handed_out > _UNBEGUN:
            self._take_back(seat)
            if seat.count_miss(lane.settled) > _MOST_MISSES:
                # User code has taken its claims, or put false ones there, which it tries to find the calls for.
                self._put_down(lane.name, "it responds, but begins nothing of what it is given")
            lane.held = True
            seat.pinged = now
            self._send(lane.name, frames.encode(Ping()))

    def _dismiss_surplus(self, now: int, supervisor: Supervisor) -> None:
        idle = [lane for lane in self._dispatcher.active.values() if lane.idle and not lane.retired]
        serving = self._dispatcher.serving
        if not idle or serving <= supervisor.workers:
            self._idle_since = now
        elif now - self._idle_since > _SURPLUS_LIFE:
            for lane in idle[: serving - supervisor.workers]:
                self.retire(self._seats[lane.name])

    def wants_to_retire(self, name: str) -> None:
        """Let a worker end that has found itself unfit: handlers have left too much in it."""
        seat = self._seats.get(name)
        if seat is not None and seat.lane is not None and not seat.lane.retired:
            self.retire(seat)

    def retire(self, seat: Seat) -> None:
        """Let a worker end after what it is doing."""
        assert seat.lane is not None
        seat.lane.retired = True
        seat.child.stopping = True
        self._take_back(seat)
        self._send(seat.lane.name, frames.encode(Stop()))

    def recycle(self) -> None:
        """Let every worker end after what it is doing; the supervisor replaces them."""
        for seat in list(self._seats.values()):
            if seat.lane is not None and not seat.lane.retired:
                self.retire(seat)

    # Death

    def loss(self, name: str) -> Loss:
        """Settle what a dead worker had done and give back what it had not begun; return what is lost with it."""
        seat = self._seats.get(name)
        if seat is None or seat.lane is None:
            return Loss(name)
        self._take_back(seat)
        if seat.forged:
            self._spare(seat)
        return Loss(name, frozenset(seat.lane.assigned), seat.journal.received())

    def received(self, name: str) -> int:
        """Return how many answers that might have parked it have arrived in a worker; 0 if it is gone."""
        seat = self._seats.get(name)
        return 0 if seat is None else seat.journal.received()

    def died(self, child: Child, code: int) -> None:
        """Settle everything that a dead worker had: what it had done, what it had not begun, what died with it."""
        seat = self._seats.pop(child.name, None)
        if seat is None:
            return
        lane = seat.lane
        if lane is not None:
            self._take_back(seat)
            if seat.forged:
                self._spare(seat)
            for ticket in self._dispatcher.gone(lane):
                error = describe_death(child, code, ticket)
                _log.warning("%s", error.message, extra={"worker": child.name, "call_id": ticket.seq})
                self._dispatcher.fail(ticket, error)
        seat.close()

    @property
    def states(self) -> Iterator[str]:
        """Yield what each worker is doing, in a word; see :func:`workers.front_end.metrics.worker_states`."""
        for seat in self._seats.values():
            yield "starting" if seat.lane is None else seat.lane.state

    @property
    def starting(self) -> int:
        """How many workers are born and not in service yet."""
        return len(self._seats) - len(self._dispatcher.lanes)

    def watched(self, wanted: int) -> bool:
        """Whether any worker has to be looked at from time to time: it works, or there are more than wanted."""
        active = len(self._seats) - self._dispatcher.parked
        if self._dispatcher.assigned > self._dispatcher.parked or active > wanted:
            return True
        return any(self._seats[name].pinged for name in self._dispatcher.active)


def as_call(ticket: Ticket) -> frames.Call:
    """Return the frame's form of a ticket."""
    return frames.Call(
        ticket.seq,
        ticket.kind,
        ticket.target,
        ticket.method,
        ticket.params,
        ticket.flags,
        ticket.caller.session,
        ticket.timeout,
    )


def describe_end(code: int) -> str:
    """Return how a process ended, from its exit status or the negative number of the signal that killed it."""
    if code >= 0:
        return f"ended itself with exit status {code}"
    known = {each.value: f" ({each.name})" for each in signal.Signals}
    return f"was killed by signal {-code}{known.get(-code, '')}"


def describe_death(child: Child, code: int, ticket: Ticket) -> RpcError:
    """Return the error for a call that was running in a process that has died."""
    what = ticket.method or ticket.target
    if child.verdict is not None:
        return child.verdict
    return RpcError(ErrorCode.WORKER_DIED, f"the process that ran {what} {describe_end(code)}")
