"""From what a handler did to the JSON text of an answer: the one way from exceptions to error objects."""

from __future__ import annotations

import sys
import traceback
from types import CoroutineType
from typing import Any

from scriptling.errors import ErrorCode, RpcError
from scriptling.evaluator import describe_exception, user_traceback
from scriptling.protocol.jsonrpc import encode_error_object
from scriptling.protocol.values import Undecodable, Unsendable
from workers.children.fitness import headroom, memory_limit


def encode_error(error: BaseException, show_traceback: bool) -> bytes:
    """Return the JSON text of the error object that a host gets for an exception (protocol section 2)."""
    if isinstance(error, RpcError):
        return encode_error_object(error)
    if isinstance(error, Undecodable):
        return encode_error_object(RpcError(ErrorCode.INVALID_PARAMS, str(error)))
    if isinstance(error, Unsendable):
        return encode_error_object(RpcError(ErrorCode.HANDLER_ERROR, str(error)))
    if isinstance(error, MemoryError):
        return encode_error_object(_describe_lack_of_memory(error, show_traceback))
    return encode_error_object(describe_exception(error, show_traceback))


def report(what: str, error: BaseException) -> None:
    """Show on stderr what a handler raised that nobody is answered with."""
    sys.stderr.write(f"scriptling: error in {what}:\n{user_traceback(error)}")


def _describe_lack_of_memory(error: MemoryError, show_traceback: bool) -> RpcError:
    """Let go of what the handler had gathered, so that an answer has room, and name the limit if there is one."""
    limit = memory_limit()
    traceback.clear_frames(error.__traceback__)
    with headroom():
        described = describe_exception(error, show_traceback)
    if not str(error) and limit:
        described.message += f": no more than {limit} MiB can be allocated here (--max-memory)"
    return described


def check_size(payload: bytes, most: int) -> bytes:
    """Return an encoded result if it is no larger than a message may be.

    :param most: MiB
    :raises Unsendable: it is larger; the host would have to wait for it, and everybody else behind it
    """
    if len(payload) > most << 20:
        size = len(payload) / (1 << 20)
        raise Unsendable(f"the result takes {size:.0f} MiB, and at most {most} can be sent (--max-message)")
    return payload


def run_coroutine(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Run an ``async def`` handler or method to its end."""
    import asyncio  # noqa: PLC0415 - 40 ms that only asynchronous handlers need

    return asyncio.run(coroutine)
