"""JSON-RPC 2.0 as the program speaks it: ids, notifications, batches, codes (protocol sections 1 and 2)."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.wire.gates import PASS, Gate
from tests.wire.server import Serve, Server

ECHO = {"jsonrpc": "2.0", "method": "function.call", "params": {"name": "echo", "args": [{"type": "int", "value": 5}]}}
FIVE = {"type": "int", "value": 5}

IDS = [
    *("0", '""', "-1", "1.5", "7e2", '"a\\u00e9\\n"', "12345678901234567890123456789", '"5"', '"null"'),
    *("1.0", "9007199254740993", '"' + "x" * 10_000 + '"'),
]


@pytest.mark.parametrize("id", IDS, ids=lambda id: id[:30])
def test_answer_has_the_id_exactly_as_it_came(serve: Serve, id: str) -> None:
    server = serve("def echo(x): return x")
    server.keep_lines = True
    text = json.dumps({**ECHO, "id": "ID"}).replace('"ID"', id)
    server.expect(json.loads(id))
    server.send_raw(text.encode())
    assert server.result(json.loads(id)) == FIVE
    assert f'"id":{id},'.encode() in server.lines[-1] or json.loads(id) == "aé\n"


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"name": "boom", "args": [{"type": "string", "value": "x"}]}},
        {"method": "no.such"},
        {"params": 5},
        {},
    ],
    ids=["raises", "unknown method", "bad params", "fine"],
)
def test_notification_is_never_answered_not_even_with_an_error(server: Server, change: dict[str, Any]) -> None:
    known = len(server.anonymous)
    server.send({**ECHO, **change})
    assert server.call("echo", "after") == "after"  # answers may overtake one another, so the end is checked as well
    assert len(server.anonymous) == known


def test_notification_runs(serve: Serve) -> None:
    server = serve("def call(f): f('ran')")
    ran = threading.Event()
    params = server.call_params("call", [lambda text: ran.set()], {})
    server.send({"jsonrpc": "2.0", "method": "function.call", "params": params})
    assert ran.wait(20)
    assert server.anonymous == []


def test_missing_jsonrpc_member_is_tolerated(server: Server) -> None:
    server.expect("bare")
    server.send({"id": "bare", "method": "function.call", "params": ECHO["params"]})
    assert server.result("bare") == FIVE


def test_params_may_be_absent(server: Server) -> None:
    assert server.result(server.request("environment.open")) is None
    assert server.result(server.request("environment.close")) is None


def test_null_args_and_kwargs_count_as_absent(server: Server) -> None:
    id = server.request("function.call", {"name": "echo", "args": None, "kwargs": None})
    assert server.value(id) == [[], {}]


def test_unknown_members_are_ignored(server: Server) -> None:
    id = server.request("function.call", {"name": "echo", "args": [FIVE], "trace": {"a": [1]}})
    assert server.result(id) == FIVE


@pytest.mark.lines
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\n\n \n\r\n"], ids=["LF", "CR LF", "blank lines"])
def test_lines_may_end_in_crlf_and_blank_ones_are_skipped(server: Server, line_end: bytes) -> None:
    known = len(server.anonymous)
    message = server.new_request("function.call", ECHO["params"])
    server.stdio.write(json.dumps(message).encode() + line_end)
    assert server.result(message["id"]) == FIVE
    assert len(server.anonymous) == known


@pytest.mark.lines
def test_message_may_come_in_pieces_of_one_byte(server: Server) -> None:
    message = server.new_request("function.call", ECHO["params"])
    for byte in json.dumps(message).encode() + b"\n":
        server.stdio.write(bytes([byte]))
    assert server.result(message["id"]) == FIVE


BROKEN: list[tuple[str, Any, int]] = [
    ("{", None, -32700),
    ("nonsense", None, -32700),
    ("5", None, -32600),
    ('"text"', None, -32600),
    ("null", None, -32600),
    ("[]", None, -32600),
    ('{"jsonrpc":"2.0","id":"E","method":5}', "E", -32600),
    ('{"jsonrpc":"1.0","id":"E","method":"environment.open"}', "E", -32600),
    ('{"jsonrpc":2,"id":"E","method":"environment.open"}', "E", -32600),
    ('{"jsonrpc":"2.0","id":"E","method":"environment.open","params":5}', "E", -32600),
    ('{"jsonrpc":"2.0","id":"E","method":"environment.open","params":"x"}', "E", -32600),
    ('{"jsonrpc":"2.0","id":[1],"method":"environment.open"}', None, -32600),
    ('{"jsonrpc":"2.0","id":{},"method":"environment.open"}', None, -32600),
    ('{"jsonrpc":"2.0","id":true,"method":"environment.open"}', None, -32600),
    ('{"jsonrpc":"2.0","id":"E","method":"no.such"}', "E", -32601),
    ('{"jsonrpc":"2.0","id":"E","method":""}', "E", -32601),
    ('{"jsonrpc":"2.0","id":"E","method":"function.call","params":[1]}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"function.call"}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"function.call","params":{"name":5}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"function.call","params":{"name":"echo","args":5}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"function.call","params":{"name":"echo","args":[5]}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"function.call","params":{"name":"echo","kwargs":[]}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"function.call","params":{"name":"echo","args":[{"type":"x"}]}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"object.new","params":{}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"object.call_method","params":{"object_id":1,"method":"m"}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"object.call_method","params":{"object_id":"1"}}', "E", -32602),
    ('{"jsonrpc":"2.0","id":"E","method":"object.destroy","params":{}}', "E", -32602),
]


@pytest.mark.parametrize(("text", "id", "code"), BROKEN, ids=lambda value: str(value)[:60])
def test_each_broken_message_gets_its_code_and_the_next_one_is_served(
    server: Server, text: str, id: Any, code: int
) -> None:
    known = len(server.anonymous)
    if id is None:
        server.send_raw(text.encode())
        server.wait_for(lambda: len(server.anonymous) > known, 20, "an answer without id")
        error = server.anonymous[known]["error"]
    else:
        name = f"broken {text}"
        server.expect(name)
        server.send_raw(text.replace('"E"', json.dumps(name)).encode())
        error = server.answer(name)["error"]
    assert error["code"] == code
    assert len(error["message"]) > 5
    assert server.call("echo", "next") == "next"


@pytest.mark.conversation
def test_answers_to_nothing_are_ignored(server: Server) -> None:
    known = len(server.anonymous)
    for message in ({"id": 99_999, "result": 1}, {"id": "E"}, {"id": None, "result": 1}, {"error": {"code": 1}}):
        server.send({"jsonrpc": "2.0", **message})
    assert server.call("echo", "next") == "next"
    assert len(server.anonymous) == known


def test_batch_is_answered_by_one_array_in_the_order_of_the_requests(server: Server) -> None:
    """Whatever order they finish in: the first takes longest."""
    messages = [
        server.new_request("function.call", server.call_params("pause", [0.2], {})),
        server.new_request("function.call", server.call_params("boom", ["bad"], {})),
        server.new_request("function.call", server.call_params("echo", [1], {})),
        server.new_request("no.such"),
        server.new_request("environment.open"),
    ]
    answers = server.batch(messages)
    assert [answer["id"] for answer in answers] == [message["id"] for message in messages]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32000, None, -32601, None]


def test_batch_runs_concurrently(serve: Serve, gate: Gate) -> None:
    """Both wait at the gate at once, which the test opens when both have said so."""
    server = serve(PASS + "def wait(path, f):\n    f()\n    _pass_gate(path)", "", "--workers", "2")
    arrived = threading.Barrier(3)
    params = [server.call_params("wait", [str(gate), lambda: arrived.wait(20) and None], {}) for _ in range(2)]
    known = len(server.arrays)
    server.send([server.new_request("function.call", each) for each in params])
    arrived.wait(20)
    gate.open()
    server.wait_for(lambda: len(server.arrays) > known, 20, "the array")


def test_batch_of_one_is_answered_by_an_array(server: Server) -> None:
    message = server.new_request("environment.open")
    assert server.batch([message]) == [{"jsonrpc": "2.0", "id": message["id"], "result": None}]


def test_batch_of_notifications_is_not_answered(server: Server) -> None:
    known = len(server.arrays)
    server.send([ECHO, ECHO, {**ECHO, "method": "no.such"}])
    assert server.call("echo", "after") == "after"
    assert len(server.arrays) == known


@pytest.mark.conversation
def test_items_of_a_batch_that_are_no_requests_get_errors_of_their_own(server: Server) -> None:
    message = server.new_request("function.call", ECHO["params"])
    answers = server.batch([1, "x", message, [], {"id": "bad"}, ECHO, {"jsonrpc": "2.0", "id": "m", "method": 1}])
    server.expect("m")
    found = [(answer["id"], answer.get("error", {}).get("code")) for answer in answers]
    assert found[:4] == [(None, -32600), (None, -32600), (message["id"], None), (None, -32600)]
    assert found[-1] == ("m", -32600)


def test_slow_call_does_not_hold_back_a_fast_one(serve: Serve, gate: Gate) -> None:
    """Answers come in any order: the first call ends last."""
    server = serve(PASS + "def wait(path): _pass_gate(path)\ndef echo(x): return x", "", "--workers", "2")
    slow = server.begin("wait", str(gate))
    assert [server.call("echo", number) for number in range(20)] == list(range(20))
    assert not server.answered(slow)
    gate.open()
    assert server.value(slow) is None


def test_the_error_for_an_unknown_method_lists_those_there_are(server: Server) -> None:
    failure = server.failure(server.request("no.such"))
    assert failure.code == -32601
    assert "no.such" in failure.message
