"""The instances of the object store, each with a mailbox: one call at a time for one object, all objects in parallel.

A mailbox is the "one lock per object" turned round: a call that finds its object busy is put aside instead of blocking
a thread. While a method waits for a callback its object is free for others, as it is in a single-threaded program
where the callback calls the object again; so a callback that does never deadlocks.

Nothing here is thread-safe: the store calls it under its own mutex.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

WorkT = TypeVar("WorkT")


@dataclass(eq=False)
class Instance(Generic[WorkT]):
    """One object.

    :ivar owner: number of whoever made it; it ends with that
    :ivar busy: whether a call of it is running
    :ivar hung: why it takes no calls: the running one has been given up and has not come to its end
    :ivar mail: calls that wait for it
    :ivar returning: calls that waited for a callback and want their object back, before any new call
    """

    id: str
    class_name: str
    value: Any
    owner: int
    busy: bool = False
    destroyed: bool = False
    hung: str = ""
    mail: deque[WorkT] = field(default_factory=deque)
    returning: deque[Any] = field(default_factory=deque)


class Instances(Generic[WorkT]):
    """Every live object by id. Ids cannot be guessed from one another, and tell which life of the store made them."""

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._by_id: dict[str, Instance[WorkT]] = {}
        self._ids: dict[int, str] = {}

    def add(self, class_name: str, value: Any, owner: int) -> Instance[WorkT]:
        """Keep a new object, or find the one that this value already is, whoever owns it."""
        known = self._ids.get(id(value))
        if known is not None:
            return self._by_id[known]
        instance: Instance[WorkT] = Instance(f"{self._generation}.{os.urandom(12).hex()}", class_name, value, owner)
        self._by_id[instance.id] = instance
        self._ids[id(value)] = instance.id
        return instance

    def get(self, object_id: str) -> Instance[WorkT] | None:
        """Return a live object, or None."""
        return self._by_id.get(object_id)

    def find(self, value: Any) -> Instance[WorkT] | None:
        """Return the live object that this value is, or None."""
        return self._by_id.get(self._ids.get(id(value), ""))

    def is_lost(self, object_id: str) -> bool:
        """Whether an id was made in an earlier life of the store."""
        generation, _, token = object_id.partition(".")
        return bool(token) and generation in {str(number) for number in range(1, self._generation)}

    def remove(self, instance: Instance[WorkT]) -> None:
        """Forget an object; calls already in its mailbox still find it."""
        instance.destroyed = True
        self._by_id.pop(instance.id, None)
        self._ids.pop(id(instance.value), None)

    def all(self) -> list[Instance[WorkT]]:
        """Return every live object, oldest first."""
        return list(self._by_id.values())

    def of(self, owner: int) -> list[Instance[WorkT]]:
        """Return everything that somebody owns, oldest first."""
        return [instance for instance in self._by_id.values() if instance.owner == owner]

    def __len__(self) -> int:
        return len(self._by_id)
