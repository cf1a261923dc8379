"""Of the threads of the object store one leads; slow work loses the lead, and nothing else does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.workers.fakes import PATIENCE
from workers.store.crew import Crew

Work = Callable[["Team"], object]


class Team:
    """A crew that takes functions from a queue; whoever takes from it must be the only one."""

    def __init__(self) -> None:
        self.input: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self.crew = Crew(self._lead, self._glance)
        self.faults: list[str] = []
        self.leaders: list[int] = []
        self._receiving = threading.Lock()
        self._rounds = threading.Semaphore(0)
        self._runner = threading.Thread(target=self.crew.run, daemon=True)
        self._runner.start()

    def _lead(self) -> bool:
        while True:
            if not self._receiving.acquire(blocking=False):
                self.faults.append("two threads lead")
                return False
            work = self.input.get()
            self._receiving.release()
            if work is None:
                return True
            self.leaders.append(threading.get_ident())
            self.crew.working()
            work(self)
            if not self.crew.rested():
                return False

    def _glance(self) -> bool:
        self._rounds.release()
        return False

    def await_rounds(self, count: int = 4) -> None:
        """Wait until the monitor has looked so many times more: enough to have taken the lead from a slow thread."""
        while self._rounds.acquire(blocking=False):
            continue
        for _ in range(count):
            assert self._rounds.acquire(timeout=PATIENCE)

    def do(self, work: Work) -> threading.Event:
        """Have something done, and return what tells that it is."""
        done = threading.Event()

        def work_and_tell(team: Team) -> None:
            try:
                work(team)
            finally:
                done.set()

        self.input.put(work_and_tell)
        return done

    def finish(self) -> None:
        self.input.put(None)
        self._runner.join(PATIENCE)
        assert not self._runner.is_alive(), "run() did not return"


@pytest.fixture
def team() -> Iterator[Team]:
    made = Team()
    yield made
    made.finish()
    assert made.faults == []


def nothing(team: Team) -> None:
    return None


def test_quick_work_is_done_by_one_thread(team: Team) -> None:
    for _ in range(20):
        assert team.do(nothing).wait(PATIENCE)
    assert len(set(team.leaders)) == 1


def test_the_lead_is_taken_from_a_slow_piece_of_work(team: Team) -> None:
    gate = threading.Event()
    slow = team.do(lambda team: gate.wait(PATIENCE))
    quick = team.do(nothing)
    assert quick.wait(PATIENCE)
    assert not slow.is_set()
    gate.set()
    assert slow.wait(PATIENCE)
    assert len(set(team.leaders)) == 2


def test_many_slow_pieces_of_work_go_on_at_once(team: Team) -> None:
    gate = threading.Event()
    slow = [team.do(lambda team: gate.wait(PATIENCE)) for _ in range(5)]
    assert team.do(nothing).wait(PATIENCE)
    gate.set()
    assert all(each.wait(PATIENCE) for each in slow)
    assert len(set(team.leaders)) == 6


def test_the_lead_may_be_given_up_before_slow_work(team: Team) -> None:
    gate = threading.Event()

    def wait(team: Team) -> None:
        team.crew.give_up_lead()
        gate.wait(PATIENCE)

    slow = team.do(wait)
    assert team.do(nothing).wait(PATIENCE)
    gate.set()
    assert slow.wait(PATIENCE)


def test_work_of_who_has_given_up_the_lead_takes_it_from_nobody(team: Team) -> None:
    """Or two threads would wait for input at once."""
    gate = threading.Event()

    def give_up_and_work(team: Team) -> None:
        team.crew.give_up_lead()
        team.crew.working()
        gate.wait(PATIENCE)

    slow = team.do(give_up_and_work)
    assert team.do(nothing).wait(PATIENCE)
    team.await_rounds()
    assert team.do(nothing).wait(PATIENCE)
    assert len(set(team.leaders)) == 2
    gate.set()
    assert slow.wait(PATIENCE)


def test_lead_stays_where_it_is_while_no_thread_can_be_started(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: Callable[..., object], args: tuple[object, ...]) -> int:
        raise RuntimeError("can't start new thread")

    check_that_work_goes_on(team, monkeypatch, refuse)


def test_thread_that_dies_before_it_leads_is_replaced(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    check_that_work_goes_on(team, monkeypatch, lambda function, args: 1)


def check_that_work_goes_on(team: Team, monkeypatch: pytest.MonkeyPatch, start: Callable[..., int]) -> None:
    gate = threading.Event()
    team.await_rounds(1)
    with monkeypatch.context() as patch:
        patch.setattr("workers.store.crew._thread.start_new_thread", start)
        slow = team.do(lambda team: gate.wait(PATIENCE))
        team.await_rounds()
        behind = team.do(lambda team: None)
        assert not behind.is_set()
    assert behind.wait(PATIENCE), "the monitor has started one as soon as it could"
    gate.set()
    assert slow.wait(PATIENCE)


def test_waiting_for_input_is_not_work(team: Team) -> None:
    assert team.do(nothing).wait(PATIENCE)
    team.await_rounds()
    assert team.do(nothing).wait(PATIENCE)
    assert len(set(team.leaders)) == 1


def test_idle_threads_are_used_again(team: Team) -> None:
    for _ in range(5):
        gate = threading.Event()
        slow = team.do(lambda team, gate=gate: gate.wait(PATIENCE))  # type: ignore[misc]
        assert team.do(nothing).wait(PATIENCE)
        gate.set()
        assert slow.wait(PATIENCE)
        team.await_rounds()
    assert len(set(team.leaders)) < 5  # two, unless one of them was late to become idle


def test_run_returns_whoever_leads_at_the_end() -> None:
    team = Team()
    gate = threading.Event()
    slow = team.do(lambda team: gate.wait(PATIENCE))
    assert team.do(nothing).wait(PATIENCE)
    gate.set()
    assert slow.wait(PATIENCE)
    team.await_rounds()
    team.finish()


def test_a_fault_of_the_leader_ends_the_crew_and_is_told() -> None:
    def fail() -> bool:
        raise ValueError("no more frames")

    with pytest.raises(ValueError, match="no more frames"):
        Crew(fail, bool).run()
