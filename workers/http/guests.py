"""The clients of a server, all together: how many there may be, what they may send, and how long that may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol, cast

from uvicorn.server import ServerState

from workers.http.readers import Readers, Reading, taken_by

LOOK = 0.5  # seconds between looks at deadlines

_log = logging.getLogger("scriptling.server")


class Guest(Protocol):
    """One connection, of whichever protocol.

    :ivar since: when the client began to be waited for what it is waited for now
    :ivar transport: the way to it
    """

    since: float
    transport: asyncio.Transport

    @property
    def unfinished(self) -> int:
        """How many bytes there are of a message that has not come whole."""

    def count_unread(self) -> int:
        """Return how many bytes are kept of answers that the client has not read to their end."""

    def look(self, now: float) -> None:
        """Give the client up if it has had its time."""

    def refuse(self) -> None:
        """Give the client up, because the server has too much to keep."""

    def shutdown(self) -> None:
        """End the connection, if need be after the answer."""


class Shared(ServerState):
    """What all connections of a server have in common.

    :ivar bound_unfinished: gives up clients if all together have sent too much of messages that are not whole
    """

    def __init__(self) -> None:
        super().__init__()
        self.bound_unfinished: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Limits:
    """How many clients there may be, and for how long the server waits for them, in seconds.

    :ivar request: for the head of a request, and for its body at least; also for a client to read on
    :ivar idle: for the next request on a connection
    :ivar unfinished: bytes of messages that have come in part, of all clients together
    :ivar unread: bytes of answers, likewise, that may wait to be read
    """

    connections: int
    request: float
    idle: float
    unfinished: int
    unread: int


@dataclass
class Guests:
    """Every connection of one server.

    :ivar held: returns how many bytes of answers have not been given to connections yet
    :ivar unread: bytes of answers that had not been read when they were counted, and what was written since then
    """

    limits: Limits
    held: Callable[[], int] = int
    state: Shared = field(default_factory=Shared)
    unread: int = 0
    _held_then: int = 0

    def __post_init__(self) -> None:
        self.state.bound_unfinished = self.bound_unfinished
        self._readers: Readers[Guest] = Readers(self.limits.request, self.limits.unread)

    @property
    def connections(self) -> list[Guest]:
        """Every connection, in no order."""
        return cast("list[Guest]", [*self.state.connections])

    def look(self, now: float) -> None:
        """End connections that are out of time, and renew the date that answers carry."""
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        readings = {}
        for connection in self.connections:
            unread = connection.count_unread()
            if unread:
                readings[connection] = Reading(unread, taken_by(connection.transport))
            else:
                connection.look(now)
        self.bound_unfinished()
        self._give_up_slow(now, readings)

    def _give_up_slow(self, now: float, readings: dict[Guest, Reading]) -> None:
        slow = self._readers.look(now, readings)
        if slow.in_the_way:
            _log.warning(
                "clients left more than %d MiB of answers unread; the connections of the %d slowest were closed",
                self.limits.unread >> 20,
                len(slow.in_the_way),
            )
        for connection in (*slow.late, *slow.in_the_way):
            connection.transport.abort()
        self.count_unread()

    def room(self) -> int:
        """Return how many more clients there may be."""
        return self.limits.connections - len(self.state.connections)

    def bound_unfinished(self) -> None:
        """Give up whose messages are longest on their way, if there is too much of such messages."""
        found = self.connections
        excess = sum(each.unfinished for each in found) - self.limits.unfinished
        for each in sorted(found, key=lambda each: each.since) if excess > 0 else ():
            if excess > 0 and each.unfinished:
                excess -= each.unfinished
                each.refuse()

    def is_full(self) -> bool:
        """Whether clients have left too much unread; counted anew only when it may be, as this is often asked."""
        most = self.limits.unread
        return self.unread + self.held() - self._held_then > most and self.count_unread() > most

    def count_unread(self) -> int:
        """Return how many bytes are kept of answers that have not been read."""
        self._held_then = self.held()
        self.unread = sum(connection.count_unread() for connection in self.connections)
        return self.unread

    async def close(self) -> None:
        """Close every connection once what was written to it is out, and end what is still done for it."""
        for connection in self.connections:
            connection.shutdown()
        tasks = list(self.state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
