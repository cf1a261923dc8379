"""HTTP requests as calls of the pool: each is awaited, and taken back if nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from scriptling.errors import ErrorCode, RpcError
from scriptling.settings import Settings
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Ticket
from workers.frames import Flag, Kind
from workers.front_end.life import Life
from workers.front_end.owners import SHARED
from workers.front_end.session import Session

_ID = b"0"  # of every request: it tells the dispatcher that somebody waits

_Outcome = tuple[bool, bytes]


class _WireError(msgspec.Struct):
    code: int
    message: str


_decode_error = msgspec.json.Decoder(_WireError).decode


@dataclass(eq=False)
class WebCaller:
    """One request that waits.

    :ivar root: stands for the host at the root of the call; there is none that could be called back
    """

    root: Session
    outcome: asyncio.Future[_Outcome]

    @property
    def session(self) -> int:
        """See :class:`workers.calls.tickets.Caller`."""
        return self.root.session

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        """See :class:`workers.calls.tickets.Caller`."""
        if not self.outcome.done():
            self.outcome.set_result((failed, payload))


class Begun(NamedTuple):
    """A call that is on its way."""

    ticket: Ticket
    caller: WebCaller


class WebPool:
    """The way from the asyncio loop of a front-end into its pool.

    :param wake: called when there is something to do for the front-end
    """

    def __init__(self, life: Life, dispatcher: Dispatcher, settings: Settings, wake: Callable[[], None]) -> None:
        self._life = life
        self._dispatcher = dispatcher
        self._max_queue = settings.max_queue
        self._timeout = settings.call_timeout
        self._wake = wake
        self._open = 0  # requests that have not been answered
        self._root = Session(life.service, _drop, 0, SHARED)

    async def call(self, kind: Kind, target: str, params: bytes, timeout: float | None = None) -> bytes:
        """Have a call run, and return what it answers.

        Cancelled, it takes back the call if that has not begun.

        :param target: what messages call it, and what its duration is remembered by
        :param timeout: seconds that it may execute; None for the server's usual
        :raises RpcError: it was refused, or failed
        """
        begun = self.begin(kind, target, params, timeout)
        try:
            return await self.wait(begun)
        except asyncio.CancelledError:
            self.take_back(begun)
            raise

    def begin(self, kind: Kind, target: str, params: bytes, timeout: float | None = None) -> Begun:
        """Have a call run; :meth:`call` tells of the parameters.

        :raises RpcError: it was refused
        """
        self._check_open()
        caller = WebCaller(self._root, asyncio.get_running_loop().create_future())
        seconds = self._timeout if timeout is None else timeout
        ticket = Ticket(self._dispatcher.next_seq(), caller, kind, target, "", params, Flag.LEASED, seconds, _ID)
        self._dispatcher.submit(ticket)
        self._wake()
        return Begun(ticket, caller)

    async def wait(self, begun: Begun) -> bytes:
        """Return what a call answers.

        :raises RpcError: it failed
        """
        self._open += 1
        try:
            failed, payload = await begun.caller.outcome
        finally:
            self._open -= 1
        if failed:
            error = _decode_error(payload)
            raise RpcError(error.code, error.message)
        return payload

    def take_back(self, begun: Begun) -> bool:
        """Do not begin a call that nobody waits for any more; return whether that was not too late."""
        return self._life.withdraw(begun.caller)

    def _check_open(self) -> None:
        if self._life.ending.begun:
            raise RpcError(ErrorCode.SHUTTING_DOWN, "the server is shutting down and takes no new requests")
        # What else is queued may be many calls of few clients.
        waiting = min(self._open, len(self._dispatcher.queue))
        if self._dispatcher.is_full or waiting >= self._max_queue:
            raise RpcError(ErrorCode.OVERLOADED, "the server is overloaded: too many calls wait; try again later")


def _drop(message: bytes) -> None:
    return None
