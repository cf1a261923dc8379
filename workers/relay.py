"""The relay: carries the questions of running calls to the host or the object store, and the answers back.

It has a socket of its own, so that answers never queue behind calls. A question is only carried while the call that
asks is owed an answer; whoever merely connects to the socket does not have the run's key and is ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import Response, encode_error_object
from scriptling.protocol.messages import NULL_VALUE, Method
from workers import frames
from workers.dispatch import Dispatcher, Lane, Ticket
from workers.frames import Answer, Ask, Flag, Kind, Want
from workers.service import TOO_DEEP
from workers.session import Session

_KINDS = {Want.METHOD: Kind.METHOD, Want.ADOPT: Kind.ADOPT}

_log = logging.getLogger("scriptling.relay")


@dataclass(eq=False)
class Question:
    """One open question.

    :ivar route: identity of the thread's socket that waits for the answer
    :ivar lane: the worker that waits; None for the object store
    :ivar seq: the call that asks
    :ivar number: id of the request to the host; 0 where the store is asked
    """

    route: bytes
    child: str
    lane: Lane | None
    seq: int
    session: Session
    flags: int
    number: int = 0


class Relay:
    """Every open question.

    :param send: takes the route and the encoded answer
    :param key: the run's secret
    :param log_to_host: takes a session's number and the params of ``host.log``
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        key: str,
        send: Callable[[bytes, bytes], None],
        log_to_host: Callable[[int, bytes], None],
        cap: int,
    ) -> None:
        self._dispatcher = dispatcher
        self._log_to_host = log_to_host
        self._key = key
        self._send = send
        self._cap = cap
        self._open: set[Question] = set()
        self._strangers = 0

    def receive(self, route: bytes, frame: bytes) -> Lane | None:
        """Take one question or log record, and return the lane that waits now, if it is a worker's."""
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
        lane = self._dispatcher.lanes.get(ask.child)
        ticket = (lane.assigned if lane else self._dispatcher.in_store).get(ask.seq)
        if ticket is None:
            text = f"callback {ask.target} is not attached to an active plugin call"
            self._refuse(route, RpcError(ErrorCode.HANDLER_ERROR, text))
            return None
        if lane is None and sum(question.lane is None for question in self._open) >= self._cap:
            self._refuse(route, RpcError(ErrorCode.TOO_DEEP, TOO_DEEP))
            return None
        session = session_of(ticket)
        # What is made for a session that has ended has missed the end of its owner's objects.
        flags = ticket.flags | (Flag.LEASED if session.left else 0)
        self._pass_on(Question(route, ask.child, lane, ask.seq, session, flags), ask, ticket)
        return lane

    def _refuse(self, route: bytes, error: RpcError) -> None:
        self._send(route, frames.encode(Answer(True, encode_error_object(error))))

    def _pass_on(self, question: Question, ask: Ask, ticket: Ticket) -> None:
        self._open.add(question)
        if question.lane is not None:
            self._dispatcher.wait(question.lane)
        if ask.kind == Want.CALLBACK:
            question.number = question.session.call_host(
                Method.CALLBACK_CALL, ask.params, lambda response: self._answered_by_host(question, response)
            )
            return
        caller = StoreAnswer(self, question)
        kind = _KINDS[ask.kind]
        seq = self._dispatcher.next_seq()
        self._dispatcher.submit_to_store(
            Ticket(seq, caller, kind, ask.target, ask.method, ask.params, question.flags, ticket.timeout)
        )

    def _answered_by_host(self, question: Question, response: Response) -> None:
        if response.error is not None:
            self.settle(question, True, encode_error_object(response.error))
        else:
            self.settle(question, False, NULL_VALUE if response.result in {b"", b"null"} else response.result)

    def settle(self, question: Question, failed: bool, payload: bytes) -> None:
        """Carry an answer back; one that nobody waits for any more is dropped."""
        if question not in self._open:
            return
        self._open.remove(question)
        if question.lane is not None:
            self._dispatcher.resume(question.lane)
        self._send(question.route, frames.encode(Answer(failed, payload)))

    def end_orphans(self) -> None:
        """Refuse the open questions of calls that have been answered: their threads have outlived them."""
        for question in list(self._open):
            ledger = question.lane.assigned if question.lane else self._dispatcher.in_store
            if question.seq not in ledger:
                question.session.forget(question.number)
                error = RpcError(ErrorCode.HANDLER_ERROR, "the plugin call that this callback belongs to has ended")
                self.settle(question, True, encode_error_object(error))

    def drop(self, child: str) -> None:
        """Forget the questions of a process that has died; late answers to them are ignored."""
        for question in [each for each in self._open if each.child == child]:
            self._open.remove(question)
            if question.number:
                question.session.forget(question.number)


@dataclass(eq=False)
class StoreAnswer:
    """Takes the object store's answer to a question, where a session takes it for a host's call."""

    relay: Relay
    question: Question

    @property
    def session(self) -> int:
        """See :class:`workers.dispatch.Caller`."""
        return self.question.session.session

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        """See :class:`workers.dispatch.Caller`."""
        self.relay.settle(self.question, failed, payload)


def session_of(ticket: Ticket) -> Session:
    """Return the session at the root of a call."""
    caller = ticket.caller
    if isinstance(caller, StoreAnswer):
        return caller.question.session
    assert isinstance(caller, Session)
    return caller
