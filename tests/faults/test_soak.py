"""The soak for some seconds, and what it is made of: what it would say if something were wrong (``make soak``)."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.faults.soak import stories
from tests.faults.soak.ledger import CROWDED, FRESH, IN_A_FLOOD, SLACK, Call, Demand, Json, Ledger, ViolationError
from tests.faults.soak.run import soak
from tests.faults.soak.samples import Period, Sample, askers
from tests.faults.soak.servers import Plan
from tests.faults.soak.troubles import Schedule, Trouble
from tests.faults.soak.verdicts import Trend, bars, lasting_zombies, trends
from tests.faults.soak.watch import Watch
from tests.wire.network import integer

PLAIN = stories.function("add", demand=stories.equal(integer(3)))
METHOD = Call("method", "object.call_method", {}, Demand(), object_since=100.0)
THREE: Json = {"result": integer(3)}


def error(code: int, message: str = "was killed by signal 9 (SIGKILL)") -> Json:
    return {"error": {"code": code, "message": message}}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock)


def settle(ledger: Ledger, call: Call, answer: Json) -> list[Json]:
    """Owe a call, settle it, and return what whoever waited was given."""
    heard: list[Json] = []
    ledger.settle({"id": ledger.owe(call, heard.append), **answer})
    return heard


@pytest.mark.timeout(120)
def test_some_seconds_of_everything(tmp_path: Path) -> None:
    """The floods are smaller than at full length; how quick it is does not matter."""
    outcome = soak(Plan(period=3, periods=2, flood=1_000, every=12, leases=False), tmp_path)
    assert outcome.answers > 1_000
    assert sum(outcome.done.values()) > 10
    assert all(trend.holds for trend in outcome.settled), outcome.settled
    assert "| all |" in outcome.markdown()


def test_each_answer_is_given_to_whoever_waits_for_it(ledger: Ledger) -> None:
    (answer,) = settle(ledger, PLAIN, THREE)
    assert answer["result"] == integer(3)
    assert (len(ledger), ledger.right["add"]) == (0, 1)


def test_second_answer_is_a_violation(ledger: Ledger) -> None:
    answer = {"id": ledger.owe(PLAIN, print), **THREE}
    ledger.settle(answer)
    with pytest.raises(ViolationError, match="answered twice"):
        ledger.settle(answer)


@pytest.mark.parametrize("answer", [{"result": integer(4)}, error(-32000), error(-32001), error(-32003)])
def test_wrong_answer_that_no_fault_accounts_for_is_a_violation(ledger: Ledger, answer: Json) -> None:
    with pytest.raises(ViolationError, match="wrong answer to add"):
        settle(ledger, PLAIN, answer)


def test_each_kill_accounts_for_one_call(ledger: Ledger) -> None:
    ledger.kill()
    settle(ledger, PLAIN, error(-32001))
    assert ledger.excused["add"] == 1
    with pytest.raises(ViolationError):
        settle(ledger, PLAIN, error(-32001))


def test_kill_of_an_idle_worker_accounts_for_no_later_call(ledger: Ledger, clock: Clock) -> None:
    for _ in range(600):
        ledger.kill()
    clock.now += FRESH + 0.1
    with pytest.raises(ViolationError):
        settle(ledger, PLAIN, error(-32001))
    ledger.kill()
    settle(ledger, PLAIN, error(-32001))
    assert ledger.excused["add"] == 1


def test_answers_in_floods_are_counted_apart(ledger: Ledger) -> None:
    settle(ledger, PLAIN, THREE)
    settle(ledger, PLAIN._replace(kind=IN_A_FLOOD), THREE)
    assert (ledger.answers, ledger.steady) == (2, 1)


def test_killed_store_accounts_for_the_objects_of_its_time(ledger: Ledger, clock: Clock) -> None:
    ledger.store_killed = 100 - SLACK - 1
    with pytest.raises(ViolationError):
        settle(ledger, METHOD, error(-32005, "object lost"))
    ledger.store_killed = clock.now
    settle(ledger, METHOD, error(-32005, "object lost"))
    assert ledger.excused["method"] == 1


def test_flood_accounts_for_what_is_refused_soon_after(ledger: Ledger, clock: Clock) -> None:
    ledger.flooded = clock.now
    settle(ledger, PLAIN, error(-32003))
    clock.now += CROWDED
    with pytest.raises(ViolationError):
        settle(ledger, PLAIN, error(-32003))


def test_answer_that_does_not_come_is_named(ledger: Ledger, clock: Clock) -> None:
    ledger.owe(PLAIN, print)
    clock.now += 59
    assert not ledger.overdue(60)
    clock.now += 2
    assert "no answer within 60 s to add" in ledger.overdue(60)


IDLE = Sample(0, 0, 0, 6, 40, 20, 15, 30, 24, 25.0, 15.0, 15.0, 18.0, 200.0, frozenset())


def sample(when: float, answers: float = 0, **others: Any) -> Sample:
    return IDLE._replace(when=when, cpu=when, answers=answers, **others)


def period(number: int, rate: float = 100, cpu: float = 50, /, **rest: Any) -> Period:
    """Return one of a minute; CPU time is that of 50 seconds of load."""
    begin = number * 60
    loaded = [sample(begin), sample(begin + 50, rate * 50)._replace(cpu=begin + cpu)]
    return Period(loaded, sample(begin + 59, **rest))


def fallen(periods: list[Period]) -> list[str]:
    """Return what does not hold."""
    return [trend.what.removeprefix("x: ") for trend in trends("x", periods) if not trend.holds]


LEAKS = [
    "front_end_fds",
    "nursery_fds",
    "setup_fds",
    "store_fds",
    "front_end_memory",
    "nursery_memory",
    "setup_memory",
    "store_memory",
]


def leaking(field: str, number: int, since: int = 0) -> float:
    """Return what a figure is that grows by one a minute, beside what comes and goes."""
    before: float = getattr(IDLE, field)
    return before + (number - since) + (0, 2, 1)[number % 3]


def test_end_is_held_against_the_beginning_without_the_time_to_warm_up() -> None:
    assert not fallen([period(0, 10, front_end_fds=200), period(1), period(2), period(3, 93, front_end_fds=46)])
    assert fallen([period(0), period(1), period(2), period(3, front_end_fds=47)]) == [
        "descriptors of the front-end, threads apart"
    ]
    trend = Trend("figure", 40, 79, 38)
    assert trend.row == "| figure | ≤ + 38 | 40 | **79**, does not hold |"


@pytest.mark.parametrize("field", LEAKS)
def test_leak_of_one_a_minute_is_noticed_twice_over(field: str) -> None:
    level, slope = fallen([period(number, **{field: leaking(field, number)}) for number in range(30)])
    assert slope == f"{level}, a minute"


@pytest.mark.parametrize("field", ["store_fds", "store_memory"])
def test_leak_of_a_store_is_noticed_although_it_was_killed_in_the_first_half(field: str) -> None:
    before = [period(number) for number in range(15)]
    after = [period(number, **{field: leaking(field, number, since=15)}) for number in range(15, 30)]
    assert any(what.endswith(", a minute") for what in fallen(before + after))


@pytest.mark.parametrize("field", LEAKS)
def test_what_comes_and_goes_is_no_leak(field: str) -> None:
    before: float = getattr(IDLE, field)
    assert not fallen([period(number, **{field: before + (0, 3, 1, 4, 2)[number % 5]}) for number in range(30)])
    stepped = [period(number, **{field: before + 4 * (number > 20)}) for number in range(30)]
    assert not fallen(stepped)


@pytest.mark.parametrize("field", LEAKS)
def test_figure_that_cannot_be_read_does_not_hold(field: str) -> None:
    some = [period(number, **{field: None if number % 4 else getattr(IDLE, field)}) for number in range(30)]
    assert len(fallen(some)) == 2
    few = [period(number, **{field: getattr(IDLE, field) if number % 4 else None}) for number in range(30)]
    assert not fallen(few)
    assert "not read" in next(trend for trend in trends("x", some) if not trend.holds).row


LOSSES = {
    "little by little": [0.1 * number / 29 for number in range(30)],
    "early": [0.1 * (number > 8) for number in range(30)],
    "late": [0.1 * (number > 20) for number in range(30)],
}
NOISE = (0, 2, -3, 1, -2, 3)


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_loss_of_a_tenth_of_the_throughput_is_noticed_in_each_way(losses: list[float]) -> None:
    noisy = [100 + NOISE[number % 6] for number in range(30)]
    assert not fallen([period(number, rate) for number, rate in enumerate(noisy)])
    slower = [period(number, rate * (1 - lost)) for number, (rate, lost) in enumerate(zip(noisy, losses, strict=True))]
    assert fallen(slower) == ["answers under load", "answers for a second of CPU time"]
    dearer = [period(number, 100, 50 / (1 - lost)) for number, lost in enumerate(losses)]
    assert fallen(dearer) == ["answers for a second of CPU time"]


def test_only_whole_connections_of_living_threads_are_taken_for_those_of_threads() -> None:
    """This process has threads and sockets, but no thread of it has an event descriptor."""
    pairs = [socket.socketpair() for _ in range(4)]
    assert askers(os.getpid()) == 0
    events = [os.eventfd(0) for _ in range(50)]
    assert askers(os.getpid()) == min(len(os.listdir("/proc/self/task")), 8)  # noqa: PTH208
    for fd in events:
        os.close(fd)
    for one, other in pairs:
        one.close()
        other.close()
    assert askers(0) is None


def test_what_is_done_in_the_first_periods_is_not_done_later() -> None:
    watch, done = Watch(), list[str]()
    often = Trouble("often", [0.5], lambda: watch.over.set() if len(done) > 3 else done.append("often"))
    Schedule(watch, 0.01, [Trouble("at first", [0.0], lambda: done.append("at first"), 2), often]).run()
    assert done == ["at first", "often", "at first", "often"]


def test_zombies_are_those_that_stay() -> None:
    fleeting = Period([sample(0, zombies=frozenset({1})), sample(1, zombies=frozenset({2}))], sample(2))
    assert lasting_zombies([fleeting]) == 0
    assert lasting_zombies([fleeting, fleeting._replace(rest=sample(2, zombies=frozenset({2})))]) == 1


def test_level_line_is_drawn_level() -> None:
    assert bars([100, 99, 100, 50]) == "███▅"
