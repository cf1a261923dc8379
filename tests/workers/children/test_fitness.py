"""When a worker finds itself unfit, and how many threads its memory is enough for."""

from __future__ import annotations

import resource
import threading

import pytest

from workers.children.fitness import Fitness, memory_limit, most_threads

MS = 1_000_000


def test_without_a_bound_size_does_not_matter() -> None:
    assert not Fitness(0).is_lost(0)


def test_process_over_the_bound_is_lost() -> None:
    assert Fitness(1).is_lost(0)
    assert not Fitness(1 << 20).is_lost(0)


def test_next_look_is_due_after_a_while() -> None:
    fitness = Fitness(0)
    assert fitness.is_due(100 * MS)
    fitness.is_lost(100 * MS)
    assert not fitness.is_due(101 * MS)
    assert fitness.is_due(105 * MS)


def test_process_with_too_many_threads_is_lost() -> None:
    gate = threading.Event()
    threads = [threading.Thread(target=gate.wait) for _ in range(101)]
    for thread in threads:
        thread.start()
    assert Fitness(0).is_lost(0)
    gate.set()
    for thread in threads:
        thread.join()


def test_process_without_a_limit_says_so() -> None:
    assert memory_limit() == 0


def test_threads_may_take_half_of_the_memory_with_their_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_DATA: 512 << 20, resource.RLIMIT_STACK: 8 << 20}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits[which], resource.RLIM_INFINITY))
    assert most_threads(320) == 32
    assert most_threads(10) == 10
    limits[resource.RLIMIT_DATA] = 1 << 20
    assert most_threads(320) == 4, "there is no use in fewer"
    limits[resource.RLIMIT_DATA] = resource.RLIM_INFINITY
    assert most_threads(320) == 320
    limits[resource.RLIMIT_DATA], limits[resource.RLIMIT_STACK] = 512 << 20, resource.RLIM_INFINITY
    assert most_threads(320) == 128
