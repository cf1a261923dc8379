"""What a server counts of itself. Pure, and cheap where it is done for every call: one number in a list is one higher.

Names are those of handlers, never anything that a client can choose, so that there are not more of them than were
declared. How the counts are written is told in :mod:`workers.front_end.exposition`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import msgspec

from scriptling.errors import ErrorCode

T = TypeVar("T")

_SIZES = 65  # of a time in ns, as the number of bits that it takes
_MOST_NAMES = 10_000  # of one kind that other processes may report; what was declared has far fewer


class Outcome(StrEnum):
    """What came of a call."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    DIED = "died"
    REFUSED = "refused"
    CANCELLED = "cancelled"

    @classmethod
    def of(cls, code: int) -> Outcome:
        """Return the outcome that an error code tells of."""
        return _OUTCOMES.get(code, cls.ERROR)


_OUTCOMES: dict[int, Outcome] = {
    ErrorCode.TIMED_OUT: Outcome.TIMEOUT,
    ErrorCode.WORKER_DIED: Outcome.DIED,
    ErrorCode.OBJECT_LOST: Outcome.DIED,
    ErrorCode.OVERLOADED: Outcome.REFUSED,
    ErrorCode.SHUTTING_DOWN: Outcome.REFUSED,
    ErrorCode.TOO_DEEP: Outcome.REFUSED,
    ErrorCode.CANCELLED: Outcome.CANCELLED,
}


class Timing(msgspec.Struct, array_like=True):
    """The calls of one handler that ran to their end.

    :ivar expected: ns that the next is thought to take; whoever measures says how that follows from the last
    :ivar by_size: how many took a time (ns) of so many bits
    :ivar total: ns of all of them
    :ivar errors: how many of them failed
    """

    expected: int = 0
    by_size: list[int] = msgspec.field(default_factory=lambda: [0] * _SIZES)
    total: int = 0
    errors: int = 0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.by_size)

    def note(self, elapsed: int, failed: bool) -> None:
        """Count one that took so long (ns)."""
        self.by_size[elapsed.bit_length()] += 1
        self.total += elapsed
        self.errors += failed

    def take(self) -> Timing:
        """Return what was counted, and begin anew."""
        taken = Timing(0, self.by_size, self.total, self.errors)
        self.by_size, self.total, self.errors = [0] * _SIZES, 0, 0
        return taken

    def add(self, more: Timing) -> None:
        """Add what was measured elsewhere."""
        for size, number in enumerate(more.by_size[:_SIZES]):
            self.by_size[size] += number
        self.total += more.total
        self.errors += more.errors


@dataclass
class Traffic:
    """Bytes of one transport, without those of TLS and HTTP headers."""

    received: int = 0
    sent: int = 0


class Report(msgspec.Struct, array_like=True, frozen=True, tag="counts"):
    """From a child to the front-end: what it has counted since it last said so.

    :ivar objects: that live there now
    :ivar timings: by class, or class and method; ``timeouts`` likewise
    :ivar operations: on what calls share
    """

    objects: int = 0
    timings: dict[str, Timing] = {}
    timeouts: dict[str, int] = {}
    operations: dict[str, int] = {}


@dataclass
class Metrics:
    """Everything that is counted in the front-end.

    :ivar timings: by the name of a handler in a worker
    :ivar store_timings: by class, or class and method, as the object stores report them
    :ivar outcomes: of calls that did not run to their end, by handler and outcome
    :ivar refusals: of requests that were not accepted, by error code
    :ivar restarts: of processes that died without being told to end, by role
    :ivar callbacks: calls of functions in hosts
    :ivar operations: on things that calls share, as all processes report them, by what and which
    :ivar traffic: by transport
    """

    timings: dict[str, Timing] = field(default_factory=dict)
    store_timings: dict[str, Timing] = field(default_factory=dict)
    outcomes: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    refusals: Counter[int] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    callbacks: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    traffic: dict[str, Traffic] = field(default_factory=dict)

    def traffic_of(self, transport: str) -> Traffic:
        """Return where a transport counts its bytes."""
        return self.traffic.setdefault(transport, Traffic())

    def take_report(self, report: Report) -> None:
        """Add what another process has counted since its last report; of names without end it keeps the first."""
        for name, timing in report.timings.items():
            if _has_room(self.store_timings, name):
                self.store_timings.setdefault(name, Timing()).add(timing)
        for name, number in report.timeouts.items():
            if _has_room(self.outcomes, (name, Outcome.TIMEOUT)):
                self.outcomes[name, Outcome.TIMEOUT] += number
        for name, number in report.operations.items():
            if _has_room(self.operations, name):
                self.operations[name] += number


def _has_room(counted: Mapping[T, object], name: T) -> bool:
    """Whether a name may be counted that another process has reported: user code there can forge them."""
    return name in counted or len(counted) < _MOST_NAMES


@dataclass
class Gauges:
    """What is so at the moment.

    :ivar queued: calls that wait for a worker
    :ivar running: calls that workers have
    :ivar in_store: calls that the object stores have
    :ivar objects: that live, as the object stores reported last
    :ivar workers: how many there are, by state
    :ivar sessions: conversations with hosts
    """

    queued: int
    running: int
    in_store: int
    objects: int
    workers: Counter[str]
    sessions: int


def worker_states(states: Iterable[str]) -> Counter[str]:
    """Count workers by state; every state is named, also those that nobody is in."""
    counts = Counter(dict.fromkeys(("starting", "idle", "busy", "waiting", "parked", "ending"), 0))
    counts.update(states)
    return counts
