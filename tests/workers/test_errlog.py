"""Whatever is written to stderr gets there, or is dropped within a bound and said to have been; nobody ever waits."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from workers.errlog import ErrorLog

MEBIBYTE = 1 << 20


class Stderr:
    """A stderr and its reader."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.log = ErrorLog(writer)
        os.close(writer)
        self._open = {self.reader, self.log.sink.fd, self.log.read_end, self.log.write_end}

    def read(self) -> bytes:
        read = bytearray()
        while True:
            self.log.sink.flush()
            try:
                data = os.read(self.reader, MEBIBYTE)
            except BlockingIOError:
                return bytes(read)
            read += data
            if not data:
                return bytes(read)

    def close(self, *fds: int) -> None:
        for fd in fds or (*self._open,):
            self._open.discard(fd)
            os.close(fd)


@pytest.fixture
def stderr() -> Iterator[Stderr]:
    made = Stderr()
    yield made
    made.close()


def test_records_are_written_at_once(stderr: Stderr) -> None:
    stderr.log.put(b"one\n")
    assert os.read(stderr.reader, 100) == b"one\n"


def test_what_children_write_is_passed_on(stderr: Stderr) -> None:
    os.write(stderr.log.write_end, b"from a child\n")
    assert stderr.log.pump()
    assert stderr.read() == b"from a child\n"
    assert not stderr.log.pump()
    assert not stderr.log.ended


def test_the_end_comes_when_no_child_holds_the_pipe(stderr: Stderr) -> None:
    os.write(stderr.log.write_end, b"last words\n")
    stderr.close(stderr.log.write_end)
    while stderr.log.pump():
        assert not stderr.log.ended
    assert stderr.log.ended
    assert stderr.read() == b"last words\n"


def test_a_reader_that_does_not_read_costs_a_bounded_amount(stderr: Stderr) -> None:
    line = b"x" * 9_999 + b"\n"
    for _ in range(500):
        stderr.log.put(line)
    assert stderr.log.sink.size <= MEBIBYTE
    kept = stderr.read()
    assert kept == line * (len(kept) // len(line))
    stderr.log.put(b"after\n")
    dropped = 500 * len(line) - len(kept)
    assert stderr.read() == b"[%d bytes of stderr were dropped, because nobody reads it]\nafter\n" % dropped
    stderr.log.put(b"and on\n")
    assert stderr.read() == b"and on\n"


def test_children_never_wait_for_a_reader(stderr: Stderr) -> None:
    os.set_blocking(stderr.log.write_end, False)
    for _ in range(100):
        assert os.write(stderr.log.write_end, b"x" * 60_000) == 60_000
        while stderr.log.pump():
            continue
    assert stderr.log.sink.size <= MEBIBYTE


def test_without_any_reader_everything_is_dropped_quietly(stderr: Stderr) -> None:
    stderr.close(stderr.reader)
    for _ in range(300):
        stderr.log.put(b"x" * 10_000)
    assert stderr.log.sink.size == 0
