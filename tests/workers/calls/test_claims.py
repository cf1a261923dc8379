"""A claim is read once, by the worker or by the front-end, never by both."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from workers.calls.claims import Claims, ClaimsError, claim
from workers.calls.dispatch import MOST_AHEAD


@pytest.fixture
def claims() -> Iterator[Claims]:
    shared = Claims()
    yield shared
    shared.close()


def test_a_worker_claims_in_the_order_of_handing_out(claims: Claims) -> None:
    claims.put([7, 3])
    claims.put([2**63])
    assert [claim(claims.reader) for _ in range(4)] == [7, 3, 2**63, None]


def test_what_was_not_begun_is_taken_back_once(claims: Claims) -> None:
    claims.put([1, 2, 3])
    assert claim(claims.reader) == 1
    assert claims.take_back() == [2, 3]
    assert claims.take_back() == []
    assert claim(claims.reader) is None


def test_as_much_as_may_lie_ahead_of_a_worker_is_taken_back_at_once(claims: Claims) -> None:
    claims.put(range(1, MOST_AHEAD + 1))
    assert claims.take_back() == [*range(1, MOST_AHEAD + 1)]


def test_nothing_to_claim_is_no_error(claims: Claims) -> None:
    claims.put([])
    assert claim(claims.reader) is None
    assert claims.take_back() == []


def test_each_claim_goes_to_one_reader_however_they_compete(claims: Claims) -> None:
    begun: list[int] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set() or not taken_all():
            seq = claim(claims.reader)
            if seq is not None:
                begun.append(seq)

    def taken_all() -> bool:
        return len(begun) + len(taken_back) == 20_000

    taken_back: list[int] = []
    worker = threading.Thread(target=work)
    worker.start()
    for first in range(1, 20_001, 100):
        claims.put(range(first, first + 100))
        taken_back += claims.take_back()
    over.set()
    worker.join(20)
    assert not worker.is_alive()
    assert sorted(begun + taken_back) == [*range(1, 20_001)]


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_closing_gives_both_ends_back() -> None:
    before = descriptors()
    Claims().close()
    assert descriptors() == before


# Pipes that user code in the worker writes into


def fill(claims: Claims) -> None:
    """Fill the pipe from the worker's side."""
    forger = os.open(f"/proc/self/fd/{claims.reader}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(forger, b"forged!!")
    os.close(forger)


def test_a_pipe_without_room_allows_none_of_the_calls(claims: Claims) -> None:
    fill(claims)
    with pytest.raises(ClaimsError, match="full"):
        claims.put([1])


@pytest.mark.parametrize("forged", [b"x", b"forged!!x", b"forged!!" * 600])
def test_what_is_no_row_of_claims_is_not_taken_for_one(claims: Claims, forged: bytes) -> None:
    claims.put([1, 2])
    forger = os.open(f"/proc/self/fd/{claims.reader}", os.O_WRONLY)
    os.write(forger, forged)
    os.close(forger)
    with pytest.raises(ClaimsError, match="bytes"):
        claims.take_back()
