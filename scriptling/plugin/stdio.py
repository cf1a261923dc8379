"""The pipes to a child process: one JSON text per line in both directions (protocol section 1, stdio)."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from contextlib import suppress

from scriptling.plugin.channel import CHUNK, Unwritten
from scriptling.plugin.process import Child

# How long a plugin that spoke its last is waited for, so that the error can tell how it ended.
_ENDING = 0.5
_INPUT_CLOSED = "has closed its input"


class StdioChannel:
    """The way to one child process (see :class:`~scriptling.plugin.channel.Channel`)."""

    lines = True
    answers_after_close = True

    def __init__(self, child: Child) -> None:
        self._child = child
        self._unwritten = Unwritten()
        self.inputs: Sequence[int] = tuple(fd for fd in (child.stdout, child.pidfd) if fd >= 0)
        self.output = child.stdin
        self.lost = ""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.running

    @property
    def closed(self) -> bool:
        """Whether the input of the process is closed."""
        return self._child.stdin_closed

    @property
    def unwritten(self) -> int:
        """Bytes that wait to be written."""
        return len(self._unwritten)

    def receive(self, ready: Container[int]) -> list[bytes]:
        """Return what the plugin has written."""
        if self._child.stdout in ready:
            data = self._read()
            return [data] if data else []
        return self._rest()

    def send(self, text: bytes) -> None:
        """Have a line written."""
        self._unwritten += text
        self._unwritten += b"\n"

    def flush(self) -> None:
        """Write what the pipe takes; a plugin that reads no more is ending."""
        if self._child.stdin_closed:
            self._unwritten.clear()
        elif self._unwritten:
            try:
                with suppress(BlockingIOError):
                    self._unwritten.drain(self._write)
            except BrokenPipeError:
                self._unwritten.clear()
                self.lost = self.lost or _INPUT_CLOSED

    def pulse(self) -> None:
        """Nothing is needed: the system tells of the end of a process."""

    def close_output(self) -> None:
        """Close the input of the process."""
        self._child.close_stdin()

    def wind_up(self) -> list[bytes]:
        """Return what a process wrote before its end, though a descendant may hold its output open."""
        rest = []
        if self.lost == _INPUT_CLOSED:
            self._child.wait(_ENDING)
            rest = self._rest()
            self.lost = _INPUT_CLOSED if self._child.running else "has ended"
        self._child.close_stdin()
        self._child.wait(_ENDING)
        return rest

    def report(self) -> str:
        """Return how the process ended, or that it runs, and the end of its stderr."""
        return f"; {self._child.report()}"

    def stop(self, grace: float) -> None:
        """Wait for the process to end, then ask it to, then kill it."""
        self._child.stop(grace)

    def free(self) -> None:
        """Close our ends of the pipes; the process is ended, if it has not."""
        self._child.stop(0)
        self._child.free()

    def after_fork(self) -> None:
        """Close the copies that a forked child got."""
        self._child.after_fork()

    def _write(self, data: memoryview) -> int:
        return os.write(self._child.stdin, data)

    def _read(self) -> bytes | None:
        """Return what there is to be read: nothing at the end, None if there is nothing now."""
        try:
            data = os.read(self._child.stdout, CHUNK)
        except BlockingIOError:
            return None
        if not data:
            self.lost = self.lost or "has closed its output"
        return data

    def _rest(self) -> list[bytes]:
        """Return all that a process that has ended wrote before."""
        pieces = []
        while data := self._read():
            pieces.append(data)
        self.lost = self.lost or "has ended"
        return pieces
