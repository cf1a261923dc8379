"""In asyncio the front-end is turned once for all that happens together, when its time is over, and never after."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine

import pytest

from workers.http.async_reactor import AsyncReactor
from workers.reactor import READ


class Turns:
    """Counts turns, and lets a test wait for the next."""

    def __init__(self, patience: float | None) -> None:
        self.patience = patience
        self.number = 0
        self.next = asyncio.Event()

    def __call__(self) -> float | None:
        self.number += 1
        self.next.set()
        return self.patience

    async def one_more(self) -> int:
        self.next.clear()
        await asyncio.wait_for(self.next.wait(), 20)
        return self.number


def in_a_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


async def quiet() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@in_a_loop
async def test_much_at_once_is_one_turn() -> None:
    reactor, turns = AsyncReactor(asyncio.get_running_loop()), Turns(None)
    reactor.start(turns)
    for _ in range(10):
        reactor.wake()
    await quiet()
    assert turns.number == 1
    reactor.stop()


@in_a_loop
async def test_what_is_watched_is_told_before_the_turn() -> None:
    reactor, turns = AsyncReactor(asyncio.get_running_loop()), Turns(None)
    source, sink = os.pipe()
    told: list[tuple[int, int]] = []

    def ready(events: int) -> None:
        os.read(source, 10)
        told.append((events, turns.number))

    reactor.start(turns)
    await quiet()
    reactor.watch(source, READ, ready)
    os.write(sink, b"x")
    assert await turns.one_more() == 2
    assert told == [(READ, 1)]
    assert reactor.forget(source)
    assert not reactor.forget(source)
    os.close(source)
    os.close(sink)
    reactor.stop()


@in_a_loop
async def test_the_turn_comes_back_after_the_time_that_it_has_named() -> None:
    reactor, turns = AsyncReactor(asyncio.get_running_loop()), Turns(0.001)
    reactor.start(turns)
    for turns.patience in (0.001, 0):
        known = turns.number
        assert known < await turns.one_more() < await turns.one_more()
    reactor.stop()


@in_a_loop
async def test_after_the_end_nothing_turns() -> None:
    reactor, turns = AsyncReactor(asyncio.get_running_loop()), Turns(0)
    reactor.start(turns)
    reactor.stop()
    reactor.wake()
    await quiet()
    assert turns.number == 0
    await reactor.over


@in_a_loop
async def test_a_turn_that_fails_ends_it() -> None:
    reactor = AsyncReactor(asyncio.get_running_loop())

    def fail() -> float | None:
        raise ValueError("broken")

    reactor.start(fail)
    with pytest.raises(ValueError, match="broken"):
        await asyncio.wait_for(reactor.over, 20)
    reactor.stop()
