"""Messages that were right once and then were damaged at random (faults, check 28)."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.wire.server import Serve, Server

HANDLERS = """
def echo(*args, **kwargs): return [list(args), kwargs]
def call(f, *args): return f(*args)
class Box:
    def __init__(self, value=None): self.value = value
    def get(self, *args): return self.value
"""
SEED = 20
STEP = 200  # messages between two looks whether the server still answers
_LARGEST = 256 << 20  # bytes of memory
TOKENS = (b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\n", b"\0", b"null", b"1e999", b"-0", b"\\ud800", b"\xff")


def values() -> list[dict[str, Any]]:
    return [
        {"type": "int", "value": 5},
        {"type": "list", "items": [{"type": "string", "value": "ü\u2028"}, {"type": "null"}]},
        {"type": "dict", "entries": {"a": {"type": "float", "value": 2.5}}},
        {"type": "callback", "callback": {"id": "cb-1"}},
        {"type": "remote", "remote": {"library": "tested", "class": "Box", "id": "0.1"}},
    ]


def messages() -> list[bytes]:
    """Return messages of every kind but the one that ends the server."""
    calls: list[tuple[str, Any]] = [
        ("scriptling.handshake", {"protocol": "1.0", "host": "fuzz", "capabilities": ["big_integers"]}),
        ("environment.open", None),
        *(("function.call", {"name": "echo", "args": [value]}) for value in values()),
        ("function.call", {"name": "call", "args": values()[3:], "kwargs": {"x": values()[0]}}),
        ("object.new", {"class": "Box", "args": values()[:3]}),
        ("object.call_method", {"object_id": "0.1", "method": "get"}),
        ("object.destroy", {"object_id": "0.1"}),
        ("nothing", [1, 2]),
    ]
    texts = [
        {"jsonrpc": "2.0", "id": number, "method": name, "params": params or {}}
        for number, (name, params) in enumerate(calls)
    ]
    answers = [
        {"jsonrpc": "2.0", "id": 1, "result": {"type": "null"}},
        {"jsonrpc": "2.0", "id": 2, "error": {"code": 1, "message": "x"}},
    ]
    return [json.dumps(each).encode() for each in [*texts, *answers, texts[:4]]]


def damaged(chosen: random.Random, known: list[bytes]) -> bytes:
    text = chosen.choice(known)
    for _ in range(chosen.randrange(4)):
        at = chosen.randrange(len(text) + 1)
        end = min(len(text), at + chosen.randrange(20))
        middle = chosen.choice(
            (b"", chosen.choice(TOKENS), chosen.randbytes(3), text[at:end] * 2, chosen.choice(known))
        )
        text = text[:at] + middle + text[end:]
    return text.replace(b"plugin.shutdown", b"")


def endless(seed: int) -> Iterator[bytes]:
    chosen, known = random.Random(seed), messages()
    while True:
        yield damaged(chosen, known)


def still_answers(server: Server, name: str) -> None:
    server.send({"id": name, "method": "environment.open"})
    assert server.result(name) is None
    assert server.program.memory() < _LARGEST


@pytest.mark.parametrize(
    "steps", [20, pytest.param(3_000, marks=[getattr(pytest.mark, FULL_SCALE), pytest.mark.timeout(1200)])]
)
def test_damaged_messages_over_stdio(serve: Serve, steps: int) -> None:
    """No crash, no stall, no growth; a message of damaged ones may still be a whole one."""
    server = serve(HANDLERS, "", "--workers", "2", "--call-timeout", "1", "--max-objects", "10000")
    stream = endless(SEED)
    slowest = 0.0
    for step in range(steps):
        server.send_raw(b"\n".join(next(stream) for _ in range(STEP)))
        begun = time.monotonic()
        still_answers(server, f"alive {step}")
        slowest = max(slowest, time.monotonic() - begun)
    server.send({"id": "last", "method": "function.call", "params": server.call_params("echo", [1], {})})
    assert server.value("last") == [[1], {}]
    assert slowest < 5
    server.end()
    assert server.program.exit_code() == 0
    server.join()
    server.forgive()
