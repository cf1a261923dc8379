"""Counters, values, queues and wait groups that every evaluator of a server shares by name.

Handlers, methods, tasks and the setup script that give the same name mean the same thing; so do the threads of a script
that is simply run. :class:`Atomic` and :class:`Shared` live in memory that every process has before it, and never wait.
:class:`Queue` and :class:`WaitGroup` may: a handler that does is no hung one, and others get a worker in its place.

What is passed to a queue is copied: None, bool, int, float, str, bytes, list, tuple, dict and set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from scriptling import copies
from scriptling.rendezvous import MOST_OF_ONE, Params, Status
from scriptling.runtime import context
from scriptling.runtime.patience import checked_timeout

__all__ = ["Atomic", "Queue", "QueueClosed", "Shared", "WaitGroup"]

_LONGEST_NAME = 500  # characters

_encode = msgspec.msgpack.Encoder().encode


class QueueClosed(Exception):  # noqa: N818 - it says what is the matter
    """The queue was closed: it takes nothing more, and what was in it has been taken."""


class _Named:
    """Something that is shared by its name."""

    def __init__(self, name: str) -> None:
        kind = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{kind}(): the name must be a str, not {type(name).__name__}")
        if not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError(f"{kind}(): the name must have 1 to {_LONGEST_NAME} characters, not {len(name)}")
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _ask(self, operation: str, params: Params, timeout: float | None = None) -> bytes:
        what = f"{self!r}.{operation.rpartition('.')[2]}()"
        patience = checked_timeout(what, timeout)
        try:
            answer = context.bridge()("sync", self.name, operation, _encode(params), patience)
        except TimeoutError:
            raise TimeoutError(f"{what} has waited {timeout:g} s in vain") from None
        if answer[0] == Status.CLOSED:
            raise QueueClosed(f"{self!r} is closed")
        if answer[0] == Status.REFUSED:
            raise RuntimeError(answer[1:].decode())
        return answer[1:]


class _Stored(_Named):
    """Something that lives in a store that every process has before it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        from scriptling.stores import registry  # noqa: PLC0415 - queues need no store

        self._store = registry.open_memory("sync", "")
        self._key = f"{type(self).__name__}:{name}"

    def _begin_with(self, initial: Any) -> None:
        if not self._store.exists(self._key):
            self._store.update(self._key, lambda value: value, initial)


class Atomic(_Stored):
    """An integer that is changed by one at a time.

    :param initial: what it is if nobody has said anything else before
    :raises TypeError: that is no int
    """

    def __init__(self, name: str, initial: int = 0) -> None:
        super().__init__(name)
        self._check(initial)
        if initial:
            self._begin_with(initial)

    def _check(self, value: object) -> None:
        if type(value) is not int:
            raise TypeError(f"{self!r} is an int, and cannot be a {type(value).__name__}")

    def add(self, delta: int = 1) -> int:
        """Add to it, and return the sum."""
        self._check(delta)
        return self._store.incr(self._key, delta)

    def get(self) -> int:
        """Return what it is."""
        value: int = self._store.get(self._key, 0)
        return value

    def set(self, value: int) -> None:
        """Make it something else."""
        self._check(value)
        self._store.set(self._key, value)


class Shared(_Stored):
    """A value: None, bool, int, float, str, bytes, list or dict; copied on its way in and out.

    :param initial: what it is if nobody has said anything else before
    :raises TypeError: that is of another type; the text says where in it
    """

    def __init__(self, name: str, initial: Any = None) -> None:
        super().__init__(name)
        self._begin_with(initial)

    def get(self) -> Any:
        """Return a copy of it."""
        return self._store.get(self._key)

    def set(self, value: Any) -> None:
        """Make it a copy of something else."""
        self._store.set(self._key, value)

    def update(self, function: Callable[[Any], Any]) -> Any:
        """Replace it by what a function makes of it, and return that.

        Nothing is locked while the function runs; if the value was changed meanwhile, it is called again.
        """
        return self._store.update(self._key, function)


class Queue(_Named):
    """A queue: what is put by one is got by another, first in, first out; so are those served who wait.

    :param maxsize: how many items it holds before ``put`` waits; 0 is no bound. The last that is given counts
    :raises ValueError: ``maxsize`` is less than 0
    """

    def __init__(self, name: str, maxsize: int = 0) -> None:
        super().__init__(name)
        if type(maxsize) is not int or maxsize < 0:
            raise ValueError(f"{self!r}: maxsize must be a whole number, 0 or more, not {maxsize!r}")
        self._maxsize = maxsize

    def put(self, value: Any, timeout: float | None = None) -> None:
        """Add a copy of a value; wait while the queue is full.

        :param timeout: seconds to wait at most; 0 does not wait, None waits for ever
        :raises TimeoutError: it stayed full
        :raises QueueClosed: it was closed
        :raises TypeError: the value cannot be copied; the text says where in it
        :raises ValueError: it takes more than 64 MiB
        :raises RuntimeError: all queues together hold as much as they may
        """
        packed = copies.pack(value, "value", copies.WITH_BYTES)
        if len(packed) > MOST_OF_ONE:
            raise ValueError(f"{self!r}.put(): {len(packed)} bytes are more than the {MOST_OF_ONE} of one item")
        self._ask("queue.put", Params(self._maxsize, packed), timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Remove the oldest item and return it; wait while there is none.

        :param timeout: as for :meth:`put`
        :raises TimeoutError: none came
        :raises QueueClosed: it was closed, and is empty
        """
        return copies.unpack(self._ask("queue.get", Params(), timeout))

    def size(self) -> int:
        """Return how many items it holds."""
        return int(self._ask("queue.size", Params()))

    def close(self) -> None:
        """Let nothing more be put. What is in it can still be got; then everybody who waits is told."""
        self._ask("queue.close", Params())


class WaitGroup(_Named):
    """A count of things that are to be done, and a way to wait until they are.

    What a call has added that was then killed, and that nobody has done, is taken off again.
    """

    def add(self, delta: int = 1) -> None:
        """Add to the count.

        :raises RuntimeError: more would be done than was added
        """
        if type(delta) is not int:
            raise TypeError(f"{self!r}.add(): the delta must be an int, not {type(delta).__name__}")
        self._ask("group.add", Params(delta))

    def done(self) -> None:
        """Take one off the count.

        :raises RuntimeError: more would be done than was added
        """
        self.add(-1)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the count is 0.

        :param timeout: seconds to wait at most; None waits for ever
        :raises TimeoutError: it did not come to that
        """
        self._ask("group.wait", Params(), timeout)
