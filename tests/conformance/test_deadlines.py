"""Deadlines that a caller sets for one call: they cut it off, name it, and cost nobody else anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.server import Serve, Server

TIMED_OUT = -32002
INVALID_PARAMS = -32602

SLOW = """\
import time
def add(a, b): return a + b
def sleep(): time.sleep(60)
class Thing:
    def __init__(self, slow=False):
        if slow: time.sleep(60)
    def sleep(self): time.sleep(60)
    def get(self): return 1
"""


def test_a_function_that_runs_beyond_its_deadline_is_cut_off(serve: Serve) -> None:
    server = serve(SLOW, "", "--workers", "2")
    slow = server.request("function.call", {"name": "sleep", "timeout": 0.2})
    failure = server.failure(slow, 5)
    assert (failure.code, "sleep did not return within 0.2 s" in failure.message) == (TIMED_OUT, True)
    assert server.call("add", 1, 2) == 3


def test_methods_and_constructors_have_deadlines_too(serve: Serve) -> None:
    server = serve(SLOW, "", "--workers", "1")
    thing, other = server.new("Thing"), server.new("Thing")
    slow = server.request("object.call_method", {"object_id": thing.id, "method": "sleep", "timeout": 0.2})
    params = {"class": "Thing", "args": [{"type": "bool", "value": True}], "timeout": 0.2}
    made = server.request("object.new", params)
    assert "Thing.sleep did not return within 0.2 s" in server.failure(slow, 5).message
    failure = server.failure(made, 5)
    assert (failure.code, "constructor of Thing" in failure.message) == (TIMED_OUT, True)
    assert server.method(other, "get") == 1


def test_the_servers_own_bound_stays(serve: Serve) -> None:
    server = serve(SLOW, "", "--workers", "1", "--call-timeout", "0.2")
    slow = server.request("function.call", {"name": "sleep", "timeout": 50})
    assert "within 0.2 s" in server.failure(slow, 5).message


def test_a_call_within_its_deadline_is_answered(server: Server) -> None:
    params = {"name": "add", "args": [{"type": "int", "value": 1}, {"type": "int", "value": 2}]}
    for timeout in (10, 2.5, None):
        assert server.value(server.request("function.call", {**params, "timeout": timeout})) == 3


@pytest.mark.parametrize("timeout", [0, -1, "soon", True, [], {}])
def test_a_deadline_that_is_no_time_is_refused(server: Server, timeout: Any) -> None:
    failure = server.failure(server.request("function.call", {"name": "add", "timeout": timeout}))
    assert failure.code == INVALID_PARAMS
    assert "params.timeout" in failure.message


def test_a_server_says_that_it_takes_deadlines(server: Server) -> None:
    assert "call_timeout" in server.handshake()["capabilities"]
