"""What carries the messages of a two-way conversation: the interface, and the bytes that wait to be written."""

from __future__ import annotations

import select
from collections.abc import Callable, Container, Sequence
from typing import Protocol

CHUNK = 1 << 16
"""Most bytes that are read at once."""

_MOST_AT_ONCE = 1 << 20


class Channel(Protocol):
    """A way for messages in both directions, of which no method blocks but :meth:`wind_up` and :meth:`stop`.

    It is used by one thread at a time, except for :attr:`alive`, :meth:`report` and :meth:`stop`.

    :ivar inputs: file descriptors that are readable when there is something to :meth:`receive`
    :ivar output: file descriptor that is writable when :meth:`flush` gets on
    :ivar lost: what the plugin did that ended the conversation, a part of a sentence; empty while it goes on
    :ivar lines: what is received are pieces of a stream of lines, and not whole messages
    :ivar answers_after_close: the plugin answers what was asked before :meth:`close_output`
    """

    inputs: Sequence[int]
    output: int
    lost: str
    lines: bool
    answers_after_close: bool

    @property
    def alive(self) -> bool:
        """Whether there is anybody at the other end."""

    @property
    def closed(self) -> bool:
        """Whether :meth:`close_output` was called."""

    @property
    def unwritten(self) -> int:
        """Bytes that wait to be written."""

    def receive(self, ready: Container[int]) -> list[bytes]:
        """Return what has come.

        :param ready: the readable ones of :attr:`inputs`
        """

    def send(self, text: bytes) -> None:
        """Have a message written by the next :meth:`flush`."""

    def flush(self) -> None:
        """Write as much as can be written now."""

    def pulse(self) -> float | None:
        """Look whether the other end still is there; return the seconds until that is to be done again, None: never."""

    def close_output(self) -> None:
        """Tell the plugin that nothing more comes."""

    def wind_up(self) -> list[bytes]:
        """Return, after the end, what came last; this may take a second, so that :meth:`report` knows the reason."""

    def report(self) -> str:
        """Return how the plugin fares or has ended, to be put behind a sentence; empty if nothing is known."""

    def stop(self, grace: float) -> None:
        """Wait for the end for some seconds, then bring it about, whatever the plugin does."""

    def free(self) -> None:
        """Close everything."""

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""


def readable(fd: int) -> bool:
    """Whether something can be read now, be it the end."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


class Unwritten(bytearray):
    """Bytes that wait to be written."""

    def drain(self, write: Callable[[memoryview], int]) -> None:
        """Write as much as can be written without blocking.

        :raises OSError: it cannot be written, now (``BlockingIOError`` and its like) or ever
        """
        while self:
            # Both are released even if writing fails: the bytes could not be changed as long as there is a view.
            with memoryview(self) as all_of_it, all_of_it[:_MOST_AT_ONCE] as piece:
                written = write(piece)
            del self[:written]
