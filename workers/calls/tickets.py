"""One accepted call as the front-end sees it, and who is owed its answer. Pure."""

from __future__ import annotations

from typing import Protocol

import msgspec

from workers.frames import Kind

_OF_OBJECTS = frozenset((Kind.METHOD, Kind.DESTROY, Kind.FORGET))


class Caller(Protocol):
    """Whoever is owed an answer."""

    @property
    def session(self) -> int:
        """Number of the owner of what the call makes."""

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        """Take the outcome: JSON text of the result, or of an error object where ``failed``."""


class Ticket(msgspec.Struct):
    """One accepted call.

    :ivar id: the request's id as JSON text; empty where no answer is wanted
    :ivar slot: place of the answer in its batch
    :ivar timeout: seconds of execution allowed; 0 is for ever
    :ivar estimate: ns that it was expected to take when it was handed out
    """

    seq: int
    caller: Caller
    kind: int
    target: str
    method: str
    params: bytes
    flags: int = 0
    timeout: float = 0.0
    id: bytes = b""
    batch: object = None
    slot: int = 0
    estimate: int = 0

    @property
    def label(self) -> str:
        """What it is counted as: never text that a client has chosen."""
        return "(object)" if self.kind in _OF_OBJECTS else self.target


def is_withdrawn_with(ticket: Ticket, caller: Caller) -> bool:
    """Whether a call is not to be begun if this caller goes away."""
    return ticket.caller is caller and bool(ticket.id) and ticket.kind not in {Kind.DESTROY, Kind.FORGET}
