"""Whoever watches a descriptor is called when something happens to it, and not when it has been forgotten."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.reactor import READ, WRITE, Reactor


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def close(self) -> None:
        for fd in (self.reader, self.writer):
            os.close(fd)


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    made = Pipe(), Pipe()
    yield made
    for pipe in made:
        pipe.close()


def test_whom_it_concerns_is_called(pipes: tuple[Pipe, Pipe]) -> None:
    loop, called = Reactor(), []
    for number, pipe in enumerate(pipes):
        loop.watch(pipe.reader, READ, lambda events, number=number: called.append((number, events)))  # type: ignore[misc]
    loop.turn(0)
    assert called == []
    os.write(pipes[1].writer, b"x")
    loop.turn(None)
    assert called == [(1, READ)]
    loop.turn(None)
    assert len(called) == 2


def test_what_is_waited_for_may_change(pipes: tuple[Pipe, Pipe]) -> None:
    loop, called = Reactor(), list[int]()
    loop.watch(pipes[0].writer, 0, called.append)
    loop.turn(0)
    assert called == []
    loop.want(pipes[0].writer, WRITE)
    loop.turn(None)
    assert called == [WRITE]
    loop.want(pipes[0].writer, 0)
    loop.turn(0)
    assert called == [WRITE]


def test_a_hang_up_is_told_whatever_was_asked_for() -> None:
    loop, called = Reactor(), list[int]()
    reader, writer = os.pipe()
    loop.watch(writer, 0, called.append)
    os.close(reader)
    loop.turn(None)
    assert called[0] & select.POLLERR
    os.close(writer)


def test_what_is_forgotten_is_not_called(pipes: tuple[Pipe, Pipe]) -> None:
    loop, called = Reactor(), list[int]()
    loop.watch(pipes[0].reader, READ, called.append)
    os.write(pipes[0].writer, b"x")
    assert loop.forget(pipes[0].reader)
    assert not loop.forget(pipes[0].reader)
    loop.turn(0)
    assert called == []


def test_what_an_earlier_callback_has_forgotten_is_not_called(pipes: tuple[Pipe, Pipe]) -> None:
    loop, called = Reactor(), list[int]()

    def forget_the_other(fd: int, other: int) -> None:
        called.append(fd)
        loop.forget(other)

    first, second = (pipe.reader for pipe in pipes)
    loop.watch(first, READ, lambda events: forget_the_other(first, second))
    loop.watch(second, READ, lambda events: forget_the_other(second, first))
    for pipe in pipes:
        os.write(pipe.writer, b"x")
    loop.turn(None)
    assert len(called) == 1


def test_files_can_be_watched(tmp_path: Path) -> None:
    loop, called = Reactor(), list[int]()
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    loop.watch(fd, READ, called.append)
    loop.turn(None)
    assert called == [READ]
    os.close(fd)


def test_no_time_left_is_no_error(pipes: tuple[Pipe, Pipe]) -> None:
    loop = Reactor()
    loop.watch(pipes[0].reader, READ, lambda events: None)
    loop.turn(-1.0)
    loop.turn(0.0001)
