"""Queues and wait groups that many callers share by name: one definition of what they do, for every process.

Pure: no clock, no threads, no sockets. Whoever asks is a *waiter*, any hashable thing; it is settled once, at once or
when others have done what it waits for, through the function that was given. A waiter whose time is over, or that has
died, is withdrawn by whoever knows. Values are bytes that nobody looks into.

The rules:

* Getters are served in the order in which they came, and so are putters that a full queue keeps.
* A closed queue takes nothing more; what is in it can still be taken, and then every ``get`` is told that it is closed.
  So many are remembered; then the first to have become empty is forgotten, and its name means a new queue.
* All that queues hold together is bounded; beyond it the putter is refused.
* A wait group counts what was added and not yet done, and remembers who added it. What a holder that was killed had
  added and nobody has done is taken off the count. A ``done`` that comes for it later does nothing. So many groups of
  which only that is left are remembered; then the one that was used longest ago is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sized
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

import msgspec

MOST_BYTES = 256 << 20  # of all values in queues
MOST_OF_ONE = 64 << 20  # bytes of one value
MOST_NAMES = 100_000  # queues and wait groups that are not as new
MOST_CLOSED = 10_000  # queues of which nothing is left but that they are closed
MOST_FORGIVEN = 10_000  # wait groups of which nothing is left but what the dead had not done
_MOST_HOLDERS = 10_000  # of one wait group, until it is forgotten who has added what first
_VALUE = 100  # bytes that a value takes beside its own

W = TypeVar("W", bound=Hashable)


class Status(IntEnum):
    """What comes of a question; the value says more."""

    DONE = 0
    CLOSED = 1
    REFUSED = 2


class Params(msgspec.Struct, array_like=True, frozen=True):
    """What an operation is given.

    :ivar number: the size of a queue, 0 for any; or what is added to a wait group
    """

    number: int = 0
    value: bytes = b""


@dataclass(eq=False)
class _Queue(Generic[W]):
    name: str
    maxsize: int = 0
    closed: bool = False
    items: deque[bytes] = field(default_factory=deque)
    getters: dict[W, None] = field(default_factory=dict)
    putters: dict[W, bytes] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.items or self.getters or self.putters)


@dataclass(eq=False)
class _Group(Generic[W]):
    """A count, and who waits for it to be 0.

    :ivar added: what each holder has added and nobody has done; None holds for all that are forgotten
    :ivar forgiven: how many were taken off the count for the dead, and may still be done
    """

    name: str
    count: int = 0
    forgiven: int = 0
    added: dict[Hashable, int] = field(default_factory=dict)
    waiters: dict[W, None] = field(default_factory=dict)


class Rendezvous(Generic[W]):
    """Everything that is shared by name.

    :param settle: takes a waiter, what has come of its question, and a value: an item, a number in digits, or a
        sentence
    """

    def __init__(self, settle: Callable[[W, Status, bytes], None], most_bytes: int = MOST_BYTES) -> None:
        self._settle = settle
        self._most_bytes = most_bytes
        self._bytes = 0
        self._queues: dict[str, _Queue[W]] = {}
        self._closed: dict[str, None] = {}
        self._groups: dict[str, _Group[W]] = {}
        self._forgiven: dict[str, None] = {}
        self._blocked: dict[W, _Queue[W] | _Group[W]] = {}
        self._operations: dict[str, Callable[[W, str, Params, Hashable], None]] = {
            "queue.put": self._put,
            "queue.get": self._get,
            "queue.size": self._size,
            "queue.close": self._close,
            "group.add": self._add,
            "group.wait": self._wait,
        }

    def ask(self, waiter: W, operation: str, name: str, params: Params, holder: Hashable) -> None:
        """Take a question; ``holder`` is who holds what is added to a wait group."""
        asked = self._operations.get(operation)
        if asked is None:
            self._refuse(waiter, f"there is no operation {operation}")
        else:
            asked(waiter, name, params, holder)

    def _refuse(self, waiter: W, text: str) -> None:
        self._settle(waiter, Status.REFUSED, text.encode())

    def withdraw(self, waiter: W) -> None:
        """Forget a waiter that is not settled."""
        where = self._blocked.pop(waiter, None)
        if isinstance(where, _Queue):
            where.getters.pop(waiter, None)
            self._bytes -= _weight(where.putters.pop(waiter, None))
            self._forget_queue(where)
        elif where is not None:
            where.waiters.pop(waiter, None)
            self._forget_group(where)

    # Queues

    def _queue(self, name: str) -> _Queue[W]:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue(name)
        return queue

    def _forget_queue(self, queue: _Queue[W]) -> None:
        if not queue.is_empty:
            return
        if queue.closed:
            self._closed[queue.name] = None
            if len(self._closed) <= MOST_CLOSED:
                return
            name = next(iter(self._closed))
            del self._closed[name]
        else:
            name = queue.name
        self._queues.pop(name, None)

    def _has_no_room_for(self, waiter: W, name: str, names: Sized) -> bool:
        full = len(names) >= MOST_NAMES and name not in self._queues and name not in self._groups
        if full:
            self._refuse(waiter, f"there are {MOST_NAMES} queues or wait groups in use already; {name!r} is too many")
        return full

    def _put(self, waiter: W, name: str, params: Params, holder: Hashable) -> None:
        if self._has_no_room_for(waiter, name, self._queues):
            return
        queue, value = self._queue(name), params.value
        if queue.closed:
            self._settle(waiter, Status.CLOSED, b"")
        elif queue.getters:
            self._hand(queue, value)
            self._settle(waiter, Status.DONE, b"")
        elif self._bytes + _weight(value) > self._most_bytes:
            most = self._most_bytes >> 20
            self._refuse(waiter, f"all queues together hold {most} MiB, which is all they may; take something out")
        else:
            self._bytes += _weight(value)
            self._keep(queue, waiter, params)

    def _keep(self, queue: _Queue[W], waiter: W, params: Params) -> None:
        queue.maxsize = params.number or queue.maxsize
        self._let_in(queue)
        if queue.maxsize and len(queue.items) >= queue.maxsize:
            queue.putters[waiter] = params.value
            self._blocked[waiter] = queue
        else:
            queue.items.append(params.value)
            self._settle(waiter, Status.DONE, b"")

    def _hand(self, queue: _Queue[W], value: bytes) -> None:
        getter = next(iter(queue.getters))
        del queue.getters[getter], self._blocked[getter]
        self._forget_queue(queue)
        self._settle(getter, Status.DONE, value)

    def _get(self, waiter: W, name: str, params: Params, holder: Hashable) -> None:
        if self._has_no_room_for(waiter, name, self._queues):
            return
        queue = self._queue(name)
        if queue.items:
            value = queue.items.popleft()
            self._bytes -= _weight(value)
            self._let_in(queue)
            self._forget_queue(queue)
            self._settle(waiter, Status.DONE, value)
        elif queue.closed:
            self._settle(waiter, Status.CLOSED, b"")
        else:
            queue.getters[waiter] = None
            self._blocked[waiter] = queue

    def _let_in(self, queue: _Queue[W]) -> None:
        while queue.putters and len(queue.items) < queue.maxsize:
            putter = next(iter(queue.putters))
            queue.items.append(queue.putters.pop(putter))
            del self._blocked[putter]
            self._settle(putter, Status.DONE, b"")

    def _size(self, waiter: W, name: str, params: Params, holder: Hashable) -> None:
        queue = self._queues.get(name)
        self._settle(waiter, Status.DONE, b"%d" % (len(queue.items) if queue else 0))

    def _close(self, waiter: W, name: str, params: Params, holder: Hashable) -> None:
        if self._has_no_room_for(waiter, name, self._queues):
            return
        queue = self._queue(name)
        queue.closed = True
        told = [*queue.getters, *queue.putters]
        self._bytes -= sum(map(_weight, queue.putters.values()))
        queue.getters.clear()
        queue.putters.clear()
        for each in told:
            del self._blocked[each]
            self._settle(each, Status.CLOSED, b"")
        self._forget_queue(queue)
        self._settle(waiter, Status.DONE, b"")

    def put_back(self, name: str, value: bytes) -> None:
        """Give a value that was taken, by one who died before it had it, to the next: it is the first again."""
        queue = self._queue(name)
        if queue.getters:
            self._hand(queue, value)
        else:
            self._bytes += _weight(value)
            self._closed.pop(name, None)
            queue.items.appendleft(value)

    # Wait groups

    def _group(self, name: str) -> _Group[W]:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(name)
        return group

    def _forget_group(self, group: _Group[W]) -> None:
        self._forgiven.pop(group.name, None)
        if group.count or group.waiters:
            return
        name = group.name
        if group.forgiven:
            self._forgiven[name] = None
            if len(self._forgiven) <= MOST_FORGIVEN:
                return
            name = next(iter(self._forgiven))
            del self._forgiven[name]
        self._groups.pop(name, None)

    def _add(self, waiter: W, name: str, params: Params, holder: Hashable) -> None:
        if self._has_no_room_for(waiter, name, self._groups):
            return
        group, number = self._group(name), params.number
        if group.count + group.forgiven + number < 0:
            self._refuse(waiter, f"WaitGroup({name!r}): more was done than was added")
        else:
            if number > 0:
                _note_added(group, holder, number)
            else:
                _note_done(group, holder, -number)
            self._settle(waiter, Status.DONE, b"")
            self._wake_if_done(group)
        self._forget_group(group)

    def _wake_if_done(self, group: _Group[W]) -> None:
        if group.count:
            return
        group.added.clear()
        waiters, group.waiters = group.waiters, {}
        for waiter in waiters:
            del self._blocked[waiter]
            self._settle(waiter, Status.DONE, b"")

    def _wait(self, waiter: W, name: str, params: Params, holder: Hashable) -> None:
        group = self._groups.get(name)
        if group is None or not group.count:
            self._settle(waiter, Status.DONE, b"")
        else:
            group.waiters[waiter] = None
            self._blocked[waiter] = group

    def release(self, holder: Hashable) -> None:
        """Take off the counts what a holder had added that was killed and that nobody has done."""
        for group in [group for group in self._groups.values() if holder in group.added]:
            number = group.added.pop(holder)
            group.count -= number
            group.forgiven += number
            self._wake_if_done(group)
            self._forget_group(group)


def _weight(value: bytes | None) -> int:
    return 0 if value is None else len(value) + _VALUE


def _note_added(group: _Group[W], holder: Hashable, number: int) -> None:
    group.count += number
    group.added[holder] = group.added.get(holder, 0) + number
    if len(group.added) > _MOST_HOLDERS:
        oldest = next(each for each in group.added if each is not None)
        group.added[None] = group.added.get(None, 0) + group.added.pop(oldest)


def _note_done(group: _Group[W], holder: Hashable, number: int) -> None:
    """Take from what this holder has added itself, then from the others in their order, then from the dead's."""
    for each in [holder, *group.added]:
        part = min(number, group.added.get(each, 0))
        if part:
            group.added[each] -= part
            group.count -= part
            number -= part
            if not group.added[each]:
                del group.added[each]
        if not number:
            return
    group.forgiven -= number
