"""The object stores as the dispatcher sees them: which call is for which of them, and what each has. Pure.

A server may have several, so that a crash costs the objects of one only. A class has its objects in one store for as
long as there are not more stores than classes; classes share one if there are fewer. If there are more, the objects of
a class are spread over several. An id begins with the number of the birth of the store that made it, which never comes
again: so it leads to the store that has the object, or to the successor of one that is dead, which knows it as lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from workers.calls.tickets import Caller, Ticket, is_withdrawn_with
from workers.frames import Kind

_NAMES_A_CLASS = frozenset((Kind.NEW, Kind.ADOPT))


@dataclass(eq=False)
class Shard:
    """One object store, whichever life of it.

    :ivar calls: those for it that are owed an answer, by number
    :ivar unsent: those of them that have not been sent to it
    """

    calls: dict[int, Ticket] = field(default_factory=dict)
    unsent: list[Ticket] = field(default_factory=list)

    def put(self, ticket: Ticket) -> None:
        """Accept a call for it."""
        self.calls[ticket.seq] = ticket
        self.unsent.append(ticket)

    def withdraw(self, caller: Caller) -> list[Ticket]:
        """Take out what has not been sent and is not to be begun without this caller."""
        withdrawn = [ticket for ticket in self.unsent if is_withdrawn_with(ticket, caller)]
        for ticket in withdrawn:
            del self.calls[ticket.seq]
        if withdrawn:
            self.unsent[:] = [ticket for ticket in self.unsent if ticket.seq in self.calls]
        return withdrawn


class Shards:
    """All object stores of a server.

    :ivar all: each of them
    """

    def __init__(self, number: int) -> None:
        self.all = [Shard() for _ in range(number)]
        self._only = self.all[0] if number == 1 else None
        self._births: dict[str, Shard] = {}
        self._of_class: dict[str, deque[Shard]] = {}

    def place(self, classes: Sequence[str]) -> None:
        """Decide where the objects of each class will be, in the order in which they were declared."""
        number = len(self.all)
        for index, name in enumerate(classes):
            self._of_class[name] = deque(self.all[index % number :: max(1, len(classes))])

    def born(self, shard: Shard, birth: int) -> None:
        """Note the number by which the ids begin that a new life of a store will make."""
        self._births[str(birth)] = shard

    def of(self, ticket: Ticket) -> Shard:
        """Return the store that a call is for; of several that may make an object, the one with the fewest calls.

        Any may refuse what is for none: a class that was not declared, which only a handler that forges its questions
        can name, and an id that no store can have made.
        """
        if self._only is not None:
            return self._only
        if ticket.kind in _NAMES_A_CLASS:
            shards = self._of_class.get(ticket.target)
            if shards is None:
                return self.all[0]
            shards.rotate()
            return min(shards, key=_load)
        return self._births.get(ticket.target.partition(".")[0], self.all[0])

    def find(self, seq: int) -> Ticket | None:
        """Return the call of this number, if a store has it."""
        for shard in self.all:
            ticket = shard.calls.get(seq)
            if ticket is not None:
                return ticket
        return None

    def __len__(self) -> int:
        """Return how many calls the stores owe an answer to."""
        return sum(len(shard.calls) for shard in self.all)


def _load(shard: Shard) -> int:
    return len(shard.calls)


@dataclass(eq=False)
class Everywhere:
    """Is answered by every store where a call is for all, and answers it when the last one has.

    :ivar ticket: the call as it was accepted
    :ivar missing: how many have not answered
    """

    ticket: Ticket
    missing: int
    _failure: bytes = b""

    @property
    def session(self) -> int:
        """See :class:`workers.calls.tickets.Caller`."""
        return self.ticket.caller.session

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        """See :class:`workers.calls.tickets.Caller`."""
        self.missing -= 1
        if failed:
            self._failure = payload
        if not self.missing:
            self.ticket.caller.answer(self.ticket, bool(self._failure), self._failure or payload)
