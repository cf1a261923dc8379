"""What handlers log with Python's ``logging`` goes to the host that called, as ``host.log`` (protocol section 4).

Outside of a call, and where the host cannot be called, records go to stderr as they do in any program.
"""

from __future__ import annotations

import logging
import traceback

from scriptling.log import level_name
from scriptling.protocol.messages import HostLog, encode_message
from scriptling.protocol.values import ValueEncoder
from workers.children.asking import Asker
from workers.frames import Flag

_to_stderr = logging.StreamHandler()
_to_stderr.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))


class HostLogHandler(logging.Handler):
    """The root logger's handler in workers and object store."""

    def __init__(self, asker: Asker) -> None:
        super().__init__()
        self._asker = asker

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record to the host of the running call; it is not waited for."""
        scope = self._asker.scope()
        if scope is None or not scope.call.flags & Flag.CALLBACKS:
            _to_stderr.emit(record)
            return
        about: list[object] = ["logger", record.name]
        if record.exc_info:
            about += ["traceback", "".join(traceback.format_exception(*record.exc_info))]
        args, _ = ValueEncoder().arguments(about, {})
        message = record.getMessage().encode("utf-8", "backslashreplace").decode()
        self._asker.tell(scope, encode_message(HostLog(level_name(record.levelno), message, args)))


def install(asker: Asker, level: int) -> None:
    """Send everything of at least ``level`` that user code logs in this process to the host."""
    root = logging.getLogger()
    root.handlers[:] = [HostLogHandler(asker)]
    root.setLevel(level)
