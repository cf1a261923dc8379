"""Messages of a byte stream: one JSON text a line (protocol section 1, stdio)."""

from __future__ import annotations

from scriptling.protocol.broken import GLIMPSE, refusal, too_large
from scriptling.protocol.events import Invalid, Response


class LineReader:
    """Cuts a stream into JSON texts, one a line (protocol section 1, stdio).

    A line longer than the limit is refused as soon as it is known to be, and dropped while it streams in.

    :param max_message: most bytes of a line, without its end
    :param fixed: whether nobody can set another limit
    """

    def __init__(self, max_message: int, fixed: bool = False) -> None:
        self._max = max_message
        self._fixed = fixed
        self._line = bytearray()
        self._dropping = False

    @property
    def held(self) -> int:
        """Bytes of a message that has not ended yet."""
        return len(self._line)

    def feed(self, data: bytes) -> list[bytes | Invalid | Response]:
        r"""Return the lines that ``data`` completes, without their ends; blank ones are left out.

        ``\r\n`` ends a line as ``\n`` does. A refused line is one event in its place.
        """
        end = data.find(b"\n")
        if end < 0:
            return self._keep(data)
        found = self._keep(data[:end]) + self._complete()
        rest = data[end + 1 :]
        if rest:
            *lines, last = rest.split(b"\n")
            found += self._whole(lines, len(rest))
            found += self._keep(last)
        return found

    def end(self) -> list[bytes | Invalid | Response]:
        """Return what the end of the stream completes: a last line that has no end."""
        return self._complete()

    def _whole(self, lines: list[bytes], size: int) -> list[bytes | Invalid | Response]:
        """Return lines that came in one piece of ``size`` bytes altogether."""
        if size <= self._max:
            return [line for line in (line.removesuffix(b"\r") for line in lines) if line and not line.isspace()]
        return [event for line in lines for event in self._checked(line)]

    def _checked(self, line: bytes) -> list[bytes | Invalid | Response]:
        """Return one whole line, or its refusal, or nothing for a blank one."""
        line = line.removesuffix(b"\r")
        if len(line) > self._max:
            return [self._refusal(line)]
        return [] if not line or line.isspace() else [line]

    def _keep(self, piece: bytes) -> list[bytes | Invalid | Response]:
        """Hold a piece of a line; one byte over the limit may yet be the carriage return of its end."""
        if self._dropping:
            return []
        self._line += piece
        if len(self._line) <= self._max + 1:
            return []
        refused = self._refusal(bytes(self._line[:GLIMPSE]))
        self._line.clear()
        self._dropping = True
        return [refused]

    def _complete(self) -> list[bytes | Invalid | Response]:
        """Let go of the line that is held."""
        line = bytes(self._line)
        self._line.clear()
        dropped, self._dropping = self._dropping, False
        return [] if dropped else self._checked(line)

    def _refusal(self, line: bytes) -> Invalid | Response:
        # Only the beginning counts, because that is all there is of a line that streams in.
        beginning = line[: min(GLIMPSE, self._max)]
        return refusal(beginning, too_large(self._max, self._fixed))
