"""A gate between a test and the handlers of a server: they wait at it without waiting for the host."""

from __future__ import annotations

import os
from pathlib import Path

PASS = """
def _pass_gate(path):
    try:
        with open(path, "rb") as gate:
            gate.read()
    except FileNotFoundError:
        pass
"""
"""Source of a helper of handlers: it waits until the gate at ``path`` is open."""

WAIT = (
    PASS
    + """
def wait(path, mark):
    with open(mark, "a") as marked:
        marked.write("x")
    _pass_gate(path)
"""
)
"""Source of a handler that marks that it has begun and waits at a gate; and of :data:`PASS`."""


class Gate:
    """A named pipe that nobody writes to: whoever reads it waits until it is closed."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        """Let everybody pass from now on."""
        if self._fd >= 0:
            self.path.unlink()  # before the close, so that nobody comes to wait for a writer
            os.close(self._fd)
            self._fd = -1
