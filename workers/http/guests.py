"""The clients of a server, all together: how many there may be, what they may send, and how long that may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol, cast

from uvicorn.server import ServerState

LOOK = 0.5  # seconds between looks at deadlines


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

    :ivar request: for the head of a request, and for its body at least; also for an answer to be read
    :ivar idle: for the next request on a connection
    :ivar unfinished: bytes of messages that have come in part, of all clients together
    """

    connections: int
    request: float
    idle: float
    unfinished: int


@dataclass
class Guests:
    """Every connection of one server.

    :ivar unread: bytes of answers that clients had not read at the last look
    """

    limits: Limits
    state: Shared = field(default_factory=Shared)
    unread: int = 0
    _slow: dict[Guest, tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state.bound_unfinished = self.bound_unfinished

    @property
    def connections(self) -> list[Guest]:
        """Every connection, in no order."""
        return cast("list[Guest]", [*self.state.connections])

    def look(self, now: float) -> None:
        """End connections that are out of time, and renew the date that answers carry."""
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        slow = {}
        for connection in self.connections:
            size = connection.transport.get_write_buffer_size()
            if size:
                slow[connection] = self._look_at_reader(connection, size, now)
            else:
                connection.look(now)
        self.bound_unfinished()
        self._slow = slow
        self.unread = sum(size for size, _ in slow.values())

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

    def _look_at_reader(self, connection: Guest, size: int, now: float) -> tuple[int, float]:
        """Give up a client that reads nothing of what is written to it; return the size, and since when it is that."""
        known, since = self._slow.get(connection, (size, now))
        if known != size:
            since = now
        if now - since > self.limits.request:
            connection.transport.abort()
        return size, since

    def count_unread(self) -> int:
        """Return how many bytes of answers have not been read."""
        return sum(connection.transport.get_write_buffer_size() for connection in self.connections)

    async def close(self) -> None:
        """Close every connection once what was written to it is out, and end what is still done for it."""
        for connection in self.connections:
            connection.shutdown()
        tasks = list(self.state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
