"""Logs: standard logging under the name ``scriptling``, as text for people or as JSON, one record a line, to stderr.

What a record is about goes into ``extra``: ``plugin``, ``worker`` and ``call_id`` are shown in both formats.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from scriptling.terminal import CYAN, DIM, RED, YELLOW, colours, paint

TRACE = 5
LEVELS: dict[str, int] = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
FIELDS = ("plugin", "worker", "call_id")

_COLOURS = {"trace": DIM, "debug": DIM, "info": CYAN, "warn": YELLOW, "error": RED, "fatal": RED}
# A message may hold what a peer sent: it must not be able to move the cursor or to pass for a record of its own.
_VISIBLE = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\t"}
_VISIBLE[ord("\n")] = "\n    "

Write = Callable[[bytes], object]


def configure(level: str = "info", format: str = "console", write: Write | None = None) -> None:
    """Send the records of ``scriptling`` and all below it to one place, in one format; calling it again replaces both.

    :param level: a key of :data:`LEVELS`; less urgent records are dropped
    :param format: ``"console"``, ``"json"``, or ``"null"`` to drop everything
    :param write: takes each record as encoded line, terminator included; None writes to stderr, waiting if it is full
    """
    logger = logging.getLogger("scriptling")
    logger.handlers[:] = [_handler(format, write or _write_to_stderr)]
    logger.propagate = False
    logger.setLevel(LEVELS[level])


def _handler(format: str, write: Write) -> logging.Handler:
    if format == "null":
        return logging.NullHandler()
    handler = _LineHandler(write)
    handler.setFormatter(JsonFormatter() if format == "json" else ConsoleFormatter(colours(sys.stderr)))
    return handler


def _write_to_stderr(line: bytes) -> None:
    """Write to the file descriptor itself, which nobody can replace; a stderr that is gone is no reason to fail."""
    with suppress(OSError):
        while line:
            line = line[os.write(2, line) :]


class _LineHandler(logging.Handler):
    """Hands every record, formatted and encoded, to a function."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, in one piece."""
        try:
            self._write(self.format(record).encode("utf-8", "backslashreplace") + b"\n")
        except Exception:
            self.handleError(record)


def level_name(number: int) -> str:
    """Return the name of a level of standard logging; numbers between two levels have the lower one's."""
    return max((each for each in LEVELS.items() if each[1] <= number), key=lambda each: each[1], default=("trace", 0))[
        0
    ]


def _fields(record: logging.LogRecord) -> dict[str, object]:
    values = ((name, getattr(record, name, None)) for name in FIELDS)
    return {name: value for name, value in values if value is not None}


class ConsoleFormatter(logging.Formatter):
    """``12:00:00.123 INFO  ready plugin=calculator``: local time, further lines indented, control characters spelt."""

    def __init__(self, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of one record."""
        name = level_name(record.levelno)
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        clock = f"{time.strftime('%H:%M:%S', time.localtime(record.created))}.{int(record.msecs):03d}"
        about = "".join(f" {key}={value}" for key, value in _fields(record).items())
        shown = paint(f"{name.upper():5}", _COLOURS[name], self._coloured)
        return f"{clock} {shown} {message.translate(_VISIBLE)}{paint(about.translate(_VISIBLE), DIM, self._coloured)}"


class JsonFormatter(logging.Formatter):
    """One JSON object: ``ts`` (UTC, milliseconds), ``level``, ``msg``, and those of ``plugin worker call_id`` known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of one record; an exception's text is its ``traceback``."""
        from json import dumps  # noqa: PLC0415 - the other format needs none

        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
        entry = {"ts": stamp, "level": level_name(record.levelno), "msg": record.getMessage(), **_fields(record)}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return dumps(entry, default=str)
