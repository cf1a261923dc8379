"""Processes that a script starts for itself: one for each sandbox, and for each task where there is no server.

Each is a new Python (20 to 60 ms) that runs :mod:`scriptling.runtime.runner`, and talks over a pair of sockets in
packed values (:mod:`scriptling.copies`). It dies with whoever holds its handle.
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
main(int(sys.argv[1]))
"""
_ROOT = str(Path(__file__).parents[2])
_MOST_OUTPUT = 16 << 20  # bytes that are kept
_HEAD = 8  # bytes that tell the length of a message


class ProcessDiedError(Exception):
    """The process has ended, or was killed; the text says how."""


class Process:
    """One process.

    :param capture: keep what it writes to stdout and stderr, instead of passing it on to those of this process
    :ivar output: what was kept
    """

    def __init__(self, capture: bool = False) -> None:
        self._socket, theirs = socket.socketpair()
        self.output = bytearray()
        self._sending = threading.Lock()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()  # what it writes comes after what was written here
        target = subprocess.PIPE if capture else None
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), _ROOT],
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=subprocess.STDOUT if capture else None,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
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
        end = None if timeout is None else time.monotonic() + timeout
        while (message := self._take()) is None:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._wait(left)
        self._read_output()
        return copies.unpack(message)

    def _take(self) -> bytes | None:
        size = int.from_bytes(self._received[:_HEAD], "little")
        if len(self._received) < _HEAD or len(self._received) < _HEAD + size:
            return None
        message = bytes(self._received[_HEAD : _HEAD + size])
        del self._received[: _HEAD + size]
        return message

    def _wait(self, seconds: float | None) -> None:
        for fd, _ in self._poll.poll(None if seconds is None else seconds * 1000):
            if fd != self._socket.fileno():
                self._read_output()
                continue
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
        """Wait for its end, and say how that was."""
        code = self._process.wait()
        if code >= 0:
            return f"it ended with exit status {code}"
        return f"it was killed by signal {-code} ({signal.Signals(-code).name})"

    def close(self) -> None:
        """Kill it, with whatever it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._read_output()
        self._socket.close()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _read(fd: int) -> bytes | None:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None
