"""What a background task is while it travels: where its code is, its arguments, and what came of it."""

from __future__ import annotations

from types import CoroutineType
from typing import Any

import msgspec

from scriptling import copies
from scriptling.errors import RpcError
from scriptling.protocol.jsonrpc import encode_error_object
from scriptling.registry import Handler

MOST_ARGUMENTS = 64 << 20  # bytes


class TaskSpec(msgspec.Struct, array_like=True, frozen=True):
    """A task that is to run.

    :ivar name: what logs and errors call it
    :ivar arguments: a packed pair of list and dict
    """

    name: str
    handler: Handler
    arguments: bytes


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What came of a task: a packed result, or the JSON text of an error object where it failed."""

    failed: bool
    payload: bytes


class Failure(msgspec.Struct, frozen=True):
    """An error object, read; a handler may have put anything into its ``data``."""

    message: str
    data: Any = None

    def about(self, what: str) -> str:
        """Return what is known of the exception: its ``type`` or ``traceback``; empty if that is not known."""
        return str(self.data.get(what) or "") if isinstance(self.data, dict) else ""


class TaskError(Exception):
    """A task has failed; the text begins with the name of the exception that it raised.

    :ivar remote_type: that name alone; empty where no exception was raised, for example because its process was killed
    """

    def __init__(self, message: str, remote_type: str = "") -> None:
        super().__init__(f"{remote_type}: {message}" if remote_type else message)
        self.remote_type = remote_type


encode_spec = msgspec.msgpack.Encoder().encode
decode_spec = msgspec.msgpack.Decoder(TaskSpec).decode
encode_outcome = msgspec.msgpack.Encoder().encode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
decode_failure = msgspec.json.Decoder(Failure).decode


def pack_arguments(call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return the arguments as bytes.

    :raises NotCopyableError: one of them cannot be passed; the text names it
    :raises ValueError: they take more than 64 MiB
    """
    for index, value in enumerate(args):
        copies.check(value, f"args[{index}] of {call}")
    for name, value in kwargs.items():
        copies.check(value, f"{name}= of {call}")
    packed = copies.pack([list(args), kwargs], call)
    if len(packed) > MOST_ARGUMENTS:
        raise ValueError(
            f"{call}: {len(packed)} bytes of arguments are more than the {MOST_ARGUMENTS} that may be passed"
        )
    return packed


def failed(error: RpcError) -> Outcome:
    """Return the outcome of a task that could not be run to its end."""
    return Outcome(True, encode_error_object(error))


def result_of(outcome: Outcome) -> Any:
    """Return what a task has returned.

    :raises TaskError: it has raised something, or did not come to its end
    """
    if not outcome.failed:
        return copies.unpack(outcome.payload)
    failure = decode_failure(outcome.payload)
    error = TaskError(failure.message, failure.about("type"))
    if traceback := failure.about("traceback"):
        error.add_note(f"Traceback in the task:\n{traceback}")
    raise error


def run(spec: TaskSpec) -> Outcome:
    """Run a task in this process, which is there for nothing else."""
    import importlib  # noqa: PLC0415 - only where there is no evaluator

    try:
        args, kwargs = copies.unpack(spec.arguments)
        if spec.handler.pickled:
            import pickle  # noqa: PLC0415

            function = pickle.loads(spec.handler.pickled)
        else:
            library, _, name = spec.handler.reference.rpartition(".")
            function = getattr(importlib.import_module(library), name)
        result = function(*args, **kwargs)
        if isinstance(result, CoroutineType):
            import asyncio  # noqa: PLC0415

            result = asyncio.run(result)
        return Outcome(False, copies.pack(result, f"the result of the task {spec.name!r}"))
    except BaseException as error:
        from scriptling.evaluator import describe_exception  # noqa: PLC0415 - few tasks fail

        return failed(describe_exception(error))
