"""Of the threads of the object store one leads; slow work loses the lead, and nothing else does. There is a most."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from tests.workers.fakes import PATIENCE
from workers.store.crew import RESERVE, Crew

Work = Callable[["Team"], object]
MOST = 20
ROUNDS_OF_A_BIRTH = 20  # of the monitor, until a thread that does not come is known to be dead


class Team:
    """A crew that takes functions from a queue; whoever takes from it must be the only one."""

    def __init__(self, most: int = MOST) -> None:
        self.input: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self.held: deque[Work] = deque()
        self.crew = Crew(self._lead, self._glance, lambda: self.input.put(look), most)
        self.faults: list[str] = []
        self.leaders: list[int] = []
        self._receiving = threading.Lock()
        self._rounds = threading.Semaphore(0)
        self._runner = threading.Thread(target=self.crew.run, daemon=True)
        self._runner.start()

    def _lead(self) -> bool:
        while True:
            while self.held and self.crew.room >= RESERVE:
                if not self.run(self.held.popleft()):
                    return False
            if not self._receiving.acquire(blocking=False):
                self.faults.append("two threads lead")
                return False
            work = self.input.get()
            self._receiving.release()
            if work is None:
                return True
            if work is not look:
                self.held.append(work)

    def run(self, work: Work) -> bool:
        """Do a piece of work in this thread, and return whether it still leads."""
        self.leaders.append(threading.get_ident())
        self.crew.working()
        work(self)
        return self.crew.rested()

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


def look(team: Team) -> None:
    """Stand for the news that there is more room."""


def nothing(team: Team) -> None:
    return None


class Slow:
    """Pieces of work that wait at one gate, and how many of them have been begun."""

    def __init__(self, team: Team, number: int) -> None:
        self._gate = threading.Event()
        self._begun = threading.Semaphore(0)
        self._done = [team.do(self._wait) for _ in range(number)]

    def _wait(self, team: Team) -> None:
        self._begun.release()
        self._gate.wait(PATIENCE)

    def await_begun(self, number: int) -> None:
        """Wait until so many more have been begun."""
        for _ in range(number):
            assert self._begun.acquire(timeout=PATIENCE)

    @property
    def more_have_begun(self) -> bool:
        return self._begun.acquire(blocking=False)

    def finish(self) -> None:
        self._gate.set()
        assert all(each.wait(PATIENCE) for each in self._done)


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


@pytest.fixture
def small() -> Iterator[Team]:
    made = Team(5)
    yield made
    made.finish()
    assert made.faults == []


def test_there_are_no_more_threads_than_may_be_and_one_leads_all_the_same(small: Team) -> None:
    slow = Slow(small, 10)
    slow.await_begun(3)  # one leads, and one is in reserve
    small.await_rounds()
    assert not slow.more_have_begun
    assert (small.crew.room, small.crew._threads) == (1, 5)
    behind = small.do(nothing)
    small.await_rounds()
    assert small.input.empty(), "nobody takes in what comes"
    slow.finish()
    assert behind.wait(PATIENCE)
    assert small.crew._threads <= 5


def test_more_may_begin_as_soon_as_there_may_be_more_threads(small: Team) -> None:
    slow = Slow(small, 10)
    slow.await_begun(3)
    small.crew.most = MOST
    slow.await_begun(7)
    slow.finish()


def test_a_thread_that_comes_back_is_room_for_one_more(small: Team) -> None:
    first, rest = Slow(small, 1), Slow(small, 5)
    rest.await_begun(2)
    small.await_rounds()
    assert not rest.more_have_begun
    first.finish()
    rest.await_begun(1)
    small.await_rounds()
    assert not rest.more_have_begun
    rest.finish()


def test_one_thread_that_can_have_no_other_does_everything(team: Team) -> None:
    alone = Team(1)
    slow = Slow(alone, 3)
    slow.await_begun(1)
    alone.await_rounds()
    assert not slow.more_have_begun
    slow.finish()
    alone.finish()
    assert (len(set(alone.leaders)), alone.faults) == (1, [])


def refuse(function: Callable[..., object], args: tuple[object, ...]) -> int:
    raise RuntimeError("can't start new thread")


def lose(function: Callable[..., object], args: tuple[object, ...]) -> int:
    return 1


@pytest.mark.parametrize("start", [refuse, lose], ids=["cannot be started", "dies before it comes"])
def test_what_comes_is_taken_in_while_no_thread_can_be_had(
    team: Team, monkeypatch: pytest.MonkeyPatch, start: Callable[..., int]
) -> None:
    assert team.do(nothing).wait(PATIENCE)
    team.await_rounds()  # now two are in reserve
    with monkeypatch.context() as patch:
        patch.setattr("workers.store.crew._thread.start_new_thread", start)
        slow = Slow(team, 5)
        slow.await_begun(1)
        team.await_rounds(2 * ROUNDS_OF_A_BIRTH)
        assert team.crew.room < RESERVE
        assert team.input.empty(), "nobody takes in what comes"
        behind = team.do(nothing)
        team.await_rounds()
        assert team.input.empty()
        assert not behind.is_set()
    assert behind.wait(PATIENCE), "the monitor has started one as soon as it could"
    slow.finish()


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
        Crew(fail, bool, lambda: None, MOST).run()
