"""How messages of a host reach the program and come back: one small contract, filled in for each transport."""

from __future__ import annotations

import os
from typing import IO, Protocol


class Transport(Protocol):
    """A connection of one host."""

    def send(self, text: bytes) -> None:
        """Hand over one message, or anything else that a hostile host might send in its place."""

    def receive(self) -> bytes | None:
        """Wait for the next message; None when there will be no more."""

    def end(self) -> None:
        """Say that this host will send nothing more."""


class Stdio:
    """One message per line over the program's standard streams.

    :ivar unread: a test may take the reading side away before anything is received
    """

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self._stdin = stdin
        self._stdout = stdout

    def send(self, text: bytes) -> None:
        """Write one line."""
        self.write(text + b"\n")

    def write(self, data: bytes) -> None:
        """Write bytes as they are, all of them."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._stdin.fileno(), left) :]

    def receive(self) -> bytes | None:
        """Read one line; one that is cut short by the end is an error."""
        line = self._stdout.readline()
        if not line:
            return None
        assert line.endswith(b"\n"), f"stdout ends in the middle of a line: {line[-200:]!r}"
        return line[:-1]

    def end(self) -> None:
        """Close the program's stdin."""
        if not self._stdin.closed:
            self._stdin.close()

    def stop_reading(self) -> None:
        """Close our end of the program's stdout."""
        self._stdout.close()
