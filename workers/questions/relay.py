"""The relay: takes the questions of running calls to whoever answers them, and carries the answers back.

It has a socket of its own, so that answers never queue behind calls. A question is only taken while the call that asks
is owed an answer; whoever merely connects to the socket does not have the run's key and is ignored.

What can be asked is a table, from :class:`~workers.frames.Want` to a :class:`Responder`. Questions that block on other
calls park the worker that asks, so that it is lent a replacement; those to the host or the store count towards the
depth of callbacks instead.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

import msgspec

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import encode_error_object
from workers import frames
from workers.calls.dispatch import Dispatcher
from workers.calls.lanes import Lane
from workers.calls.tickets import Caller, Ticket, is_withdrawn_with
from workers.frames import Answer, Ask, Flag, Want
from workers.front_end.service import TOO_DEEP
from workers.front_end.session import Session
from workers.words import shown

_MOST_OF_ONE = 256  # open questions of one process that is no worker: each takes a thread and descriptors there
_LONGEST = 1e9  # seconds that a question is open; more would be more than a clock can count
_SLACK = 64  # deadlines of settled questions that are kept before they are cleared away

_log = logging.getLogger("scriptling.relay")


@dataclass(eq=False)
class Question:
    """One open question.

    :ivar want: what it wants
    :ivar route: identity of the thread's socket that waits for the answer
    :ivar child: name of the process that asks
    :ivar seq: the call that asks; 0 if none does, but a script of ours: then there is no session either
    :ivar lane: the worker that asks; None for any other process
    :ivar flags: what the host at the root of the call can take
    :ivar timeout: seconds that the call may execute
    :ivar open: whether it has not been settled
    :ivar bounded: whether its time is
    :ivar keeps: whether its lane was told to wait, or was parked
    :ivar number: for the responder: by what it knows the question
    :ivar ticket: the call that asks, if one does
    """

    want: Want
    route: bytes
    child: str
    seq: int
    lane: Lane | None = None
    session: Session | None = None
    flags: int = 0
    timeout: float = 0.0
    open: bool = True
    bounded: bool = False
    keeps: bool = False
    number: int = 0
    ticket: Ticket | None = None

    def is_asked_for(self, caller: Caller) -> bool:
        """Whether it blocks on other calls, but not on the caller itself, and nobody else would have anything of it."""
        parks = self.want.parks and self.want != Want.SOCKET
        return parks and self.ticket is not None and is_withdrawn_with(self.ticket, caller)


@dataclass(frozen=True)
class Loss:
    """The death of a process that may have held something.

    :ivar calls: those that died with it; 0 among them where it was a script's own process that did not end by itself
    :ivar received: how many answers that might have parked it have arrived in it; None if that cannot be known
    """

    child: str
    calls: frozenset[int] = frozenset()
    received: int | None = None


class Responder(Protocol):
    """Answers questions of one kind."""

    def ask(self, question: Question, ask: Ask) -> None:
        """Take a question; answer it now or later by :meth:`Relay.settle`."""

    def withdraw(self, question: Question) -> None:
        """Forget a question that is still open: who asked has died, its call is over, or the time is."""

    def drop(self, loss: Loss) -> None:
        """Release what a process held that has died; its open questions have been withdrawn."""


class Relay:
    """Every open question.

    :param key: the run's secret
    :param send: takes the route and the encoded answer
    :param log_to_host: takes a session's number and the params of ``host.log``
    :param clock: returns ns that only go up
    :param most_parked: workers that may be parked at once
    :ivar responders: who answers what
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        key: str,
        send: Callable[[bytes, bytes], None],
        log_to_host: Callable[[int, bytes], None],
        clock: Callable[[], int],
        most_parked: int,
    ) -> None:
        self.responders: dict[Want, Responder] = {}
        self._dispatcher = dispatcher
        self._log_to_host = log_to_host
        self._key = key
        self._send = send
        self._clock = clock
        self._most_parked = most_parked
        self._children: dict[str, set[Question]] = {}
        self._calls: dict[int, set[Question]] = {}
        self._deep = 0  # calls of the stores that wait for the host or another store
        self._deadlines: list[tuple[int, int, Question]] = []
        self._numbers = count()
        self._strangers = 0

    # Questions

    def admit(self, child: str) -> None:
        """Take questions of a process from now on, until it is dropped."""
        self._children.setdefault(child, set())

    def receive(self, route: bytes, frame: bytes) -> Lane | None:
        """Take one question or log record; return the lane that is kept by it, if it is a worker's."""
        try:
            message = frames.decode_from_relay(frame)
        except msgspec.DecodeError:
            self._note_stranger()
            return None
        if message.key != self._key:
            self._note_stranger()
        elif isinstance(message, Ask):
            return self._take_question(route, message)
        else:
            self._log_to_host(message.session, message.params)
        return None

    def _note_stranger(self) -> None:
        self._strangers += 1
        if self._strangers == 1:
            _log.warning("something that is not a process of ours sends to the relay socket; it is ignored")

    def _take_question(self, route: bytes, ask: Ask) -> Lane | None:
        question = self._make_question(route, ask)
        refusal = self._refusal(question, ask)
        if question is None or refusal is not None:
            self._count_answer(self._dispatcher.lanes.get(ask.child), ask.kind)
            self._send(route, frames.encode(Answer(True, encode_error_object(refusal or _over(ask)))))
            return None
        self._add(question)
        self._dispatcher.metrics.callbacks += ask.kind is Want.CALLBACK
        try:
            self.responders[ask.kind].ask(question, ask)
            if question.open:
                self._leave_open(question, ask.patience)
        except Exception:  # user code can forge questions, and everybody else goes on
            _log.exception("%s asks what makes no sense", ask.child, extra={"worker": ask.child})
            self._end(question, RpcError(ErrorCode.INTERNAL_ERROR, "this question makes no sense"))
        return question.lane if question.open else None

    def _make_question(self, route: bytes, ask: Ask) -> Question | None:
        """Return None if nobody can be waiting for the answer."""
        if ask.child not in self._children:
            return None
        if not ask.seq:
            return Question(ask.kind, route, ask.child, 0)
        lane = self._dispatcher.lanes.get(ask.child)
        ticket = lane.assigned.get(ask.seq) if lane else self._dispatcher.shards.find(ask.seq)
        if ticket is None:
            return None
        session = session_of(ticket)
        # What is made for a session that has ended has missed the end of its owner's objects.
        flags = ticket.flags | (Flag.LEASED if session is None or session.left else 0)
        return Question(ask.kind, route, ask.child, ask.seq, lane, session, flags, ticket.timeout, ticket=ticket)

    def _refusal(self, question: Question | None, ask: Ask) -> RpcError | None:
        responder = self.responders.get(ask.kind)
        if question is None or responder is None or (question.session is None and not ask.kind.parks):
            return _over(ask)
        if question.lane is not None:
            return None
        if not ask.kind.parks and self._deep >= self._dispatcher.callback_cap:
            return RpcError(ErrorCode.TOO_DEEP, TOO_DEEP)
        if len(self._children[ask.child]) >= _MOST_OF_ONE:
            text = f"{_MOST_OF_ONE} threads of one process wait already; no other may"
            return RpcError(ErrorCode.OVERLOADED, text)
        return None

    def _add(self, question: Question) -> None:
        self._children[question.child].add(question)
        if question.seq:
            self._calls.setdefault(question.seq, set()).add(question)
            self._dispatcher.asking.add(question.seq)
            self._deep += question.lane is None and not question.want.parks

    def _leave_open(self, question: Question, patience: float | None) -> None:
        question.bounded = patience is not None
        if patience is not None and patience <= 0:
            self._end(question, _TIME_IS_OVER)
        elif question.session is not None and question.session.left and question.is_asked_for(question.session):
            self._end(question, _GONE)
        elif question.lane is None:
            self._note_deadline(question, patience)
        elif not question.want.parks:
            self._dispatcher.wait(question.lane)
            question.keeps = True
        elif self._dispatcher.parked >= self._most_parked and not question.lane.parked:
            text = f"{self._most_parked} calls wait for other calls already; let some go on, or raise --max-parked"
            self._end(question, RpcError(ErrorCode.OVERLOADED, text))
        else:
            self._dispatcher.park(question.lane, question.seq, self._clock())
            question.keeps = True
            self._note_deadline(question, patience)

    # Deadlines

    def _note_deadline(self, question: Question, patience: float | None) -> None:
        if patience is None:
            return
        if len(self._deadlines) > 2 * sum(map(len, self._children.values())) + _SLACK:
            self._deadlines = [entry for entry in self._deadlines if entry[2].open]
            heapify(self._deadlines)
        end = self._clock() + int(min(patience, _LONGEST) * 1e9)
        heappush(self._deadlines, (end, next(self._numbers), question))

    def expire(self, now: int) -> None:
        """Answer the questions whose time is over (ns of the clock)."""
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= now or not deadlines[0][2].open):
            self._end(heappop(deadlines)[2], _TIME_IS_OVER)

    @property
    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do (s of the clock)."""
        return self._deadlines[0][0] / 1e9 if self._deadlines else None

    # Answers

    def settle(self, question: Question, failed: bool, payload: bytes) -> None:
        """Carry an answer back; one that nobody waits for any more is dropped."""
        if question.open:
            self._count_answer(question.lane, question.want)
            self._close(question)
            self._send(question.route, frames.encode(Answer(failed, payload)))

    def _count_answer(self, lane: Lane | None, want: Want) -> None:
        if lane is not None:
            lane.answers += want.parks

    def refuse(self, question: Question, error: RpcError) -> None:
        """Carry an error back."""
        self.settle(question, True, encode_error_object(error))

    def _close(self, question: Question) -> None:
        question.open = False
        self._children[question.child].discard(question)
        if question.seq:
            self._deep -= question.lane is None and not question.want.parks
            others = self._calls[question.seq]
            others.discard(question)
            if not others:
                del self._calls[question.seq]
                self._dispatcher.asking.discard(question.seq)
        if question.keeps and question.lane is not None:
            if question.want.parks:
                self._dispatcher.unpark(question.lane, self._clock())
            else:
                self._dispatcher.resume(question.lane)

    def _end(self, question: Question, error: RpcError) -> None:
        """Answer a question in place of its responder."""
        if question.open:
            self.responders[question.want].withdraw(question)
            self.refuse(question, error)

    def end_orphans(self) -> None:
        """Refuse the open questions of calls that have been answered: their threads have outlived them."""
        over = self._dispatcher.over
        if not over:
            return
        self._dispatcher.over = []
        error = RpcError(ErrorCode.HANDLER_ERROR, "the plugin call that this callback belongs to has ended")
        for question in [each for seq in over for each in self._calls.get(seq, ())]:
            self._end(question, error)

    def interrupt(self, questions: Iterable[Question], error: RpcError, only_unbounded: bool = False) -> None:
        """Let nobody wait any more: where the time was bounded it is over, and anything else gets the error."""
        for question in list(questions):
            if not (question.bounded and only_unbounded):
                self._end(question, _TIME_IS_OVER if question.bounded else error)

    def abandon(self, caller: Caller) -> None:
        """Let no call wait for others any more that only this caller waits for, who has gone away."""
        self.interrupt((each for each in self.parked() if each.is_asked_for(caller)), _GONE)

    def make_way(self) -> bool:
        """End what the calls of one host wait for, if they are most of those that may, and others' calls are queued.

        Whoever does not answer callbacks, or has many calls of slow methods, would hold up everybody otherwise. Whether
        that was so is returned.
        """
        waiting = [each for group in self._calls.values() for each in group if each.keeps and not each.want.parks]
        by_lane = {each.lane: each.session for each in waiting}
        for session, number in Counter(by_lane.values()).most_common(1):
            others = any(session_of(ticket) is not session for ticket in self._dispatcher.queue)
            if others and number > self._dispatcher.callback_cap // 2:
                self.interrupt((each for each in waiting if each.session is session), _IN_THE_WAY)
                return True
        return False

    def parked(self) -> list[Question]:
        """Return the open questions of calls that block on other calls."""
        return [each for group in self._calls.values() for each in group if each.want.parks]

    def of(self, child: str) -> list[Question]:
        """Return the open questions of one process."""
        return list(self._children.get(child, ()))

    def drop(self, loss: Loss) -> None:
        """Forget a process that has died, with its questions and what it held; late answers are ignored."""
        for question in self.of(loss.child):
            self.responders[question.want].withdraw(question)
            self._close(question)
        if self._children.pop(loss.child, None) is not None:
            for responder in self.responders.values():
                responder.drop(loss)


_GONE = RpcError(ErrorCode.CANCELLED, "whoever called has gone away while this was waiting")
_IN_THE_WAY = RpcError(
    ErrorCode.TOO_DEEP,
    "calls of other hosts have waited too long behind this one, whose host has most of those that may wait; answer "
    "callbacks sooner, or raise --callback-depth",
)
_TIME_IS_OVER = RpcError(ErrorCode.TIMED_OUT, "nothing came within the time that was given")


def _over(ask: Ask) -> RpcError:
    what = "callback" if ask.kind == Want.CALLBACK else ask.kind.name.lower()
    text = f"{what} {shown(ask.target)} is not attached to an active plugin call"
    return RpcError(ErrorCode.HANDLER_ERROR, text)


class Rooted(Protocol):
    """A caller that is no session itself, but knows the one at the root of the call."""

    root: Session


def session_of(ticket: Ticket) -> Session | None:
    """Return the session at the root of a call; None if it has none, because it ends what an owner has left."""
    caller = ticket.caller
    if isinstance(caller, Session):
        return caller
    root: Session | None = getattr(caller, "root", None)  # see Rooted
    return root
