"""Queues and wait groups of :mod:`scriptling.runtime.sync`: the front-end's side of them.

What they do is in :mod:`scriptling.rendezvous`. Here is what becomes of it when a process dies:

* It does not wait any more.
* An item that was on its way to a worker and has not arrived is the first of its queue again: a worker counts what has
  arrived in memory that outlives it, before its handler sees the item, so that none is lost and none comes twice.
* An item that has arrived went with whoever took it, and what it has put stays.
* What the call that died had added to a wait group, and nobody has done, is taken off the count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from scriptling.errors import ErrorCode, RpcError
from scriptling.rendezvous import MOST_BYTES, Params, Rendezvous, Status
from workers.frames import Ask
from workers.questions.relay import Loss, Question, Relay

_SLACK = 256  # items whose arrival is not looked for yet
_SLACK_BYTES = 16 << 20  # of such items

_decode = msgspec.msgpack.Decoder(Params).decode


class _Handed(NamedTuple):
    """An item that was sent to a worker; ``number`` counts the answers to that worker."""

    child: str
    queue: str
    value: bytes
    number: int


class SyncResponder:
    """Answers what is asked of queues and wait groups; see :class:`workers.questions.relay.Responder`.

    :param received: takes a worker's name, and returns how many answers have arrived in it
    """

    def __init__(self, relay: Relay, received: Callable[[str], int]) -> None:
        self._relay = relay
        self._received = received
        self._most_handed = _SLACK
        self._most_bytes_handed = _SLACK_BYTES
        self._bytes_handed = 0
        self._meeting: Rendezvous[Question] = Rendezvous(self._settle)
        self._getting: dict[Question, str] = {}
        self._handed: dict[bytes, _Handed] = {}

    def ask(self, question: Question, ask: Ask) -> None:
        """Do what is asked, or block until it can be done."""
        self._forget(question.route)  # it has arrived: this thread goes on
        try:
            params = _decode(ask.params)
        except msgspec.DecodeError as error:
            self._relay.refuse(
                question, RpcError(ErrorCode.INVALID_PARAMS, f"{ask.method} cannot be understood: {error}")
            )
            return
        if ask.method == "queue.get" and question.lane is not None:
            self._getting[question] = ask.target
        elif ask.method == "queue.put" and not self._has_room_for(params.value):
            text = f"items of {MOST_BYTES >> 20} MiB are on their way to workers that do not take them; try again later"
            self._settle(question, Status.REFUSED, text.encode())
            return
        self._meeting.ask(question, ask.method, ask.target, params, (question.child, question.seq))

    def _has_room_for(self, value: bytes) -> bool:
        """Whether a value may come in, beside what is on its way out and belongs to no queue any more."""
        if self._bytes_handed + len(value) > MOST_BYTES:
            self._forget_arrived()
        return self._bytes_handed + len(value) <= MOST_BYTES

    def _settle(self, question: Question, status: Status, value: bytes) -> None:
        queue = self._getting.pop(question, None)
        if queue is not None and status == Status.DONE and question.lane is not None:
            number = question.lane.answers + 1
            self._handed[question.route] = _Handed(question.child, queue, value, number)
            self._bytes_handed += len(value)
            if len(self._handed) > self._most_handed or self._bytes_handed > self._most_bytes_handed:
                self._forget_arrived()
        self._relay.settle(question, False, bytes([status]) + value)

    def _forget(self, route: bytes) -> None:
        handed = self._handed.pop(route, None)
        if handed is not None:
            self._bytes_handed -= len(handed.value)

    def _forget_arrived(self) -> None:
        """Keep no items for threads that have got them and never asked again."""
        handed = self._handed.items()
        self._handed = {route: item for route, item in handed if item.number > self._received(item.child)}
        self._bytes_handed = sum(len(item.value) for item in self._handed.values())
        self._most_handed = 2 * len(self._handed) + _SLACK
        self._most_bytes_handed = self._bytes_handed + _SLACK_BYTES

    def withdraw(self, question: Question) -> None:
        """Let it wait no more."""
        self._getting.pop(question, None)
        self._meeting.withdraw(question)

    def drop(self, loss: Loss) -> None:
        """Give to the next what has not arrived, and take off what will not be done."""
        for seq in loss.calls:
            self._meeting.release((loss.child, seq))
        mine = [(route, handed) for route, handed in self._handed.items() if handed.child == loss.child]
        for route, _ in mine:
            self._forget(route)
        if loss.received is not None:
            for _, handed in reversed(mine):
                if handed.number > loss.received:
                    self._meeting.put_back(handed.queue, handed.value)
