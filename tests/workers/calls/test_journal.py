"""What a worker has added to its journal is received once, whether by frame or from the memory, whenever it dies."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.fakes import make_reply
from workers import frames
from workers.calls import journal
from workers.calls.journal import Reader, Writer
from workers.frames import Replies, Reply

SMALL = 256  # bytes; so that a journal fills quickly


@dataclass
class Pair:
    """Both sides of one journal, and the frames between them."""

    writer: Writer
    reader: Reader
    on_the_way: deque[bytes] = field(default_factory=deque)
    received: list[int] = field(default_factory=list)
    added: list[int] = field(default_factory=list)

    def add(self, size: int = 1) -> bool:
        seq = len(self.added) + 1
        fitted = self.writer.add(encoded(seq, size))
        if fitted:
            self.added.append(seq)
        return fitted

    def send(self) -> None:
        if self.writer.unsent:
            self.on_the_way.append(self.writer.frame())

    def send_alone(self, size: int) -> None:
        seq = len(self.added) + 1
        self.on_the_way.append(self.writer.frame_alone(encoded(seq, size)))
        self.added.append(seq)

    def deliver(self) -> None:
        replies = frames.decode_from_child(self.on_the_way.popleft())
        assert isinstance(replies, Replies)
        self.received += seqs(self.reader.accept(replies.first, replies.replies))

    def deliver_all(self) -> None:
        while self.on_the_way:
            self.deliver()

    def look(self) -> None:
        self.received += seqs(self.reader.unsent())

    def put(self, size: int) -> None:
        """Add one as a worker does, whatever its size."""
        if self.add(size):
            return
        self.send()
        self.deliver_all()
        assert self.writer.acknowledged
        if not self.add(size):
            self.send_alone(size)
            self.deliver_all()

    def close(self) -> None:
        self.writer.close()
        self.reader.close()


def encoded(seq: int, size: int = 1) -> bytes:
    return msgspec.msgpack.encode(make_reply(seq, payload=b"x" * size))


def seqs(replies: list[Reply]) -> list[int]:
    return [reply.seq for reply in replies]


def make_pair() -> Pair:
    memory = journal.create()
    try:
        return Pair(Writer(memory), Reader(memory))
    finally:
        os.close(memory)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = make_pair()
    yield made
    made.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(journal, "SIZE", SMALL)
    made = make_pair()
    yield made
    made.close()


def test_replies_come_in_frames(pair: Pair) -> None:
    pair.add()
    pair.add()
    assert pair.writer.unsent == 2
    pair.send()
    assert pair.writer.unsent == 0
    pair.deliver()
    assert pair.received == [1, 2]
    assert pair.writer.acknowledged


def test_replies_that_are_held_back_are_found_in_the_memory_once(pair: Pair) -> None:
    pair.add()
    pair.look()
    pair.add()
    pair.look()
    pair.look()
    assert pair.received == [1, 2]


def test_a_frame_brings_only_what_was_not_found_in_the_memory(pair: Pair) -> None:
    pair.add()
    pair.look()
    pair.add()
    pair.send()
    pair.deliver()
    assert pair.received == [1, 2]


def test_a_frame_that_comes_after_everything_was_found_brings_nothing(pair: Pair) -> None:
    pair.add()
    pair.send()
    pair.look()
    pair.deliver()
    assert pair.received == [1]


def test_an_empty_journal_holds_nothing(pair: Pair) -> None:
    assert pair.reader.unsent() == []
    assert pair.reader.running() == (0, 0)


def test_the_running_call_and_its_beginning_are_told(pair: Pair) -> None:
    pair.writer.begin(7, 1234)
    assert pair.reader.running() == (7, 1234)
    pair.writer.end()
    assert pair.reader.running()[0] == 0


def test_a_full_journal_takes_nothing_until_all_of_it_was_received(small: Pair) -> None:
    while small.add(50):
        pass
    full = len(small.added)
    assert full > 1
    small.send()
    assert not small.add(50)
    small.deliver()
    assert small.add(50)
    small.look()
    assert small.received == [*range(1, full + 2)]


def test_a_reply_larger_than_the_journal_goes_alone(small: Pair) -> None:
    small.put(1)
    small.put(SMALL * 3)
    small.look()
    small.put(1)
    small.send()
    small.deliver_all()
    assert small.received == [1, 2, 3]
    assert small.writer.acknowledged


def test_a_reply_that_is_alone_on_its_way_is_not_missed(small: Pair) -> None:
    small.put(1)
    small.send()
    small.deliver()
    small.send_alone(SMALL * 3)
    small.look()
    small.deliver()
    small.put(1)
    small.look()
    assert small.received == [1, 2, 3]


def test_a_reply_that_just_fits_is_not_sent_alone(small: Pair) -> None:
    room = SMALL - 64 - len(encoded(1, 0))
    assert small.add(room)
    small.look()
    assert small.received == [1]
    assert not small.add(room + 1)


ACTIONS = st.one_of(
    st.integers(0, SMALL).map(lambda size: ("put", size)),
    st.sampled_from([("send", 0), ("deliver", 0), ("look", 0)]),
)


@given(st.lists(ACTIONS, max_size=60))
def test_all_that_was_added_is_received_once_and_in_order(actions: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal, "SIZE", SMALL)
        pair = make_pair()
        for action, size in actions:
            if action == "put":
                pair.put(size)
            elif action == "send":
                pair.send()
            elif action == "look":
                pair.look()
            elif pair.on_the_way:
                pair.deliver()
        pair.send()
        pair.deliver_all()
        assert pair.received == pair.added
        pair.close()


# Death


class Killed(BaseException):
    """Stands for SIGKILL."""


def run_lines(action: Callable[[], None], lines: int) -> bool:
    """Run so many lines of the writer's code and return whether that was all of it."""
    left = lines

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_qualname.startswith("Writer."):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Killed
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        action()
    except Killed:
        return False
    finally:
        sys.settrace(before)
    return True


