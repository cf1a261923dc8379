"""All clients of a server together: what they have left unread, and what becomes of it."""

from __future__ import annotations

from asyncio import Transport
from typing import cast

import pytest

from workers.http import guests as module
from workers.http.guests import Guests, Limits

MEBIBYTE = 1 << 20
LIMITS = Limits(connections=100, request=20, idle=75, unfinished=256 * MEBIBYTE, unread=256 * MEBIBYTE)


class Line:
    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Connection:
    """A connection whose client reads nothing."""

    def __init__(self, unread: int = 0) -> None:
        self.since = 0.0
        self.line = Line()
        self.transport = cast(Transport, self.line)
        self.unfinished = 0
        self.unread = unread
        self.looked = 0

    def count_unread(self) -> int:
        return self.unread

    def look(self, now: float) -> None:
        self.looked += 1

    def refuse(self) -> None:
        raise AssertionError("it has sent nothing")

    def shutdown(self) -> None:
        raise AssertionError("the server has not ended")


class Room:
    """Guests, and the bytes that hosts among them have not been given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *connections: Connection) -> None:
        monkeypatch.setattr(module, "taken_by", lambda transport: 0)
        self.held = 0
        self.guests = Guests(LIMITS, lambda: self.held)
        self.guests.state.connections.update(connections)  # type: ignore[arg-type]


def test_at_two_looks_it_is_found_who_reads_nothing_while_too_much_is_unread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = [Connection(15 * MEBIBYTE) for _ in range(20)]
    idle = Connection()
    room = Room(monkeypatch, *slow, idle)
    room.guests.look(0.5)
    assert not any(each.line.aborted for each in slow)
    room.guests.look(1.0)
    assert sum(each.line.aborted for each in slow) == 12
    assert "the connections of the 12 slowest were closed" in caplog.text
    assert (idle.looked, idle.line.aborted) == (2, False)


def test_nobody_is_given_up_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = [Connection(15 * MEBIBYTE) for _ in range(17)]
    room = Room(monkeypatch, *slow)
    for number in range(30):
        room.guests.look(number / 2)
    assert not any(each.line.aborted for each in slow)
    room.guests.look(21)
    assert all(each.line.aborted for each in slow)


def test_it_is_full_as_soon_as_too_much_is_written_and_no_longer_than_it_is_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = Connection()
    room = Room(monkeypatch, connection)
    assert not room.guests.is_full()
    connection.unread = 300 * MEBIBYTE
    room.guests.unread += connection.unread  # as whoever writes an answer notes
    assert room.guests.is_full()
    connection.unread = 200 * MEBIBYTE
    assert not room.guests.is_full()


def test_what_hosts_have_not_been_given_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Connection(MEBIBYTE)
    room = Room(monkeypatch, host)
    assert room.guests.count_unread() == MEBIBYTE
    room.held = 300 * MEBIBYTE
    host.unread += room.held
    assert room.guests.is_full()
    host.unread = room.held = 0
    assert not room.guests.is_full()


def test_what_was_written_and_read_at_once_is_not_held_against_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, Connection())
    for _ in range(1000):
        room.guests.unread += MEBIBYTE
        assert not room.guests.is_full()
