"""Nothing reaches the protocol stream but the protocol, and writing it never blocks, whoever does not read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.fakes import PATIENCE, wait_readable
from workers.stdio.streams import Sink, Source

LOT = b"x" * 3_000_000  # bytes; more than any pipe or socket holds


class Stream:
    """A stream from a sink to a reader."""

    def __init__(self, kind: str) -> None:
        if kind == "pipe":
            self.reader, writer = os.pipe()
        else:
            self.reader, writer = (end.detach() for end in socket.socketpair())
        self.other = os.dup(writer)  # another process that writes to the same stream
        self.sink = Sink(writer)
        self._reads = True

    def hang_up(self) -> None:
        os.close(self.reader)
        self._reads = False

    def close(self) -> None:
        if self._reads:
            self.hang_up()
        os.close(self.other)
        if self.sink._socket is None:
            os.close(self.sink.fd)
        else:
            self.sink._socket.close()


@pytest.fixture(params=["pipe", "socket"])
def stream(request: pytest.FixtureRequest) -> Iterator[Stream]:
    made = Stream(request.param)
    yield made
    made.close()


def read_all(sink: Sink, reader: int, size: int) -> bytes:
    """Be a reader that takes everything, while the sink is flushed."""
    read = bytearray()
    while len(read) < size:
        sink.flush()
        wait_readable(reader)
        read += os.read(reader, 1 << 20)
    return bytes(read)


def test_messages_leave_whole_and_in_order(stream: Stream) -> None:
    for number in range(100):
        stream.sink.put_line(b"%d" % number)
    stream.sink.flush()
    assert stream.sink.size == 0
    assert os.read(stream.reader, 1 << 16) == b"".join(b"%d\n" % number for number in range(100))


def test_a_reader_that_does_not_read_keeps_nobody(stream: Stream) -> None:
    sink = stream.sink
    messages = [b"%d" % number + LOT for number in range(3)]
    for message in messages:
        sink.put_line(message)
    whole = b"".join(message + b"\n" for message in messages)
    sink.flush()
    sink.flush()
    assert 0 < sink.size < len(whole)
    sink.put_line(b"last")
    assert read_all(sink, stream.reader, len(whole) + 5) == whole + b"last\n"
    assert sink.size == 0


def test_a_reader_that_has_gone_closes_the_sink(stream: Stream) -> None:
    stream.sink.put(b"1")
    stream.hang_up()
    stream.sink.flush()
    assert stream.sink.closed
    assert stream.sink.size == 0
    stream.sink.put(LOT)
    assert stream.sink.size == 0
    stream.sink.flush()


def test_other_users_of_the_same_stream_see_no_change(stream: Stream) -> None:
    """Whether writing blocks is a property of the open file, which a host may share with other processes."""
    stream.sink.put(LOT)
    stream.sink.flush()
    assert stream.sink.size > 0
    assert os.get_blocking(stream.other)


def test_a_file_takes_everything_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out"
    sink = Sink(os.open(path, os.O_WRONLY | os.O_CREAT))
    sink.put(LOT)
    sink.put_line(b"end")
    sink.flush()
    os.close(sink.fd)
    assert sink.size == 0
    assert path.read_bytes() == LOT + b"end\n"


def test_a_full_disk_closes_the_sink() -> None:
    sink = Sink(os.open("/dev/full", os.O_WRONLY))
    sink.put(b"1")
    sink.flush()
    os.close(sink.fd)
    assert sink.closed


# Input


def test_input_is_read_as_it_comes_and_ends_once() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    source = Source(reader)
    assert source.read(False) is None
    os.write(writer, b"abc")
    assert source.read(False) == b"abc"
    os.close(writer)
    assert source.read(False) == b""
    os.close(reader)


def test_a_stream_that_fails_has_ended() -> None:
    reader, writer = os.pipe()
    assert Source(writer).read(False) == b""
    for fd in (reader, writer):
        os.close(fd)


TAKE = """
import os, subprocess, sys
from workers.stdio.streams import take_streams
source, sink = take_streams()
print("printed")
sys.stdout.flush()
os.write(1, b"written\\n")
subprocess.run(["sh", "-c", "echo child; cat"])
assert os.read(0, 10) == b""
assert min(source, sink) > 2
assert not (os.get_inheritable(source) or os.get_inheritable(sink))
os.write(sink, b"got " + os.read(source, 100))
"""


def test_taken_streams_are_out_of_everybodys_reach() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAKE], input=b"protocol\n", capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.stdout == b"got protocol\n"
    assert done.stderr == b"printed\nwritten\nchild\n"
    assert done.returncode == 0
