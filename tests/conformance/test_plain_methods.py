"""A setup script without ``plugin.serve()``: ``runtime.jsonrpc`` as a plain JSON-RPC 2.0 server (runtime.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.server import Serve, Server, running, write_plugin

HANDLERS = """
import math
import os
import time

def echo(params):
    return params

def add(params):
    return params["a"] + params["b"]

def refuse(params):
    from scriptling.runtime.jsonrpc import error
    if params == ["raise"]:
        raise error(-5, "raised")
    return error(42, "no more", {"left": [1, None]})

def fail(params):
    raise ValueError("bad thing")

def unsendable(params):
    return {"list": [1, {"bad": {"nan": math.nan, "set": {1}, "bytes": b"x"}[params[0]]}]}

def keep(params):
    with open(params["path"], "w") as file:
        file.write(f"kept {params['text']}")

def note(params):
    print("noted", params, flush=True)
    raise ValueError("nobody is told")

async def later(params):
    return "later"

def die(params):
    os._exit(7)

def sleep(params):
    time.sleep(100)
"""
SETUP = """
import scriptling.runtime as runtime
import scriptling.runtime.jsonrpc as rpc
for name in ("echo", "add", "refuse", "fail", "unsendable", "later", "die"):
    rpc.method(name, f"handlers.{name}")
rpc.method("sleep", "handlers.sleep", timeout=0.2)
rpc.method("both", lambda params: ["method", params])
rpc.notification("both", "handlers.note")
rpc.notification("keep", "handlers.keep")

@rpc.method
def decorated(params):
    return [params, __name__ is not None]

runtime.start_server()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(write_plugin(tmp_path_factory.mktemp("plain"), HANDLERS, SETUP), "--workers", "2") as server:
        yield server


@pytest.mark.parametrize("params", [[], [1, "two", None, [3.5]], {}, {"a": {"b": [True]}, "größe": "ä"}])
def test_params_are_the_one_argument_and_results_plain_json(server: Server, params: Any) -> None:
    assert server.result(server.request("echo", params)) == params


def test_absent_params_are_none(server: Server) -> None:
    assert server.result(server.request("echo")) is None


def test_named_params(server: Server) -> None:
    assert server.result(server.request("add", {"a": 2**70, "b": 1})) == 2**70 + 1


def test_functions_by_value_and_coroutines(server: Server) -> None:
    assert server.result(server.request("decorated", [1])) == [[1], True]
    assert server.result(server.request("both", [1])) == ["method", [1]]
    assert server.result(server.request("later")) == "later"


def test_a_returned_error_is_an_error_response(server: Server) -> None:
    failure = server.failure(server.request("refuse"))
    assert (failure.code, failure.message, failure.data) == (42, "no more", {"left": [1, None]})


def test_a_raised_error_is_too(server: Server) -> None:
    failure = server.failure(server.request("refuse", ["raise"]))
    assert (failure.code, failure.message, failure.data) == (-5, "raised", None)


def test_an_exception_is_an_error_with_its_text(server: Server) -> None:
    failure = server.failure(server.request("fail"))
    assert (failure.code, failure.message, failure.data["type"]) == (-32000, "bad thing", "ValueError")


@pytest.mark.parametrize(("which", "what"), [("nan", "the float nan"), ("set", "set"), ("bytes", "bytes")])
def test_a_result_that_is_no_json_is_an_error_that_names_the_place(server: Server, which: str, what: str) -> None:
    failure = server.failure(server.request("unsendable", [which]))
    assert (failure.code, failure.message) == (-32000, f"cannot send {what} at result['list'][1]['bad']")


@pytest.mark.parametrize("method", ["nobody", "keep", "scriptling.handshake", "function.call", "plugin.shutdown"])
def test_other_methods_are_not_found(server: Server, method: str) -> None:
    failure = server.failure(server.request(method, {}))
    assert failure.code == -32601
    assert failure.message.startswith(f"unknown method {method} (available: add, both, decorated, ")


def test_notifications_run_and_are_never_answered(server: Server, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    server.send({"jsonrpc": "2.0", "method": "keep", "params": {"path": str(kept), "text": "this"}})
    server.send({"jsonrpc": "2.0", "method": "both", "params": [1]})
    server.send({"jsonrpc": "2.0", "method": "echo", "params": [1]})  # only a method
    server.send({"jsonrpc": "2.0", "method": "nobody"})
    server.program.wait_for_stderr("nobody is told")
    server.program.wait_for_stderr("noted [1]")
    while not (kept.exists() and kept.read_text() == "kept this"):
        server.result(server.request("echo"))
    assert server.anonymous == []


def test_a_batch_is_answered_in_its_order(server: Server) -> None:
    first, second = server.new_request("echo", [1]), server.new_request("nobody")
    third = {"jsonrpc": "2.0", "method": "echo"}
    answers = server.batch([first, third, second])
    assert [each["id"] for each in answers] == [first["id"], second["id"]]
    assert answers[0]["result"] == [1]
    assert answers[1]["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"{", -32700), (b"[]", -32600), (b'{"jsonrpc":"2.0","id":null,"params":3,"method":"echo"}', -32600)],
)
def test_what_is_no_request_is_answered_as_anywhere(server: Server, text: bytes, code: int) -> None:
    known = len(server.anonymous)
    server.expect(None)
    server.send_raw(text)
    server.wait_for(lambda: len(server.anonymous) > known, 20, "an error under null")
    assert server.anonymous[known]["error"]["code"] == code


def test_depth_is_bounded(server: Server) -> None:
    deep = json.loads("[" * 128 + "]" * 128)
    assert server.result(server.request("echo", deep)) == deep
    failure = server.failure(server.request("echo", [deep]))
    assert (failure.code, failure.message) == (-32602, "params has too many levels of nesting; at most 128 are taken")


def test_a_death_and_a_time_out_cost_only_their_call(server: Server) -> None:
    dead, late, well = server.request("die"), server.request("sleep"), server.request("echo", [1])
    assert server.failure(dead).code == -32001
    assert server.failure(late).message.startswith("sleep did not return within 0.2 s")
    assert server.result(well) == [1]


def test_with_a_plugin_the_methods_are_not_served(serve: Serve) -> None:
    server = serve(
        "def f(): return 1",
        """
        import scriptling.runtime.jsonrpc as rpc
        import scriptling.runtime.plugin as plugin
        plugin.serve("both")
        plugin.register_function("f", "handlers.f")
        rpc.method("m", "handlers.f")
        """,
    )
    assert server.call("f") == 1
    assert server.failure(server.request("m")).code == -32601
    assert "these methods of runtime.jsonrpc are not served" in server.stop()


def test_functions_without_a_plugin_are_not_served(serve: Serve) -> None:
    server = serve(
        "def f(params): return 1\nclass C: pass",
        """
        import scriptling.runtime.jsonrpc as rpc
        import scriptling.runtime.plugin as plugin
        plugin.register_function("f", "handlers.f")
        plugin.register_class("handlers.C")
        rpc.method("m", "handlers.f")
        """,
    )
    assert server.result(server.request("m")) == 1
    assert "are not served, because plugin.serve() was not called: f, C" in server.stop()
