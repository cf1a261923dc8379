"""The soak for some seconds, and what it is made of: what it would say if something were wrong (``make soak``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.soak import stories
from tests.faults.soak.ledger import CROWDED, SLACK, Call, Demand, Json, Ledger, ViolationError
from tests.faults.soak.run import soak
from tests.faults.soak.samples import Period, Sample
from tests.faults.soak.servers import Plan
from tests.faults.soak.verdicts import bars, lasting_zombies, throughput, trends
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
    ledger.kills = 1
    settle(ledger, PLAIN, error(-32001))
    assert ledger.excused["add"] == 1
    with pytest.raises(ViolationError):
        settle(ledger, PLAIN, error(-32001))


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


def sample(when: float, answers: float, fds: float = 40, zombies: frozenset[int] = frozenset()) -> Sample:
    return Sample(when, when, answers, 6, fds, 20, None, 30, 25.0, 15.0, None, 200.0, zombies)


def periods(rates: list[float], fds: list[float]) -> list[Period]:
    return [
        Period([sample(0, 0), sample(10, rate * 10)], sample(11, 0, count))
        for rate, count in zip(rates, fds, strict=True)
    ]


def test_end_is_held_against_the_beginning_without_the_time_to_warm_up() -> None:
    level = periods([10, 100, 100, 95], [200, 40, 41, 78])
    assert throughput([level, level]).holds
    assert all(trend.holds for trend in trends("x", level))
    slower = periods([10, 100, 100, 89], [200, 40, 41, 79])
    assert throughput([level, slower]).first != throughput([slower, slower]).last
    assert not throughput([slower]).holds
    (leak,) = (trend for trend in trends("x", slower) if not trend.holds)
    assert leak.row == "| x: descriptors of the front-end | ≤ + 38 | 40 | **79**, does not hold |"


def test_zombies_are_those_that_stay() -> None:
    fleeting = Period([sample(0, 0, zombies=frozenset({1})), sample(1, 0, zombies=frozenset({2}))], sample(2, 0))
    assert lasting_zombies([fleeting]) == 0
    assert lasting_zombies([fleeting, fleeting._replace(rest=sample(2, 0, zombies=frozenset({2})))]) == 1


def test_level_line_is_drawn_level() -> None:
    assert bars([100, 99, 100, 50]) == "███▅"
