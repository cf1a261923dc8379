"""A server ends in order: calls, objects, the setup script, the last answers; no step can take all of the time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.front_end.ending import Ending, Facts, Phase

NOTHING_LEFT = Facts(
    calls_pending=False, tasks_running=False, store_running=False, setup_running=False, output_waiting=False
)
EVERYTHING = Facts(calls_pending=True, tasks_running=True, store_running=True, setup_running=True, output_waiting=True)
NAMES = {
    Phase.DRAINING: "calls_pending",
    Phase.STOPPING_TASKS: "tasks_running",
    Phase.DESTROYING: "store_running",
    Phase.CLEANING_UP: "setup_running",
    Phase.FLUSHING: "output_waiting",
}


def begun(grace: float = 30.0, exit_code: int = 0) -> Ending:
    ending = Ending()
    ending.begin(100.0, grace, exit_code)
    return ending


def times_of(ending: Ending) -> dict[Phase, float]:
    """Go through all phases with nothing ever being done, and return when each one was cut off."""
    ended = {}
    while not ending.over:
        phase, deadline = ending.phase, ending.next_deadline()
        assert deadline is not None
        assert ending.advance(deadline, EVERYTHING)
        ended[phase] = deadline
    return ended


def test_a_server_serves_until_there_is_a_reason_to_end() -> None:
    ending = Ending()
    assert not ending.begun
    assert not ending.advance(1e9, NOTHING_LEFT)
    assert ending.phase == Phase.SERVING
    assert ending.next_deadline() is None


def test_with_nothing_left_to_do_it_ends_at_once() -> None:
    ending = begun()
    phases = []
    while ending.advance(100.0, NOTHING_LEFT):
        phases.append(ending.phase)
    assert phases == [
        Phase.STOPPING_TASKS,
        Phase.DESTROYING,
        Phase.CLEANING_UP,
        Phase.FLUSHING,
        Phase.OVER,
    ]
    assert ending.over
    assert not ending.advance(1000.0, EVERYTHING)
    assert ending.next_deadline() is None


@pytest.mark.parametrize("phase", NAMES)
def test_each_phase_waits_for_its_own_work_only(phase: Phase) -> None:
    ending = begun()
    facts = replace(NOTHING_LEFT, **{NAMES[phase]: True})
    while ending.advance(100.0, facts):
        continue
    assert ending.phase == phase
    assert ending.advance(100.0, NOTHING_LEFT)


def test_each_phase_is_cut_off_when_its_share_of_the_time_is_over() -> None:
    ended = times_of(begun(30.0))
    assert [*ended] == [Phase.DRAINING, Phase.STOPPING_TASKS, Phase.DESTROYING, Phase.CLEANING_UP, Phase.FLUSHING]
    assert ended[Phase.DRAINING] == 129.0
    assert ended[Phase.STOPPING_TASKS] <= 132.0
    assert ended[Phase.DESTROYING] <= 135.0
    assert ended[Phase.FLUSHING] - ended[Phase.CLEANING_UP] == 1.0


@given(st.floats(0.0, 1000.0))
def test_hung_calls_leave_time_for_the_rest(grace: float) -> None:
    ended = times_of(begun(grace))
    assert ended[Phase.DRAINING] <= 100.0 + grace
    assert ended[Phase.STOPPING_TASKS] >= ended[Phase.DRAINING] + 0.15 - 1e-6
    assert ended[Phase.DESTROYING] >= ended[Phase.STOPPING_TASKS] + min(0.5, grace / 5) - 1e-6
    assert ended[Phase.CLEANING_UP] >= ended[Phase.DESTROYING] + 0.5 - 1e-6
    assert ended[Phase.FLUSHING] <= 100.0 + grace + 3.0 + 1e-6


def test_tasks_and_objects_have_no_more_than_their_share() -> None:
    ending = begun(30.0)
    ending.advance(100.0, NOTHING_LEFT)
    assert ending.next_deadline() == 103.0
    ending.advance(103.0, EVERYTHING)
    assert ending.next_deadline() == 106.0


def test_the_first_reason_decides_the_exit_code() -> None:
    ending = begun(30.0, exit_code=3)
    ending.begin(101.0, 30.0, 1)
    assert ending.exit_code == 3


def test_a_more_urgent_reason_shortens_the_time() -> None:
    ending = begun(30.0)
    ending.begin(101.0, 0.4)
    ended = times_of(ending)
    assert ended[Phase.DRAINING] <= 101.4
    assert ended[Phase.FLUSHING] <= 103.5


def test_a_less_urgent_reason_gives_no_more_time() -> None:
    ending = begun(1.0)
    before = ending.next_deadline()
    ending.begin(100.5, 30.0)
    assert ending.next_deadline() == before
    assert ending.phase == Phase.DRAINING


def test_an_urgent_reason_hurries_later_phases_too() -> None:
    ending = begun(30.0)
    while ending.phase < Phase.CLEANING_UP:
        ending.advance(100.0, NOTHING_LEFT)
    ending.begin(101.0, 0.4)
    deadline = ending.next_deadline()
    assert deadline is not None
    assert deadline <= 101.4
    assert ending.phase == Phase.CLEANING_UP


def test_no_grace_at_all_cuts_calls_off_at_once() -> None:
    ending = begun(0.0)
    assert ending.advance(100.0, EVERYTHING)
    assert not ending.advance(100.1, EVERYTHING)
    assert ending.advance(100.2, EVERYTHING)
    assert ending.phase == Phase.DESTROYING
    assert not ending.advance(100.3, EVERYTHING)


def test_what_is_over_stays_over() -> None:
    ending = begun()
    while ending.advance(100.0, NOTHING_LEFT):
        continue
    ending.begin(200.0, 30.0, 5)
    assert ending.over
    assert ending.exit_code == 0
