"""The way to stderr for everybody: children write into a pipe, the front-end passes it on and never waits for a reader.

A host that does not read our stderr would otherwise stop every process that prints, once the pipe between them is full.
Here what cannot be written is kept up to a bound, and beyond it dropped, which is said once in its place.
"""

from __future__ import annotations

import os

from workers.stdio.streams import Sink

_MOST_KEPT = 1 << 20  # bytes
_READ = 1 << 16


class ErrorLog:
    """The real stderr, and the pipe that children have instead.

    :ivar write_end: for the nursery, which gives it to every child
    :ivar ended: whether no child holds the pipe any more
    """

    def __init__(self, fd: int) -> None:
        self.sink = Sink(os.dup(fd))
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)
        self.ended = False
        self._dropped = 0

    def put(self, data: bytes) -> None:
        """Write something, or keep it, or drop it."""
        if self.sink.size + len(data) > _MOST_KEPT:
            self._dropped += len(data)
            return
        if self._dropped:
            self.sink.put(b"[%d bytes of stderr were dropped, because nobody reads it]\n" % self._dropped)
            self._dropped = 0
        self.sink.put(data)
        self.sink.flush()

    def pump(self) -> bool:
        """Pass on some of what children have written; False when there is nothing more now."""
        try:
            data = os.read(self.read_end, _READ)
        except BlockingIOError:
            return False
        self.put(data)
        self.ended = not data
        return not self.ended
