"""What dies is replaced: at once if it had got ready, ever later if it had not, and not for ever."""

from __future__ import annotations

import signal

import pytest

from scriptling.errors import RpcError
from tests.workers.fakes import FakeNursery
from workers.front_end.supervisor import Child, CrashLoopError, Supervisor
from workers.nursery import Role, Spawn


class Setting:
    def __init__(self) -> None:
        self.nursery = FakeNursery()
        self.supervisor = Supervisor(self.nursery, 2, self._descriptors)

    def _descriptors(self, child: Child) -> list[int]:
        return [10, 11] if child.role == Role.WORKER else []

    def die_early(self, times: int, now: float = 100.0, role: Role = Role.WORKER) -> None:
        for _ in range(times):
            self.supervisor.died(self.supervisor.start(role, now).name, now)

    def die_together(self, number: int, now: float) -> None:
        children = [self.supervisor.start(Role.WORKER, now) for _ in range(number)]
        for child in children:
            self.supervisor.died(child.name, now + 0.2)


def test_children_are_named_by_their_role_and_counted() -> None:
    setting = Setting()
    for role in (Role.SETUP, Role.WORKER, Role.WORKER, Role.STORE):
        setting.supervisor.start(role, 0.0)
    assert setting.nursery.requests == [
        Spawn("setup-1", Role.SETUP, 1),
        Spawn("worker-1", Role.WORKER, 1),
        Spawn("worker-2", Role.WORKER, 2),
        Spawn("store-1", Role.STORE, 1),
    ]
    assert setting.nursery.descriptors == [[], [10, 11], [10, 11], []]


def test_names_are_never_used_again() -> None:
    setting = Setting()
    setting.supervisor.died(setting.supervisor.start(Role.WORKER, 0.0).name, 0)
    assert setting.supervisor.start(Role.WORKER, 0.0).name == "worker-2"


def test_children_that_were_told_to_stop_do_not_count() -> None:
    supervisor = Setting().supervisor
    first, second = supervisor.start(Role.WORKER, 0.0), supervisor.start(Role.WORKER, 0.0)
    first.stopping = True
    assert supervisor.of(Role.WORKER) == [second]
    assert supervisor.of(Role.STORE) == []


def test_a_child_that_had_got_ready_is_replaced_at_once() -> None:
    supervisor = Setting().supervisor
    child = supervisor.start(Role.WORKER, 0.0)
    assert supervisor.ready(child.name) is child
    assert supervisor.died(child.name, 100.0) is child
    assert supervisor.of(Role.WORKER) == []
    assert supervisor.may_start(Role.WORKER, 100.0)
    assert supervisor.next_start(100.0) is None


def test_pauses_grow_with_every_death_before_readiness() -> None:
    setting = Setting()
    pauses = []
    for _ in range(7):
        setting.die_early(1, 100.0)
        next_start = setting.supervisor.next_start(100.0)
        assert next_start is not None
        assert not setting.supervisor.may_start(Role.WORKER, next_start - 0.01)
        assert setting.supervisor.may_start(Role.WORKER, next_start)
        pauses.append(next_start - 100.0)
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_no_more_than_five_starts_in_any_second() -> None:
    setting = Setting()
    now, starts = 0.0, [0.0]
    for _ in range(8):
        setting.die_early(1, now)
        now = setting.supervisor.next_start(now) or now
        starts.append(now)
    assert all(sum(begin <= start < begin + 1 for start in starts) <= 5 for begin in starts)


def test_a_start_that_is_due_is_not_waited_for() -> None:
    setting = Setting()
    setting.die_early(1, 100.0)
    assert setting.supervisor.next_start(101.0) is None


def test_readiness_forgives() -> None:
    setting = Setting()
    setting.die_early(5)
    setting.supervisor.ready(setting.supervisor.start(Role.WORKER, 0.0).name)
    assert setting.supervisor.may_start(Role.WORKER, 0.0)
    setting.die_early(1, 100.0)
    assert setting.supervisor.next_start(100.0) == 100.25


def test_roles_are_counted_apart() -> None:
    setting = Setting()
    setting.die_early(9, role=Role.STORE)
    setting.die_early(9)
    assert not setting.supervisor.may_start(Role.STORE, 100.0)
    assert setting.supervisor.may_start(Role.SETUP, 100.0)


def test_a_fault_at_every_start_ends_the_server_with_the_reason() -> None:
    setting = Setting()
    setting.die_early(9)
    with pytest.raises(CrashLoopError, match="10 processes in a row died before they were ready as worker"):
        setting.die_early(1)
    setting.die_early(5)  # those that were on their way; it is said once
    assert not setting.supervisor.may_start(Role.WORKER, 1e9)
    assert setting.supervisor.next_start(100.0) is None
    setting.supervisor.hold_back(Role.WORKER, 100.0)
    assert not setting.supervisor.may_start(Role.WORKER, 1e9)


@pytest.mark.parametrize("workers", [4, 10, 11, 200])
def test_however_many_die_together_births_are_tried_again_after_pauses(workers: int) -> None:
    setting, now = Setting(), 0.0
    for _ in range(2):
        setting.die_together(workers, now)
        next_start = setting.supervisor.next_start(now + 0.2)
        assert next_start is not None
        assert next_start >= now + 2
        now = next_start
    with pytest.raises(CrashLoopError):
        setting.die_together(workers, now)


def test_a_child_that_has_said_hello_may_take_its_time_but_has_failed_if_it_dies_before_it_is_ready() -> None:
    setting = Setting()
    supervisor = setting.supervisor
    child = supervisor.start(Role.STORE, 0.0)
    supervisor.greeted(child)
    supervisor.look(100.0)
    assert not child.killed
    supervisor.died(child.name, 100.0)
    assert not supervisor.may_start(Role.STORE, 100.0)


def test_a_child_that_was_told_to_stop_may_die_before_it_was_ready() -> None:
    supervisor = Setting().supervisor
    for _ in range(20):
        child = supervisor.start(Role.WORKER, 0.0)
        child.stopping = True
        supervisor.died(child.name, 100.0)
    assert supervisor.may_start(Role.WORKER, 100.0)


def test_a_death_is_counted_once() -> None:
    supervisor = Setting().supervisor
    child = supervisor.start(Role.WORKER, 0.0)
    assert supervisor.died(child.name, 1.0) is child
    assert supervisor.died(child.name, 2.0) is None
    assert supervisor.ready(child.name) is None
    assert supervisor.next_start(1.0) == 1.25


def test_the_first_verdict_is_the_one_that_counts() -> None:
    setting = Setting()
    child = setting.supervisor.start(Role.WORKER, 0.0)
    first, second = RpcError(1, "late"), RpcError(2, "mute")
    setting.supervisor.kill(child.name, first, 0.0)
    setting.supervisor.kill(child.name, second, 0.0)
    assert child.verdict is first
    assert [number for _, number in setting.nursery.kills] == [signal.SIGKILL, signal.SIGKILL]


def test_nobody_is_killed_after_their_death() -> None:
    setting = Setting()
    child = setting.supervisor.start(Role.WORKER, 0.0)
    setting.supervisor.died(child.name, 1.0)
    setting.supervisor.kill(child.name, RpcError(1, "late"), 0.0)
    assert setting.nursery.kills == []
