"""Who is given up for reading too slowly: pure time, and numbers."""

from __future__ import annotations

import socket
from asyncio import Transport
from contextlib import ExitStack
from math import inf
from types import SimpleNamespace
from typing import cast

import pytest

from workers.http.readers import FASTER, SLOWEST, Below, Readers, Reading, Slow, taken_by

LOOK = 0.5
PATIENCE = 20.0
MEBIBYTE = 1 << 20
MOST = 256 * MEBIBYTE


class Clients:
    """Clients that read at given rates, in bytes a second, looked at twice a second."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.readers: Readers[str] = Readers(patience, MOST)
        self.now = 1000.0
        self.unread: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.rates: dict[str, float] = {}

    def write(self, name: str, size: int, rate: float = 0) -> None:
        self.unread[name] = self.unread.get(name, 0) + size
        self.taken.setdefault(name, 0)
        self.rates[name] = rate

    def look(self) -> Slow[str]:
        self.now += LOOK
        for name in self.unread:
            read = min(self.unread[name], int(self.rates[name] * LOOK))
            self.unread[name] -= read
            self.taken[name] += read
        slow = self.readers.look(
            self.now, {name: Reading(size, self.taken[name]) for name, size in self.unread.items() if size}
        )
        for name in (*slow.late, *slow.in_the_way):
            del self.unread[name]
        return slow

    def seconds_until_late(self, name: str, limit: float = 1000) -> float:
        begin = self.now
        while self.now < begin + limit:
            if name in self.look().late:
                return self.now - begin
        return inf


def test_one_who_reads_nothing_is_given_up_after_the_patience_and_not_before() -> None:
    clients = Clients()
    clients.write("stalled", 100)
    assert PATIENCE < clients.seconds_until_late("stalled") <= PATIENCE + 3 * LOOK


@pytest.mark.parametrize("rate", [SLOWEST * 0.25, SLOWEST * 0.9])
def test_a_trickle_buys_no_more_time_than_it_is_worth(rate: float) -> None:
    clients = Clients()
    clients.write("trickling", 200 * MEBIBYTE, rate)
    assert clients.seconds_until_late("trickling") <= PATIENCE / (1 - rate / SLOWEST) + 3 * LOOK


def test_one_who_reads_at_the_slowest_rate_is_kept_to_the_end() -> None:
    clients = Clients()
    clients.write("slow", 8 * MEBIBYTE, SLOWEST)
    assert clients.seconds_until_late("slow") == inf
    assert not clients.unread["slow"]


def test_what_was_read_fast_before_buys_no_time() -> None:
    clients = Clients()
    clients.write("tired", 400 * MEBIBYTE, 10 * MEBIBYTE)
    assert clients.seconds_until_late("tired", 30) == inf
    clients.rates["tired"] = 0
    assert clients.seconds_until_late("tired") <= PATIENCE + 3 * LOOK


def test_one_who_gets_more_all_the_time_is_told_from_one_who_reads_nothing() -> None:
    clients = Clients()
    for _ in range(200):
        clients.write("busy", MEBIBYTE, 2 * MEBIBYTE)
        clients.write("asleep", MEBIBYTE)
        late = clients.look().late
        if late:
            break
    assert late == ["asleep"]


def test_without_a_patience_nobody_is_late() -> None:
    clients = Clients(inf)
    clients.write("stalled", 100)
    assert clients.seconds_until_late("stalled", 10_000) == inf


def test_if_too_much_is_unread_the_slow_are_given_up_at_the_second_look_the_oldest_first() -> None:
    clients = Clients()
    for number in range(17):
        clients.write(f"slow {number}", 15 * MEBIBYTE, FASTER / 4)
        assert clients.look() == ([], [])
    clients.write("slow, but new", 60 * MEBIBYTE, FASTER / 4)
    assert clients.look().in_the_way == [f"slow {number}" for number in range(13)]
    assert clients.look() == ([], [])
    assert MOST / 2 - 15 * MEBIBYTE < sum(clients.unread.values()) <= MOST / 2


def test_if_too_much_is_unread_nobody_is_judged_by_less_than_two_looks() -> None:
    clients = Clients()
    clients.write("slow", 300 * MEBIBYTE)
    assert clients.look() == ([], [])
    assert clients.look() == ([], ["slow"])


def test_if_too_much_is_unread_those_who_read_fast_are_kept() -> None:
    clients = Clients()
    clients.write("fast", 200 * MEBIBYTE, 2 * FASTER)
    clients.look()
    clients.write("slow", 100 * MEBIBYTE, FASTER / 2)
    clients.look()
    assert clients.look() == ([], ["slow"])


def test_if_too_much_is_unread_whoever_reads_the_little_there_is_is_kept() -> None:
    clients = Clients()
    clients.write("brisk", 4096, 4096)
    clients.look()
    for number in range(20):
        clients.write(f"slow {number}", 15 * MEBIBYTE)
    given_up = set()
    for _ in range(4):
        clients.write("brisk", 2048, 4096)
        given_up |= {*clients.look().in_the_way}
    assert given_up
    assert "brisk" not in given_up


def test_no_more_are_given_up_than_need_be() -> None:
    clients = Clients()
    for number in range(20):
        clients.write(f"slow {number}", 15 * MEBIBYTE)
    clients.look()
    assert len(clients.look().in_the_way) == 12


def test_those_who_are_late_make_room_for_the_others() -> None:
    clients = Clients()
    clients.write("late", 200 * MEBIBYTE)
    for _ in range(int(PATIENCE / LOOK)):
        assert clients.look() == ([], [])
    clients.write("slow", 10 * MEBIBYTE)
    assert clients.look() == ([], [])
    clients.write("slow", 90 * MEBIBYTE)
    assert clients.look() == (["late"], [])


def test_what_lies_below_tls_is_what_was_written_and_not_taken() -> None:
    below = Below()
    assert below.count(2000) == 0  # a handshake
    below.written += 15 * MEBIBYTE
    assert below.count(2000) == 15 * MEBIBYTE
    below.written += 15 * MEBIBYTE
    assert below.count(2000 + 10 * MEBIBYTE) == 20 * MEBIBYTE
    assert below.count(3000 + 30 * MEBIBYTE) == 0  # with what TLS adds
    below.written += 100
    assert below.count(3000 + 30 * MEBIBYTE) == 100


def test_a_connection_that_is_lost_has_taken_nothing() -> None:
    closed = socket.socket()
    closed.close()
    for known in ({"socket": closed}, {}):
        assert taken_by(cast(Transport, SimpleNamespace(get_extra_info=known.get))) == 0


def test_bytes_that_the_other_end_has_taken_are_counted_by_the_system() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        server = stack.enter_context(listener.accept()[0])
        line = cast(Transport, SimpleNamespace(get_extra_info={"socket": server}.get))
        before = taken_by(line)
        server.sendall(bytes(10_000))
        assert len(client.recv(10_000, socket.MSG_WAITALL)) == 10_000
        client.sendall(b"x")
        assert server.recv(1) == b"x"  # with it the system has heard of what came before
        assert taken_by(line) - before == 10_000
