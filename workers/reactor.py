"""Waiting for many descriptors at once, and calling whoever wants to know."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Protocol

READ = select.POLLIN
WRITE = select.POLLOUT

_LONGEST = 1_000_000  # ms of one wait; poll(2) takes no more than 24 days

Ready = Callable[[int], None]
"""Called with the ``select.POLL*`` bits that are set."""


class Watcher(Protocol):
    """What the front-end asks of the loop that turns it, whichever that is."""

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """Call ``ready`` when any of ``events`` happens."""

    def forget(self, fd: int) -> bool:
        """Wait for nothing of this descriptor any more; return whether it was waited for."""


class Reactor:
    """Descriptors and their callbacks, over ``poll(2)``, which unlike ``epoll`` takes regular files too.

    Errors and hang-ups are reported whatever was asked for.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._wanted: dict[int, int] = {}
        self._ready: dict[int, Ready] = {}

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """Call ``ready`` when any of ``events`` happens."""
        self._ready[fd] = ready
        self.want(fd, events)

    def want(self, fd: int, events: int) -> None:
        """Change what is waited for."""
        if self._wanted.get(fd) != events:
            self._poll.register(fd, events)
            self._wanted[fd] = events

    def forget(self, fd: int) -> bool:
        """Wait for nothing of this descriptor any more; return whether it was waited for."""
        if self._wanted.pop(fd, None) is None:
            return False
        self._poll.unregister(fd)
        del self._ready[fd]
        return True

    def turn(self, seconds: float | None) -> None:
        """Wait until something happens or the time is over, and call whoever it concerns."""
        for fd, events in self._poll.poll(None if seconds is None else min(max(0, seconds * 1000), _LONGEST)):
            ready = self._ready.get(fd)  # an earlier callback may have forgotten it
            if ready is not None:
                ready(events)
