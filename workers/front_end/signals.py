"""Signals as events of the loop: handlers only wake it, and the loop decides (cli.md, signals)."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress

from workers.front_end.frontend import FrontEnd

_EXIT_BY_SIGNAL = 128

_log = logging.getLogger("scriptling.server")


class Signals:
    """The signals of the front-end.

    :ivar forced: exit code (130, 143) once a second request to end has come; 0 before
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self.forced = 0
        self._asked = False
        self._front_end = front_end
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, _leave_to_the_loop)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with every signal."""
        return self._read_end

    def take(self, events: int) -> None:
        """Act on the signals that have come."""
        with suppress(BlockingIOError):
            for number in os.read(self._read_end, 64):
                self._act_on(number)

    def _act_on(self, number: int) -> None:
        if number in {signal.SIGINT, signal.SIGTERM}:
            self._end(number)
        elif number == signal.SIGHUP:
            self._front_end.recycle()
        elif number == signal.SIGTTIN:
            self._front_end.change_workers(1)
        elif number == signal.SIGTTOU:
            self._front_end.change_workers(-1)

    def _end(self, number: int) -> None:
        if self._asked:
            self.forced = _EXIT_BY_SIGNAL + number
            return
        _log.info("%s: finishing the calls in flight; once more ends at once", signal.Signals(number).name)
        self._asked = True
        self._front_end.stop()


def _leave_to_the_loop(number: int, frame: object) -> None:
    return None
