"""When a worker finds itself unfit."""

from __future__ import annotations

import threading

from workers.children.fitness import Fitness, memory_limit

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
