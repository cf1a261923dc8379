"""The stdio transport: the two streams of the protocol, read and written without ever blocking.

File descriptors 0 and 1 are taken away before anything else runs: the protocol moves to descriptors that no child
inherits, 0 becomes an empty input and 1 becomes stderr, so that no ``print``, no C code and no child process can write
into the protocol stream or read from it.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections import deque
from contextlib import suppress

_READ = 1 << 15  # bytes; some tenths of a millisecond of small calls, after which workers may need more
_READ_LONG = 1 << 20  # bytes, in the middle of a long message
_PIPE = 1 << 20  # bytes that our pipes are to hold, so that a long message does not take a wake-up for every 64 KiB
_JOIN = 1 << 16  # bytes; messages are joined into writes of about this size


def take_streams() -> tuple[int, int]:
    """Take descriptors 0 and 1 out of everybody's reach; return private ones for the protocol's input and output."""
    # Above 2, because a process that was started without stdin or stdout must not get the protocol on its stderr.
    source, sink = (_private(fd) for fd in (0, 1))
    give_up_streams()
    return source, sink


def give_up_streams() -> None:
    """Make 0 an empty input and 1 another name of stderr, for everybody from now on."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)


def _private(fd: int) -> int:
    import fcntl  # noqa: PLC0415 - a C module; only here

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _enlarge(fd: int) -> None:
    import fcntl  # noqa: PLC0415 - as above

    with suppress(OSError):  # no pipe, or more than this user may have
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)


class Source:
    """The protocol's input."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        _enlarge(fd)

    def read(self, in_long_message: bool) -> bytes | None:
        """Return what is there; empty at the end of the input, None if there is nothing now."""
        try:
            return os.read(self.fd, _READ_LONG if in_long_message else _READ)
        except BlockingIOError:
            return None
        except OSError:  # a terminal that hung up
            return b""


class Sink:
    """Bytes on their way out of one descriptor.

    Writing is never allowed to block, without changing what other processes see of the same open file: a pipe or
    terminal is opened anew through /proc, a socket is written with ``MSG_DONTWAIT``, and a file does not block.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.closed = False
        self._queue: deque[bytes | memoryview] = deque()
        self.size = 0
        """Bytes that wait."""
        self._socket: socket.socket | None = None
        self._may_block = False
        _enlarge(fd)
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=fd)
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            try:
                self.fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
                os.close(fd)
            except OSError:  # it belongs to another user, or has no reader
                self._may_block = True

    def put(self, data: bytes) -> None:
        """Add bytes to what waits."""
        if not self.closed:
            self._queue.append(data)
            self.size += len(data)

    def put_line(self, message: bytes) -> None:
        """Add one message and its line end."""
        if len(message) < _JOIN:
            self.put(message + b"\n")
        else:
            self.put(message)
            self.put(b"\n")

    def flush(self) -> None:
        """Write what the other side takes now. A side that does not read any more closes the sink."""
        while self._queue:
            data = self._next()
            try:
                written = self._write(data)
            except BlockingIOError:
                written = 0
            except OSError:  # closed by the reader, or a full disk: nothing will get out any more
                self.close()
                return
            self.size -= written
            if written < len(data):
                self._queue.appendleft(memoryview(data)[written:])
                return

    def _next(self) -> bytes | memoryview:
        if len(self._queue) == 1 or len(self._queue[0]) >= _JOIN:
            return self._queue.popleft()
        pieces = []
        size = 0
        while self._queue and size < _JOIN:
            piece = self._queue.popleft()
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def _write(self, data: bytes | memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        if self._may_block:
            return self._write_piece(data)
        return os.write(self.fd, data)

    def _write_piece(self, data: bytes | memoryview) -> int:
        """Write what a pipe is sure to take: a page, if it says that it takes anything."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        if not poll.poll(0):
            raise BlockingIOError
        return os.write(self.fd, data[: select.PIPE_BUF])

    def close(self) -> None:
        """Drop what waits, and take nothing more."""
        self.closed = True
        self._queue.clear()
        self.size = 0
