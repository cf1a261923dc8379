"""Processes that a script starts for itself: one for each sandbox, and for each task where there is no server.

Each is a new Python (20 to 60 ms) that runs :mod:`scriptling.runtime.runner`, and talks over a pair of sockets in
packed values (:mod:`scriptling.copies`). It dies with whoever holds its handle: the kernel kills it, and what it has
started, when the last writer of a pipe is gone that nobody ever writes to.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from scriptling import copies

_BOOT = """\
import sys
sys.path.insert(0, sys.argv[2])
from scriptling.runtime.runner import main
main(int(sys.argv[1]), int(sys.argv[3]))
"""
_ROOT = str(Path(__file__).parents[2])
_MOST_OUTPUT = 16 << 20  # bytes that are kept
_LONGEST = 1_000_000  # ms of one wait; poll(2) takes no more than 24 days
_PATIENCE = 1.0  # seconds that it has to end when it has closed the socket
_HEAD = 8  # bytes that tell the length of a message


class ProcessDiedError(Exception):
    """The process has ended, or was killed; the text says how."""


class Process:
    """One process.

    :param capture: keep what it writes to stdout and stderr, instead of passing it on to those of this process
    :ivar output: what was kept
    """

    def __init__(self, capture: bool = False) -> None:
        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair()
        life, self._life = os.pipe()
        self.output = bytearray()
        self._sending = threading.Lock()
        self._receiving = threading.RLock()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()  # what it writes comes after what was written here
        try:
            self._process = _start(theirs.fileno(), life, capture)
        except BaseException:
            self._socket.close()
            os.close(self._life)
            raise
        finally:
            theirs.close()
            os.close(life)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        if self._process.stdout is not None:
            os.set_blocking(self._process.stdout.fileno(), False)
            self._poll.register(self._process.stdout, select.POLLIN)
        self._received = bytearray()

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message of plain values.

        :raises ProcessDiedError: nobody is there to take it
        """
        data = copies.pack(message, "a message", copies.WITH_BYTES)
        try:
            with self._sending:
                self._socket.sendall(len(data).to_bytes(_HEAD, "little") + data)
        except OSError:
            raise ProcessDiedError(self.describe_end()) from None

    def receive(self, timeout: float | None = None) -> Any:
        """Return its next message.

        :param timeout: seconds to wait at most; None waits for ever
        :raises TimeoutError: none came
        :raises ProcessDiedError: none will come
        """
        with self._receiving:
            end = None if timeout is None else time.monotonic() + timeout
            while (message := self._take()) is None:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._wait(left)
            self._read_output()
        try:
            return copies.unpack(message)
        except (ValueError, EOFError, TypeError):
            raise ProcessDiedError("it has sent what nobody understands") from None

    def _take(self) -> bytes | None:
        size = int.from_bytes(self._received[:_HEAD], "little")
        if len(self._received) < _HEAD or len(self._received) < _HEAD + size:
            return None
        message = bytes(self._received[_HEAD : _HEAD + size])
        del self._received[: _HEAD + size]
        return message

    def _wait(self, seconds: float | None) -> None:
        for fd, events in self._poll.poll(None if seconds is None else min(seconds * 1000, _LONGEST)):
            if events & select.POLLNVAL:
                raise ProcessDiedError("it was ended")
            if fd != self._socket.fileno():
                self._read_output()
                continue
            data = b""
            with suppress(ConnectionResetError):  # it has died before it had read everything
                data = self._socket.recv(1 << 16)
            if not data:
                raise ProcessDiedError(self.describe_end())
            self._received += data

    def _read_output(self) -> None:
        stream = self._process.stdout
        if stream is None or stream.closed:
            return
        data: bytes | None = b"x"
        while data:
            data = _read(stream.fileno())
            self.output += (data or b"")[: _MOST_OUTPUT - len(self.output)]
        if data == b"":
            with suppress(KeyError):
                self._poll.unregister(stream)

    def describe_end(self) -> str:
        """Wait for its end, and say how that was; one that only says nothing any more is killed."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill()
            code = self._process.wait()
        if code >= 0:
            return f"it ended with exit status {code}"
        return f"it was killed by signal {-code} ({signal.Signals(-code).name})"

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def is_own(self) -> bool:
        """Whether this process has started it, and is no fork of that."""
        return os.getpid() == self._owner

    def close(self) -> None:
        """Kill it, with whatever it has started; in a fork of who has started it, do nothing."""
        if not self.is_own:
            return
        self._kill()
        with self._receiving:  # a thread that waits for it is told by its end
            self._process.wait()
            self._read_output()
            self._socket.close()
            if self._life >= 0:
                os.close(self._life)
                self._life = -1
            if self._process.stdout is not None:
                self._process.stdout.close()


def _start(socket: int, life: int, capture: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _BOOT, str(socket), _ROOT, str(life)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        pass_fds=[socket, life],
        start_new_session=True,
    )


def _read(fd: int) -> bytes | None:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None
