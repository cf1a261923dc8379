"""Errors: what crosses the wire as a code, and what a caller of the client catches.

Two families live here and nowhere else. :class:`RpcError` is an error *on the wire*: the number, the sentence and the
free ``data`` of a JSON-RPC error object (protocol section 2). :class:`PluginError` and its children are what the client
raises to people. :func:`from_wire` is the one way from the first family to the second.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ErrorCode(IntEnum):
    """Every code that this project sends (protocol section 2).

    -32700 to -32603 are JSON-RPC's own, -32000 is what hosts know as "the handler raised", the rest are ours.
    """

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    HANDLER_ERROR = -32000
    WORKER_DIED = -32001
    TIMED_OUT = -32002
    OVERLOADED = -32003
    SHUTTING_DOWN = -32004
    OBJECT_LOST = -32005
    TOO_DEEP = -32006
    MESSAGE_TOO_LARGE = -32007
    TOO_MANY_OBJECTS = -32008
    CANCELLED = -32009


class RpcError(Exception):
    """An error object of JSON-RPC: what a peer is answered with, or was answered by one.

    :param code: a member of :class:`ErrorCode`, or whatever integer a peer sent
    :param message: a sentence that a person can act on; hosts show it as it is
    :param data: anything that can be written as JSON, or None to leave it out
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class PluginError(Exception):
    """Base of everything that the client raises on purpose."""


class PluginLoadError(PluginError):
    """A plugin could not be started, reached, or agreed with in the handshake."""


class PluginCallError(PluginError):
    """A plugin answered a call with an error.

    :ivar code: the JSON-RPC code
    :ivar data: the error's ``data`` member, or None
    :ivar remote_type: class name of the exception in the plugin, where it told, else ``""``
    """

    def __init__(self, message: str, code: int = ErrorCode.HANDLER_ERROR, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
        self.remote_type = ""
        if isinstance(data, dict):
            self.remote_type = str(data.get("type", ""))
            if data.get("traceback"):
                self.add_note(f"Traceback in the plugin:\n{data['traceback']}")


class PluginTimeout(PluginCallError, TimeoutError):  # noqa: N818 - cli.md gives the names
    """A call, or a handshake, was not answered within its time."""


class PluginCrashed(PluginCallError):  # noqa: N818 - as above
    """The process that should have answered is gone: the whole plugin, or the worker that ran the call."""


_RAISED_FOR: dict[int, type[PluginCallError]] = {
    ErrorCode.TIMED_OUT: PluginTimeout,
    ErrorCode.WORKER_DIED: PluginCrashed,
    ErrorCode.OBJECT_LOST: PluginCrashed,
}


def from_wire(error: RpcError) -> PluginCallError:
    """Return the exception a caller of the client gets for an error that a peer sent."""
    raised = _RAISED_FOR.get(error.code, PluginCallError)
    return raised(error.message, error.code, error.data)
