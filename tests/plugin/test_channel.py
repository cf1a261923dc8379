"""What the ways for messages have in common."""

from __future__ import annotations

import os

import pytest

from scriptling.plugin.channel import Unwritten, readable


def test_bytes_wait_until_they_are_taken() -> None:
    waiting, taken = Unwritten(), bytearray()

    def take(data: memoryview) -> int:
        if len(taken) >= 4:
            raise BlockingIOError
        taken.extend(data[:2])
        return 2

    waiting += b"abcdef"
    with pytest.raises(BlockingIOError):
        waiting.drain(take)
    assert bytes(taken) == b"abcd"
    assert bytes(waiting) == b"ef"


def test_bytes_can_be_changed_while_a_failure_to_write_them_is_handled() -> None:
    waiting = Unwritten(b"abc")

    def fail(data: memoryview) -> int:
        raise BrokenPipeError

    try:
        waiting.drain(fail)
    except BrokenPipeError:
        waiting.clear()
    assert not waiting


def test_end_of_a_pipe_is_readable() -> None:
    reader, writer = os.pipe()
    assert not readable(reader)
    os.close(writer)
    assert readable(reader)
    os.close(reader)
