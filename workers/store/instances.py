"""Instances of registered classes: by id, by owner, each with a mailbox of calls that wait for it.

A mailbox is "one lock per object" turned round: a call that finds its object busy is put aside instead of blocking
a thread. While a method waits for a callback its object is free for others, as it is in a single-threaded program
where the callback calls the object again; so a callback that does never deadlocks.

Nothing here is thread-safe: the store calls it under its own mutex.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from scriptling.errors import ErrorCode, RpcError
from workers.store.leases import Leases

_MADE: Final = re.compile(r"([1-9][0-9]{0,8})\..", re.ASCII | re.DOTALL)

WorkT = TypeVar("WorkT")

_EMPTY: Final[deque[Any]] = (
    deque()
)  # shared by all that nothing waits for, because an own one takes as much as the rest


@dataclass(eq=False)
class Owner:
    """Whoever objects are made for: they end with it.

    :ivar ended: it has gone; what calls of it still make has missed that
    """

    number: int
    ended: bool = False
    instances: dict[Instance[Any], None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Instance(Generic[WorkT]):
    """One object.

    :ivar used: when it was last used, where it has a lease (:mod:`workers.store.leases`); ``due`` likewise
    :ivar busy: whether a call of it is running
    :ivar away: how many calls of it wait for something else
    :ivar hung: why it takes no calls: the running one has been given up and has not come to its end
    :ivar mail: calls that wait for it
    :ivar returning: calls that waited for a callback and want their object back, before any new call
    """

    id: str
    class_name: str
    value: Any
    owner: Owner
    used: float = 0.0
    due: int = 0
    busy: bool = False
    away: int = 0
    destroyed: bool = False
    hung: str = ""
    mail: deque[WorkT] = field(default_factory=lambda: _EMPTY)
    returning: deque[WorkT] = field(default_factory=lambda: _EMPTY)

    @property
    def in_use(self) -> bool:
        """Whether something is done with it, or about to be."""
        return self.busy or self.away > 0

    def put_aside(self, work: WorkT) -> None:
        """Keep a call until its turn comes."""
        if self.mail is _EMPTY:
            self.mail = deque()
        self.mail.append(work)

    def wait_to_return(self, work: WorkT) -> None:
        """Keep a call that wants its object back."""
        if self.returning is _EMPTY:
            self.returning = deque()
        self.returning.append(work)


class Instances(Generic[WorkT]):
    """Every live object by id. Ids cannot be guessed from one another, and tell which life of the store made them.

    :param most: how many there may be
    """

    def __init__(self, generation: int, most: int, leases: Leases[Instance[WorkT]]) -> None:
        self._generation = generation
        self._prefix = f"{generation}."
        self._most = most
        self._leases = leases
        self._being_made = 0
        self._by_id: dict[str, Instance[WorkT]] = {}
        self._ids: dict[int, str] = {}
        self._owners: WeakValueDictionary[int, Owner] = WeakValueDictionary()

    # Owners

    def owner(self, number: int) -> Owner:
        """Return the owner of this number, who is known for as long as anything refers to it."""
        owner = self._owners.get(number)
        if owner is None:
            owner = self._owners[number] = Owner(number)
        return owner

    def end_owner(self, number: int) -> Owner:
        """Return an owner that ends; its number stands for a new one from now on."""
        owner = self.owner(number)
        owner.ended = True
        del self._owners[number]
        return owner

    @property
    def owners(self) -> list[Owner]:
        """Everybody who may own something."""
        return list(self._owners.values())

    def hand_over(self, instances: Iterable[Instance[WorkT]]) -> Owner:
        """Return an owner that has gone, who owns these objects from now on."""
        heir = Owner(0, ended=True)
        for instance in instances:
            del instance.owner.instances[instance]
            instance.owner = heir
            heir.instances[instance] = None
        return heir

    # Objects

    def reserve(self) -> None:
        """Take a place for an object that is about to be made.

        :raises RpcError: there are as many as may be
        """
        self.check_room()
        self._being_made += 1

    def check_room(self) -> None:
        """Hold that there may be one more object.

        :raises RpcError: there are as many as may be
        """
        if len(self._by_id) + self._being_made >= self._most:
            text = f"there are {self._most} objects already; destroy some, or raise --max-objects"
            raise RpcError(ErrorCode.TOO_MANY_OBJECTS, text)

    def give_up_place(self) -> None:
        """Give back a place: the object has been added, or could not be made."""
        self._being_made -= 1

    def add(self, class_name: str, value: Any, owner: Owner, lease_from: float | None = None) -> Instance[WorkT]:
        """Keep a new object, or find the one that this value already is, whoever owns it.

        :param lease_from: seconds of the clock, where the new object is to have a lease
        """
        known = self.find(value)
        if known is not None:
            return known
        instance: Instance[WorkT] = Instance(self._prefix + os.urandom(12).hex(), class_name, value, owner)
        self._by_id[instance.id] = instance
        self._ids[id(value)] = instance.id
        owner.instances[instance] = None
        if lease_from is not None:
            self._leases.grant(instance, lease_from)
        return instance

    def get(self, object_id: str) -> Instance[WorkT] | None:
        """Return a live object, or None."""
        return self._by_id.get(object_id)

    def find(self, value: Any) -> Instance[WorkT] | None:
        """Return the live object that this value is, or None."""
        return self._by_id.get(self._ids.get(id(value), ""))

    def has_made(self, object_id: str) -> bool:
        """Whether an id looks like one that was made here."""
        return object_id.startswith(self._prefix)

    def is_lost(self, object_id: str) -> bool:
        """Whether an id looks like one that was made in an earlier life of the store."""
        found = _MADE.match(object_id)
        return found is not None and int(found[1]) < self._generation

    def remove(self, instance: Instance[WorkT]) -> None:
        """Forget an object; calls already in its mailbox still find it."""
        instance.destroyed = True
        self._by_id.pop(instance.id, None)
        self._ids.pop(id(instance.value), None)
        instance.owner.instances.pop(instance, None)
        self._leases.end(instance)

    def __len__(self) -> int:
        return len(self._by_id)
