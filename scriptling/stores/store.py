"""The operations of a store: each is atomic for all threads and processes, and sees no expired key.

Expiry is looked at by every read. Expired records are deleted by those who write: now and then each write also deletes
some of what has expired, more than it may add, so that they do not pile up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from scriptling.stores import records, values
from scriptling.stores.environment import Environment
from scriptling.stores.errors import StoreError
from scriptling.stores.patterns import Pattern
from scriptling.stores.turns import Turn

_SWEEP_EVERY = 1.0  # seconds
_SWEEP = 200  # expired records deleted by one write
_SCAN = 1000  # records looked at in one transaction
_MOST_TRIES = 10_000  # of one update
_LATEST = 2**63 - 1  # ns
_LONGEST = _LATEST / 1e9  # seconds


class Store:
    """Keys, which are strings, and values, in an environment.

    :param clock: nanoseconds; what expiry is measured with, the same in all processes that share the store
    """

    def __init__(self, environment: Environment, clock: Callable[[], int]) -> None:
        self.environment = environment
        self._clock = clock
        self._next_sweep = 0.0

    def get(self, key: str, default: Any = None) -> Any:
        """Return a copy of the value of a key, or the default if there is none."""
        record = self.environment.get(records.stored_key(key))
        if record is None:
            return default
        if record[0] == 0:
            return values.decode(memoryview(record)[1:])
        return default if self._expired(record) else values.decode(records.payload(record))

    def set(self, key: str, value: Any, ttl: float = 0) -> None:
        """Store a copy of a value.

        :param ttl: seconds until it is gone; 0 for never
        :raises TypeError: a value that cannot be stored
        :raises ValueError: a key or a value that is too large, or a ttl below 0
        """
        stored = records.stored_key(key)
        encoded = values.encode(key, value)
        expiry = self._expiry(ttl) if ttl != 0 else 0
        record = records.header(stored, key, expiry) + encoded
        self.environment.write(partial(self._put, stored, record, expiry))

    def incr(self, key: str, delta: int = 1) -> int:
        """Add to an integer, which begins at 0, and return the sum; what expires does so at the same time as before.

        :raises TypeError: the value, or the delta, is no integer
        """
        if type(delta) is not int:
            raise TypeError(f"cannot increment {key!r} by {delta!r}: a {type(delta).__name__} is no int")
        stored = records.stored_key(key)

        def add(txn: Any) -> int:
            record = self._live(txn.get(stored))
            number = 0 if record is None else values.decode(records.payload(record))
            if type(number) is not int:
                raise TypeError(f"cannot increment {key!r}: its value is a {type(number).__name__}, not an int")
            expiry = records.expiry_of(record) if record else 0
            new = records.header(stored, key, expiry) + values.encode(key, number + delta)
            self._put(stored, new, expiry, txn)
            return number + delta

        return self.environment.write(add)

    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace a value by what a function makes of it, and return that.

        Nothing is locked while the function runs, so that it may be slow, raise, or use the store. If the value was
        changed meanwhile, the function is called again with the new one.

        :param function: is given a copy of the value, or the default
        :raises StoreError: others were quicker every time
        """
        stored = records.stored_key(key)
        turn = Turn(self.environment, stored)
        while turn.lost < _MOST_TRIES:
            turn.begin()
            record = self._live(self.environment.get(stored))
            value = function(default if record is None else values.decode(records.payload(record)))
            expiry = records.expiry_of(record) if record else 0
            new = records.header(stored, key, expiry) + values.encode(key, value)
            if self.environment.write(partial(self._swap, turn, record, new, expiry)):
                return value
        raise StoreError(f"cannot update {key!r}: others changed it {_MOST_TRIES} times while the function ran")

    def delete(self, key: str) -> bool:
        """Delete a key, and return whether it was there."""
        stored = records.stored_key(key)

        def remove(txn: Any) -> bool:
            record = txn.pop(stored)
            self._forget_expiry(txn, stored, record)
            self._sweep_at_times(txn)
            return self._live(record) is not None

        return self.environment.free(remove)

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return self._live(self.environment.get(records.stored_key(key))) is not None

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match a glob pattern (``*``, ``?``, ``[…]``), sorted.

        Only keys with the pattern's literal beginning are looked at. Keys that come or go meanwhile may be missing.
        """
        wanted = Pattern(pattern)
        return sorted(key for key in self._scan(wanted.prefix) if wanted.matches(key))

    def clear(self) -> None:
        """Delete every key."""
        self.environment.clear()

    def ttl(self, key: str) -> float:
        """Return how many seconds a key has left: -1 for ever, -2 if there is no such key."""
        record = self._live(self.environment.get(records.stored_key(key)))
        if record is None:
            return -2
        expiry = records.expiry_of(record)
        return max(expiry - self._clock(), 1) / 1e9 if expiry else -1

    def close(self) -> None:
        """Give back what this process holds of it; it opens again when it is used again."""
        self.environment.close()

    def _expiry(self, ttl: float) -> int:
        if type(ttl) not in (int, float) or not (0 <= ttl < math.inf):
            raise ValueError(f"a ttl is a number of seconds, 0 for ever, not {ttl!r}")
        return min(self._clock() + max(int(min(ttl, _LONGEST) * 1e9), 1), _LATEST)

    def _expired(self, record: bytes) -> bool:
        expiry = records.expiry_of(record)
        return expiry != 0 and expiry <= self._clock()

    def _live(self, record: bytes | None) -> bytes | None:
        return None if record is None or self._expired(record) else record

    def _put(self, stored: bytes, record: bytes, expiry: int, txn: Any) -> None:
        self._forget_expiry(txn, stored, txn.replace(stored, record))
        if expiry:
            txn.put(records.expiry_entry(expiry, stored), b"")
        self._sweep_at_times(txn)

    def _swap(self, turn: Turn, old: bytes | None, new: bytes, expiry: int, txn: Any) -> bool:
        if self._live(txn.get(turn.stored)) != old:
            turn.lose(txn)
            return False
        turn.win(txn)
        self._put(turn.stored, new, expiry, txn)
        return True

    @staticmethod
    def _forget_expiry(txn: Any, stored: bytes, record: bytes | None) -> None:
        if record is not None and record[0] and (expiry := records.expiry_of(record)):
            txn.delete(records.expiry_entry(expiry, stored))

    def _sweep_at_times(self, txn: Any) -> None:
        now = time.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = 0.0 if self._sweep(txn) else now + _SWEEP_EVERY

    def _sweep(self, txn: Any) -> bool:
        """Delete some of what has expired, and return whether there may be more."""
        cursor, now = txn.cursor(), self._clock()
        for _ in range(_SWEEP):
            if not cursor.set_range(records.EXPIRY):
                return False
            ending = records.read_expiry_entry(cursor.key())
            if ending.expiry > now:
                return False
            cursor.delete()
            txn.delete(ending.stored)
        return True

    def _scan(self, prefix: str) -> Iterator[str]:
        """Yield live keys with a prefix, a bounded number in each transaction."""
        start = beginning = records.stored_prefix(prefix)
        while found := self.environment.read(partial(_chunk, start, beginning)):
            for stored, record in found:
                if not self._expired(record):
                    yield records.key_of(stored, record)
            start = found[-1][0] + b"\0"


def _chunk(start: bytes, prefix: bytes, txn: Any) -> list[tuple[bytes, bytes]]:
    cursor = txn.cursor()
    found: list[tuple[bytes, bytes]] = []
    if cursor.set_range(start):
        for stored, record in cursor:
            if len(found) == _SCAN or not stored.startswith(prefix):
                break
            found.append((stored, record))
    return found
