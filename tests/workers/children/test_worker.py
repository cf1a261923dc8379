"""What a worker has done leaves it whole: in frames, before anything long, and alone where it is too large."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from tests.workers.fakes import PATIENCE, make_reply
from workers import frames
from workers.calls import journal
from workers.calls.journal import Reader, Writer
from workers.children.worker import Outbox
from workers.frames import Replies
from workers.sockets import Line

MS = 1_000_000
OLD = 1 * MS


class FrontEnd:
    """Takes frames in a thread of its own, as another process would."""

    def __init__(self) -> None:
        memory = journal.create()
        self.writer, self.reader = Writer(memory), Reader(memory)
        os.close(memory)
        self.frames: list[list[int]] = []
        self.received: list[int] = []
        self._sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.outbox = Outbox(cast(Line, self), self.writer)
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def send(self, frame: bytes) -> None:
        self._sent.put(frame)

    def _take(self) -> None:
        while (frame := self._sent.get()) is not None:
            replies = frames.decode_from_child(frame)
            assert isinstance(replies, Replies)
            self.frames.append([reply.seq for reply in replies.replies])
            self.received += [reply.seq for reply in self.reader.accept(replies.first, replies.replies)]

    def finish(self) -> None:
        self._sent.put(None)
        self._thread.join(PATIENCE)

    def close(self) -> None:
        self.finish()
        self.writer.close()
        self.reader.close()


@pytest.fixture
def front_end() -> Iterator[FrontEnd]:
    made = FrontEnd()
    yield made
    made.close()


def test_replies_leave_together_when_they_are_flushed(front_end: FrontEnd) -> None:
    for seq in (1, 2, 3):
        front_end.outbox.put(make_reply(seq), 0)
    front_end.outbox.flush()
    front_end.outbox.flush()
    front_end.finish()
    assert front_end.frames == [[1, 2, 3]]


def test_replies_leave_when_the_oldest_has_waited_long_enough(front_end: FrontEnd) -> None:
    front_end.outbox.put(make_reply(1), 0)
    front_end.outbox.flush_if_old(OLD // 10)
    front_end.outbox.put(make_reply(2), OLD // 10)
    front_end.outbox.flush_if_old(OLD)
    front_end.outbox.put(make_reply(3), OLD)
    front_end.outbox.flush_if_old(OLD + OLD // 10)
    front_end.finish()
    assert front_end.frames == [[1, 2]]
    assert front_end.writer.unsent == 1


@pytest.mark.parametrize(
    "sizes", [[journal.SIZE], [10, journal.SIZE * 4, 10], [100_000] * 10, [5_000] * 200, [250_000] * 5]
)
def test_replies_of_any_size_arrive_once_and_in_order(front_end: FrontEnd, sizes: list[int]) -> None:
    for seq, size in enumerate(sizes, 1):
        front_end.outbox.put(make_reply(seq, payload=b"x" * size), 0)
    front_end.outbox.flush()
    front_end.finish()
    assert front_end.received == [*range(1, len(sizes) + 1)]
    assert front_end.writer.acknowledged
