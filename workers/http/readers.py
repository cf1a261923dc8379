"""Clients that have answers to read: how fast each of them does, and who is given up because that is too slow.

Pure: the clock is an argument, and who is given up is returned.
"""

from __future__ import annotations

import socket
import sys
from asyncio import Transport
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

Client = TypeVar("Client")

SLOWEST = 1 << 14
"""Bytes a second that a client has to read in the long run, as it has to send its bodies."""

FASTER = 1 << 19
"""Bytes a second that it has to read while all clients together have left too much unread."""

_LENGTH = 128  # bytes of ``struct tcp_info`` up to the end of the field that is wanted
_BYTES_ACKED = slice(120, _LENGTH)  # ``tcpi_bytes_acked``, since Linux 4.1


class Reading(NamedTuple):
    """What is known of a client that has something to read.

    :ivar unread: bytes that are written and wait for it
    :ivar taken: bytes that it has taken since it connected
    """

    unread: int
    taken: int


class Slow(NamedTuple, Generic[Client]):
    """Those to be given up.

    :ivar late: because they have read too little for too long
    :ivar in_the_way: because all together have left too much unread
    """

    late: list[Client]
    in_the_way: list[Client]


@dataclass
class _Known:
    """A client as it was at the last look.

    :ivar since: when it was first seen to have something to read
    :ivar patience: seconds that are left to it, should it read nothing more
    :ivar read: bytes between the last two looks
    :ivar elapsed: seconds between them
    """

    since: float
    at: float
    taken: int
    patience: float
    read: int = 0
    elapsed: float = 0.0

    def note(self, now: float, taken: int, most: float) -> None:
        self.read, self.elapsed = taken - self.taken, now - self.at
        self.at, self.taken = now, taken
        # What was read fast long ago buys no time now.
        self.patience = min(self.patience - self.elapsed + self.read / SLOWEST, most)


@dataclass
class Readers(Generic[Client]):
    """Every client that has something to read.

    :ivar patience: seconds that one may read nothing
    :ivar most: bytes that all together may leave unread
    """

    patience: float
    most: int
    _known: dict[Client, _Known] = field(default_factory=dict)

    def look(self, now: float, readings: Mapping[Client, Reading]) -> Slow[Client]:
        """Return who is to be given up, of those who have something to read now."""
        self._known = {each: self._known.get(each) or self._meet(now, readings[each]) for each in readings}
        for client, known in self._known.items():
            known.note(now, readings[client].taken, self.patience)
        late = [client for client, known in self._known.items() if known.patience < 0]
        return Slow(late, self._in_the_way(readings, {*late}))

    def _meet(self, now: float, reading: Reading) -> _Known:
        return _Known(now, now, reading.taken, self.patience)

    def _in_the_way(self, readings: Mapping[Client, Reading], late: set[Client]) -> list[Client]:
        """Return slow ones if there is too much, whose answers have waited for longest first, until half of it is free.

        Were it less, the next answer might be too much again, and others would wait for a look at each of them.
        """
        chosen = []
        kept = sum(each.unread for client, each in readings.items() if client not in late)
        for client, known in sorted(self._known.items(), key=lambda each: each[1].since) if kept > self.most else ():
            unread = readings[client].unread
            # Whoever reads within a look what is there now is in nobody's way, however little that is.
            is_slow = known.read < min(unread, FASTER * known.elapsed)
            if kept > self.most // 2 and is_slow and client not in late:
                kept -= unread
                chosen.append(client)
        return chosen


@dataclass
class Below:
    """How much of what was written over TLS waits below it, where the buffers of TLS count nothing.

    :ivar written: bytes since all had been taken; to be added to
    """

    written: int = 0
    _taken: int = 0

    def count(self, taken: int) -> int:
        """Return how many bytes have not been taken, given how many ever have; what TLS adds to them is too little."""
        left = self.written - (taken - self._taken)
        if left > 0:
            return left
        self.written, self._taken = 0, taken
        return 0


def taken_by(transport: Transport) -> int:
    """Return how many bytes the other end has taken; none if the connection is lost, which its protocol hears of later.

    The buffer alone tells nothing while answers go into it.
    """
    line: socket.socket | None = transport.get_extra_info("socket")
    if line is None:
        return 0
    try:
        info = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
    except OSError:
        return 0
    return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
