"""What plugins log through the host (``host.log``, protocol section 4): records of the standard ``logging``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue

from msgspec import Raw

from scriptling.protocol.messages import HostLog as HostLogParams
from scriptling.protocol.messages import decode_params
from scriptling.protocol.values import Undecodable, ValueDecoder

_LEVELS = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40, "fatal": 50}
_INFO = 20
_CLOSING = 1.0


class HostLog:
    """The log records of one plugin, written under its name by a thread of their own.

    Handlers of a program may block, or call a plugin themselves; neither may hold up the conversation.

    :param name: name of the plugin, with its prefix
    """

    def __init__(self, name: str) -> None:
        self._logger_name = f"scriptling.{name}"
        self._records: SimpleQueue[HostLogParams | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def take(self, params: bytes) -> None:
        """Queue one record.

        :param params: JSON text of the params of ``host.log``
        :raises RpcError: they are not such params
        """
        self._records.put(decode_params(params, HostLogParams))
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name=f"log of {self._logger_name}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Let what is queued be written, for a second at most."""
        if self._thread is not None:
            self._records.put(None)
            self._thread.join(_CLOSING)

    def _write(self) -> None:
        import logging  # noqa: PLC0415 - most plugins never log through the host

        logger = logging.getLogger(self._logger_name)
        while (record := self._records.get()) is not None:
            level = _LEVELS.get(record.level.lower(), _INFO)
            logger.log(level, "%s%s", record.message, _pairs(record.args), extra={"plugin": self._logger_name})


def _pairs(args: Sequence[Raw]) -> str:
    """Return alternating keys and values as text."""
    try:
        values = [ValueDecoder().decode(raw) for raw in args]
    except Undecodable as error:
        return f" ({error})"
    keys = values[::2]
    return "".join(f" {key}={value!r}" for key, value in zip(keys, [*values[1::2], None][: len(keys)], strict=True))
