"""Whether the end was as the beginning: medians of the first and the last fifth of all periods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Literal, NamedTuple, TypeVar

from tests.faults.figures import Unit
from tests.faults.soak.samples import Period
from tests.faults.table import shown

THREADS = 32  # that an object store keeps; each has a connection to the front-end
T = TypeVar("T")
_BARS = "▁▂▃▄▅▆▇█"


class Trend(NamedTuple):
    """One figure at the beginning and at the end.

    :ivar room: how much more it may be at the end; or what share of it has to be left
    """

    what: str
    first: float
    last: float
    room: float
    unit: Unit = ""
    relation: Literal["at most", "at least"] = "at most"

    @property
    def holds(self) -> bool:
        """Whether it is as demanded."""
        if self.relation == "at least":
            return self.last >= self.first * self.room
        return self.last <= self.first + self.room

    @property
    def row(self) -> str:
        """It as a row of the table."""
        demanded = f"≥ {self.room:g} ×" if self.relation == "at least" else f"≤ + {shown(self.room, self.unit)}"
        last = shown(self.last, self.unit)
        last = last if self.holds else f"**{last}**, does not hold"
        return f"| {self.what} | {demanded} | {shown(self.first, self.unit)} | {last} |"


FIGURES: list[tuple[str, str, float, Unit]] = [
    ("processes", "processes", 1, ""),
    ("descriptors of the front-end", "front_end_fds", 6 + THREADS, ""),
    ("descriptors of the nursery", "nursery_fds", 6, ""),
    ("descriptors of the object store", "store_fds", 6 + 2 * THREADS, ""),
    ("descriptors, most of any other", "most_fds", 6, ""),
    ("memory of the front-end", "front_end_memory", 16, "MiB"),
    ("memory of the nursery", "nursery_memory", 8, "MiB"),
    ("memory of the object store", "store_memory", 8, "MiB"),
    ("memory of all processes", "tree_memory", 32, "MiB"),
]


def trends(name: str, periods: Sequence[Period]) -> list[Trend]:
    """Return what became of the processes of one server; the first period is for warming up."""
    first, last = _ends(periods[1:])
    found = [
        Trend(f"{name}: {what}", _median(first, field), _median(last, field), room, unit)
        for what, field, room, unit in FIGURES
    ]
    return [*found, Trend(f"{name}: zombies at two looks running", 0, lasting_zombies(periods), 0)]


def throughput(servers: Sequence[Sequence[Period]]) -> Trend:
    """Return what became of the answers a second of all servers together."""
    first, last = _ends([sum(period.rate for period in each) for each in zip(*servers, strict=True)][1:])
    return Trend("answers under load", median(first), median(last), 0.9, "/s", "at least")


def _ends(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Return the first fifth and the last one, or the first and the last."""
    fifth = max(1, len(items) // 5)
    return items[:fifth], items[-fifth:]


def _median(periods: Sequence[Period], field: str) -> float:
    values: list[float | None] = [getattr(period.rest, field) for period in periods]
    return median([value for value in values if value is not None] or [0])


def lasting_zombies(periods: Sequence[Period]) -> int:
    """Count the processes that nobody has buried from one look to the next."""
    looks = [look for period in periods for look in (*period.loaded, period.rest)]
    return len(frozenset[int]().union(*(before.zombies & after.zombies for before, after in pairwise(looks))))


def bars(numbers: Sequence[float]) -> str:
    """Draw numbers from 0 on; a line that is level is one that is flat."""
    highest = max(numbers, default=0) or 1
    return "".join(_BARS[round(number / highest * (len(_BARS) - 1))] for number in numbers)


def lines(name: str, periods: Sequence[Period]) -> list[str]:
    """Return drawings of one server, a character for each period but the first."""
    speed = [period.rate for period in periods[1:]]
    yielded = [period.yielded for period in periods[1:]]
    memory = [_peak(period, "tree_memory") for period in periods[1:]]
    processes = [_peak(period, "processes") for period in periods[1:]]
    return [
        f"- {name}, answers a second under load: `{bars(speed)}` {min(speed):,.0f} to {max(speed):,.0f}",
        f"- {name}, answers for a second of CPU time: `{bars(yielded)}` {min(yielded):,.0f} to {max(yielded):,.0f}",
        f"- {name}, most memory under load: `{bars(memory)}` {min(memory):,.0f} to {max(memory):,.0f} MiB",
        f"- {name}, most processes under load: `{bars(processes)}` {min(processes):,.0f} to {max(processes):,.0f}",
    ]


def _peak(period: Period, field: str) -> float:
    return max(getattr(look, field) or 0 for look in period.loaded)


def markdown(found: Sequence[Trend]) -> str:
    """Return the table."""
    head = ["| what | demanded | first fifth | last fifth |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(trend.row for trend in found)])


def counts(right: Counter[str], excused: Counter[str]) -> str:
    """Return how often what was called, and how many of that had an error on account of a fault, as a table."""
    head = [
        "| calls | answered | of these by the error of a fault done to them |",
        "| --- | ---: | ---: |",
    ]
    total = right + excused
    rows = [f"| {kind} | {number:,} | {excused[kind]:,} |" for kind, number in total.most_common()]
    return "\n".join([*head, *rows, f"| all | {total.total():,} | {excused.total():,} |"])
