"""Which children there should be, which there are, and when to start the next. The clock is an argument.

Every child is wanted until it is told to stop; one that dies before that is replaced, at once if it had got ready, and
after a growing pause if it had not, so that a fault at start-up does not become a storm of births.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from scriptling.errors import ErrorCode, RpcError
from workers.nursery import Kill, Nursery, Role, Spawn

_BIRTH = 10.0  # seconds from birth to readiness
_BURIAL = 1.0  # seconds from a kill to the notice of the death
_FIRST_PAUSE = 0.25  # seconds, doubled with every further death before readiness
_LONGEST_PAUSE = 5.0
_MOST_FAILURES = 10  # deaths in a row before readiness, until the server gives up
_FEWEST_ROUNDS = 3  # of births that have failed, until it does; workers that are born together may die together


@dataclass(eq=False)
class Child:
    """One child process.

    :ivar place: which of several it is, where those of its role are not alike
    :ivar ready: it can do what it is for
    :ivar born: when it was asked for, seconds of the clock; ``killed`` likewise, 0 if we have not killed it
    :ivar stopping: it was told to end, or nothing is wanted of it any more
    :ivar verdict: what the calls that die with it are answered with, if it was us who killed it
    """

    name: str
    role: Role
    generation: int
    place: int = 0
    ready: bool = False
    born: float = 0.0
    killed: float = 0.0
    stopping: bool = False
    verdict: RpcError | None = None


@dataclass
class _Failures:
    """Deaths before readiness, of one role and place.

    :ivar rounds: how often somebody was born after such a death and died likewise, the first round included
    :ivar since: when the first of the last round died, seconds of the clock
    """

    in_a_row: int = 0
    rounds: int = 0
    since: float = 0.0
    not_before: float = 0.0


class CrashLoopError(Exception):
    """Children of one role die again and again before they are ready."""


@dataclass
class Supervisor:
    """The children of one server.

    :ivar workers: how many workers there should be that do not wait for anybody
    :ivar unsettled: the children that are about to be ready, or to be dead
    """

    nursery: Nursery
    workers: int
    descriptors: Callable[[Child], list[int]]
    children: dict[str, Child] = field(default_factory=dict)
    unsettled: dict[str, Child] = field(default_factory=dict)
    _births: dict[Role, int] = field(default_factory=dict)
    _failures: dict[tuple[Role, int], _Failures] = field(default_factory=dict)

    def start(self, role: Role, now: float, place: int = 0) -> Child:
        """Start one child now.

        :raises OSError: there are not enough descriptors for it
        :raises NurseryLostError: nothing can be started any more
        """
        generation = self._births[role] = self._births.get(role, 0) + 1
        child = Child(f"{role.name.lower()}-{generation}", role, generation, place, born=now)
        self.nursery.send(Spawn(child.name, role, generation), self.descriptors(child))
        self.children[child.name] = self.unsettled[child.name] = child
        return child

    def kill(self, name: str, verdict: RpcError, now: float) -> None:
        """Kill a child; the first verdict given is what its calls are answered with."""
        child = self.children.get(name)
        if child is not None:
            child.verdict = child.verdict or verdict
            child.killed = now
            self.unsettled[name] = child
            self.nursery.send(Kill(name))

    def ready(self, name: str) -> Child | None:
        """Note that a child can do what it is for."""
        child = self.children.get(name)
        if child is not None and not child.ready:
            child.ready = True
            self.greeted(child)
            self._failures.pop((child.role, child.place), None)
        return child

    def greeted(self, child: Child) -> None:
        """Note that a child has said hello, and may take what time it needs from now on to get ready."""
        if not child.killed:
            self.unsettled.pop(child.name, None)

    def died(self, name: str, now: float) -> Child | None:
        """Forget a dead child.

        :raises CrashLoopError: too many of its role have died in a row before they were ready; none is started any more
        """
        child = self.children.pop(name, None)
        self.unsettled.pop(name, None)
        if child is None or child.stopping:
            return child
        if not child.ready:
            self._note_failure(child, now)
        return child

    def _note_failure(self, child: Child, now: float) -> None:
        failures = self._failures.setdefault((child.role, child.place), _Failures())
        if failures.not_before == inf:
            return
        failures.in_a_row += 1
        if child.born >= failures.since:
            failures.rounds += 1
            failures.since = now
        if failures.in_a_row >= _MOST_FAILURES and failures.rounds >= _FEWEST_ROUNDS:
            failures.not_before = inf
            raise CrashLoopError(
                f"{failures.in_a_row} processes in a row died before they were ready as {child.role.name.lower()}; "
                "the reason should stand above"
            )
        failures.not_before = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(failures.in_a_row - 1, _MOST_FAILURES))

    def hold_back(self, role: Role, now: float, place: int = 0) -> None:
        """Start none of this role for a while, because it was not possible."""
        failures = self._failures.setdefault((role, place), _Failures())
        failures.not_before = max(failures.not_before, now + _FIRST_PAUSE)

    def may_start(self, role: Role, now: float, place: int = 0) -> bool:
        """Whether a child of this role may be started now."""
        failures = self._failures.get((role, place))
        return failures is None or now >= failures.not_before

    def next_start(self, now: float) -> float | None:
        """Return when a start that is held back may happen; None if none is."""
        held_back = (each.not_before for each in self._failures.values() if now < each.not_before < inf)
        return min(held_back, default=None)

    def look(self, now: float) -> None:
        """Kill children that do not get ready, and see to it that those who were killed are buried."""
        for child in list(self.unsettled.values()):
            if not child.ready and not child.killed and now - child.born > _BIRTH:
                text = f"{child.name} did not get ready within {_BIRTH:g} s"
                self.kill(child.name, RpcError(ErrorCode.INTERNAL_ERROR, text), now)
            elif child.killed and now - child.killed > _BURIAL:
                child.killed = now
                self.nursery.wake()

    @property
    def expecting(self) -> bool:
        """Whether anybody is about to be ready, or to be dead."""
        return bool(self.unsettled)

    def of(self, role: Role) -> list[Child]:
        """Return the children of a role that are wanted."""
        return [child for child in self.children.values() if child.role == role and not child.stopping]
