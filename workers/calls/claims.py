"""Who may begin a call: a pipe of sequence numbers that the front-end and one worker share.

A frame with calls tells a worker *what* to run; the claim in the pipe allows it to begin. The worker reads one claim
before each call. The front-end reads claims back when the worker is stuck, and finds those that a dead worker left. The
kernel hands every claim to one reader only, so a call is begun by at most one worker, whatever dies when: no lock that
a killed process could keep, and nothing to agree on. One read costs a worker 0.3 µs.

User code in the worker can write into the pipe as well (``/proc/self/fd``), whatever it likes, until it is full. That
is found out here, at the latest when the pipe is read or written next.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable

_SIZE = 8
_READ = 512 * _SIZE  # more claims than a worker ever has outstanding


class ClaimsError(Exception):
    """Somebody else has written into the pipe; what is in it tells nothing."""


class Claims:
    """The front-end's side: both ends of the pipe; ``reader`` is also given to the worker."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def put(self, seqs: Iterable[int]) -> None:
        """Allow the worker to begin these calls, in this order.

        :raises ClaimsError: the pipe has no room, as it always has for what a worker may be given; none is allowed then
        """
        numbers = [*seqs]
        try:  # no more than PIPE_BUF, so that all or nothing is written
            os.write(self._writer, struct.pack(f"={len(numbers)}Q", *numbers))
        except BlockingIOError:
            raise ClaimsError("the pipe of claims is full") from None

    def take_back(self) -> list[int]:
        """Withdraw whatever has not been begun, and return it in order.

        :raises ClaimsError: it is not made of numbers, or there is more of it than a worker may be given
        """
        try:
            data = os.read(self.reader, _READ)
        except BlockingIOError:
            return []
        count, rest = divmod(len(data), _SIZE)
        if rest or len(data) == _READ:
            raise ClaimsError(f"the pipe of claims holds {len(data)} bytes")
        return list(struct.unpack(f"={count}Q", data))

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reader)
        os.close(self._writer)


def claim(reader: int) -> int | None:
    """Return the sequence number of the call to begin next, or None where nothing may be begun."""
    try:
        return int.from_bytes(os.read(reader, _SIZE), sys.byteorder)
    except BlockingIOError:
        return None
