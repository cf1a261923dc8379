"""Decode, fresh evaluator, encode: from a request's line to its answer's line in one process, without any transport.

The same steps, by the same code, as in a server's front-end and worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.model import PeerFailed
from benchmarks.pace import timed
from benchmarks.peers import Tasks
from benchmarks.server import SETUP
from benchmarks.wire import Stock, function_tail
from scriptling.evaluator import Evaluator
from scriptling.protocol import jsonrpc
from scriptling.protocol.messages import FunctionCall, decode_params
from scriptling.protocol.values import ValueDecoder, ValueEncoder
from scriptling.registry import Handler

_HANDLER = Handler("handlers.add")


def open_tasks() -> Tasks:
    """Take over ``import`` as a worker does."""
    evaluator = Evaluator([str(SETUP.parent)])
    evaluator.install()
    line = Stock([function_tail("add", 3, 4)]).take(1).text.rstrip()
    _check(_answer(evaluator, line))
    return {
        "add": lambda: _repeat(lambda: _answer(evaluator, line)),
        **{name: _task(part) for name, part in _parts(evaluator, line).items()},
    }


def _task(part: Callable[[], object]) -> Callable[[], Callable[[int], float]]:
    return lambda: _repeat(part)


def _repeat(call: Callable[[], object]) -> Callable[[int], float]:
    def work(count: int) -> None:
        for _ in range(count):
            call()

    return lambda count: timed(lambda: work(count))


def _check(answer: bytes) -> None:
    if b'"value":7' not in answer.replace(b" ", b""):
        raise PeerFailed(f"it answered {answer.decode()}")


def _request(line: bytes) -> jsonrpc.Request:
    event = jsonrpc.parse(line)
    assert isinstance(event, jsonrpc.Request)
    return event


def _arguments(params: Any) -> tuple[list[Any], dict[str, Any]]:
    call = decode_params(params, FunctionCall)
    return ValueDecoder(lambda _: None, lambda _: None, 128).arguments(call.args, call.kwargs)


def _result(value: Any) -> bytes:
    return ValueEncoder(lambda _: None, False, 128).encode(value)


def _answer(evaluator: Evaluator, line: bytes) -> bytes:
    request = _request(line)
    evaluator.begin()
    try:
        args, kwargs = _arguments(request.params)
        result = _result(evaluator.function(_HANDLER)(*args, **kwargs))
    finally:
        evaluator.end()
    return jsonrpc.encode_result(bytes(request.id), result)


def _parts(evaluator: Evaluator, line: bytes) -> dict[str, Callable[[], object]]:
    request = _request(line)

    def evaluate() -> None:
        evaluator.begin()
        evaluator.function(_HANDLER)
        evaluator.end()

    return {
        "envelope": lambda: jsonrpc.parse(line),
        "arguments": lambda: _arguments(request.params),
        "evaluator": evaluate,
        "result": lambda: _result(7),
        "answer": lambda: jsonrpc.encode_result(bytes(request.id), b'{"type":"int","value":7}'),
    }
