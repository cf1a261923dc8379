"""The loop of a front-end that lives in asyncio: descriptors are watched there, and the front-end is turned there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from workers import reactor
from workers.reactor import Ready


class AsyncReactor:
    """Descriptors and their callbacks, and one more callback for after all that: the turn of the front-end.

    However much happens in one iteration of the loop, the front-end is turned once for it.

    :param loop: the running loop; callable by its thread only
    :ivar over: done when :meth:`stop` was called; holds the exception if a turn has failed
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.over: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._watched: set[int] = set()
        self._turn: Callable[[], float | None] = lambda: None
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """Call ``ready`` when something can be read: nothing else is waited for here."""
        assert events == reactor.READ
        self._watched.add(fd)
        self._loop.add_reader(fd, partial(self._call, ready))

    def forget(self, fd: int) -> bool:
        """Wait for nothing of this descriptor any more; return whether it was waited for."""
        self._watched.discard(fd)
        return self._loop.remove_reader(fd)

    def start(self, turn: Callable[[], float | None]) -> None:
        """Turn now, and from then on whenever there is a reason to.

        :param turn: returns for how many seconds there will be nothing to do, or None for until something comes
        """
        self._turn = turn
        self.wake()

    def wake(self) -> None:
        """Turn soon: there is something to do."""
        if not (self._woken or self.over.done()):
            self._woken = True
            self._loop.call_soon(self._run)

    def stop(self) -> None:
        """Turn no more, and watch nothing any more."""
        if not self.over.done():
            self.over.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        for fd in self._watched:
            self._loop.remove_reader(fd)
        self._watched.clear()

    def _call(self, ready: Ready) -> None:
        try:
            ready(reactor.READ)
        except Exception as error:
            self._fail(error)
        self.wake()

    def _run(self) -> None:
        self._woken = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.over.done():
            return
        try:
            patience = self._turn()
        except Exception as error:
            self._fail(error)
            return
        if patience == 0:
            self.wake()
        elif patience is not None:
            self._timer = self._loop.call_later(patience, self._run)

    def _fail(self, error: Exception) -> None:
        """End with an error that the loop would otherwise only log: a front-end that is not turned answers nobody."""
        if not self.over.done():
            self.over.set_exception(error)