def live(pair: Pair) -> None:
    """Do what a worker does, so that every line of its side runs: full journals and too large replies included."""
    for size in (10, 10, 100, 10, 60, 500, 10, 10, 200):
        pair.writer.begin(len(pair.added) + 1, 1)
        pair.put(size)
        if len(pair.added) % 2:
            pair.send()
    pair.writer.end()


@pytest.mark.parametrize("frames_arrive", [True, False])
def test_whenever_a_worker_dies_what_it_had_added_is_received_once(small: Pair, frames_arrive: bool) -> None:
    for lines in range(10_000):
        pair = make_pair()
        survived = run_lines(lambda pair=pair: live(pair), lines)  # type: ignore[misc]
        if frames_arrive:
            pair.deliver_all()
        pair.look()
        assert pair.received == [*range(1, len(pair.received) + 1)]
        # The last one may be there without its writer having lived to know.
        assert len(pair.received) in {len(pair.added), len(pair.added) + 1}
        pair.close()
        if survived:
            return
    pytest.fail("the worker never came to its end")


def test_a_worker_that_begins_anew_while_it_is_read_confuses_nothing(small: Pair) -> None:
    """The front-end may be interrupted between any two of its looks at the memory."""
    small.add(170)
    small.send()
    small.deliver()

    def rewind_and_add() -> None:
        small.put(20)
        small.put(20)

    words = small.reader._words
    small.reader._words = Interrupted(words, rewind_and_add)  # type: ignore[assignment]
    small.look()
    small.reader._words = words
    small.look()
    small.send()
    small.deliver_all()
    assert small.received == [1, 2, 3]


class Interrupted:
    """Words of a journal, after the first look at which something else happens."""

    def __init__(self, words: Any, happens: Callable[[], None]) -> None:
        self._words = words
        self._happens: Callable[[], None] | None = happens

    def __getitem__(self, index: int) -> int:
        value: int = self._words[index]
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return value

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = value


# Journals that user code in the worker writes into


@pytest.mark.parametrize("size", [0, 1, journal.SIZE - 1, journal.SIZE + 1, 1 << 40])
def test_nobody_changes_the_size_of_a_journal(size: int) -> None:
    memory = journal.create()
    with pytest.raises(PermissionError):
        os.ftruncate(memory, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    os.close(memory)


WORDS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 64, 2**32 - 1, 2**32, 2**63, 2**64 - 1]),
    st.tuples(st.integers(0, 40), st.integers(0, 2**32 - 1)).map(lambda both: both[0] << 32 | both[1]),
)


@given(st.lists(WORDS, min_size=8, max_size=8), st.binary(max_size=200))
def test_whatever_the_memory_says_is_read_without_harm(words: list[int], content: bytes) -> None:
    pair = make_pair()
    pair.add()
    pair.send()
    pair.deliver()
    pair.writer._words[:] = memoryview(struct.pack("=8Q", *words)).cast("B").cast("Q")
    pair.writer._view[64 : 64 + len(content)] = content
    replies = pair.reader.unsent()
    pair.reader.running()
    pair.reader.received()
    known = pair.reader._received
    assert known == 1 + len(replies)
    assert seqs(pair.reader.accept(known, [make_reply(7)])) == [7]
    pair.close()


@pytest.mark.parametrize("first", [-1, 2, 2**63, 2**64 - 1])
def test_replies_that_cannot_be_next_are_refused_and_change_nothing(pair: Pair, first: int) -> None:
    pair.add()
    pair.send()
    pair.deliver()
    with pytest.raises(ValueError, match="replies from"):
        pair.reader.accept(first, [make_reply(9)])
    pair.add()
    pair.look()
    assert pair.received == [1, 2]
