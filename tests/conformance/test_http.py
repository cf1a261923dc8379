"""``POST /json-rpc``: one message or one batch in a body, its answers in one body (protocol sections 1 and 2)."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import LIBRARY
from tests.wire.fixtures import Listen
from tests.wire.gates import PASS, Gate
from tests.wire.network import JSON, Port, ask, call, integer, on_a_port, text
from tests.wire.program import DEADLINE, Program, wait_until
from tests.wire.server import SETUP

HANDLERS = (
    PASS
    + """
def add(a, b): return a + b
def wait(path, begun):
    open(begun, "w").close()
    _pass_gate(path)
    return "done"
def note(path):
    open(path, "w").write("noted")
def apply(f): return "has begun"
def say(): print("stray text")
"""
)
HEAD = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
SEVEN = {"jsonrpc": "2.0", "id": 1, "result": integer(7)}


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    with on_a_port(LIBRARY / "setup.py", "--workers", "2") as port:
        yield port


def test_a_call_is_answered_in_the_body_of_its_request(port: Port) -> None:
    answer = port.call("add", integer(3), integer(4))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == SEVEN


def test_a_connection_serves_many_requests(port: Port) -> None:
    connection = port.connect()
    for number in range(5):
        answer = ask(connection, "POST", "/json-rpc", call("add", integer(number), integer(1)), JSON)
        assert answer.json["result"] == integer(number + 1)
        assert connection.sock is not None
    connection.close()


def test_pipelined_requests_are_answered_in_their_order(port: Port) -> None:
    with socket.create_connection(port.address, timeout=20) as connection:
        bodies = [call("add", integer(number), integer(0), id=number) for number in range(20)]
        connection.sendall(b"".join(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body) for body in bodies))
        received = b""
        while received.count(b'"jsonrpc"') < 20:
            received += connection.recv(1 << 16)
    ids = [json.loads(part.partition(b"\r\n\r\n")[2])["id"] for part in received.split(b"HTTP/1.1 200 OK")[1:]]
    assert ids == list(range(20))


def test_a_body_comes_in_pieces_too(port: Port) -> None:
    connection = port.connect()
    body = call("add", integer(3), integer(4))
    connection.request("POST", "/json-rpc", iter([body[:10], body[10:]]), JSON, encode_chunked=True)
    assert json.loads(connection.getresponse().read()) == SEVEN
    connection.close()


def test_large_messages_go_both_ways(port: Port) -> None:
    answer = port.call("echo", text("x" * 3_000_000))
    assert answer.json["result"]["value"] == "x" * 3_000_000


def test_a_batch_is_answered_by_an_array_in_its_order(port: Port) -> None:
    body = [json.loads(call("add", integer(number), integer(0), id=number)) for number in range(100)]
    answer = port.post(json.dumps(body).encode())
    assert [item["id"] for item in answer.json] == list(range(100))
    assert [item["result"]["value"] for item in answer.json] == list(range(100))


@pytest.mark.parametrize("many", [False, True])
def test_notifications_are_answered_by_nothing_and_run(listen: Listen, tmp_path: Path, many: bool) -> None:
    port = listen(HANDLERS)
    marks = [tmp_path / f"mark{number}" for number in range(3)]
    notes = [json.loads(call("note", text(mark), id=None)) for mark in marks]
    assert port.url  # while a server starts, it takes no notifications
    for body in [notes] if many else notes:
        answer = port.post(json.dumps(body).encode())
        assert (answer.status, answer.body) == (204, b"")
        assert "content-length" not in answer.headers
    wait_until(lambda: all(mark.exists() for mark in marks), DEADLINE, lambda: "not all have run")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_only_post_is_allowed(port: Port, method: str) -> None:
    answer = port.request(method, "/json-rpc")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_only_json_is_taken(port: Port, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert port.request("POST", "/json-rpc", call("add"), headers).status == 415
    assert port.post(call("add"), {"Content-Encoding": "gzip"}).status == 415


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json-rpc"])
def test_json_has_several_names(port: Port, kind: str) -> None:
    assert port.post(call("add", integer(3), integer(4)), {"Content-Type": kind}).json == SEVEN


def test_there_is_nothing_at_other_paths(port: Port) -> None:
    assert port.request("POST", "/", b"{}", JSON).status == 404
    assert port.request("GET", "/json-rpc/more").status == 404


@pytest.mark.parametrize(
    ("body", "code"), [(b"", -32700), (b"{", -32700), (b"\xff", -32700), (b"[]", -32600), (b"7", -32600)]
)
def test_what_is_no_message_is_an_error_of_json_rpc(port: Port, body: bytes, code: int) -> None:
    answer = port.post(body)
    assert (answer.status, answer.json["id"], answer.json["error"]["code"]) == (200, None, code)


def test_answers_of_a_client_answer_nothing(port: Port) -> None:
    response: dict[str, Any] = {"jsonrpc": "2.0", "id": 5, "result": None}
    answer = port.post(json.dumps(response).encode())
    assert (answer.json["id"], answer.json["error"]["code"]) == (5, -32600)
    answer = port.post(json.dumps([response, json.loads(call("add", integer(3), integer(4)))]).encode())
    assert [item.get("result") for item in answer.json] == [None, integer(7)]


def test_a_message_that_is_too_large_is_refused_before_it_has_come(listen: Listen) -> None:
    port = listen(HANDLERS, "--max-message", "1")
    with socket.create_connection(port.address, timeout=20) as connection:
        connection.sendall(HEAD + b"content-length: 2000000\r\n\r\n")
        answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"larger than 1 MiB; send less at once, or raise --max-message" in answer
    with socket.create_connection(port.address, timeout=20) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        connection.sendall(b"".join(b"80000\r\n%b\r\n" % (b" " * 0x80000) for _ in range(3)))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    assert port.call("add", integer(3), integer(4)).json == SEVEN


def test_callbacks_are_refused_before_the_handler_runs(listen: Listen) -> None:
    answer = listen(HANDLERS).call("apply", {"type": "callback", "callback": {"id": "cb-1"}})
    assert answer.json["error"]["message"] == "callbacks are not supported over http json-rpc transport"


def test_what_handlers_print_goes_to_stderr(listen: Listen) -> None:
    port = listen(HANDLERS)
    port.call("say")
    port.program.wait_for_stderr("stray text")
    port.program.signal(signal.SIGTERM)
    assert port.program.exit_code() == 0
    assert port.program.process.stdout is not None
    assert port.program.process.stdout.read() == b""


def test_the_end_of_stdin_ends_nothing(listen: Listen) -> None:
    port = listen(HANDLERS)
    assert port.program.process.stdin is not None
    port.program.process.stdin.close()
    assert port.call("add", integer(3), integer(4)).json == SEVEN


def test_shutdown_leaves_the_server_up(listen: Listen) -> None:
    port = listen(HANDLERS)
    answer = port.post(b'{"jsonrpc":"2.0","id":1,"method":"plugin.shutdown"}')
    assert answer.json["result"] is None
    assert port.call("add", integer(3), integer(4)).json == SEVEN


def test_requests_that_come_early_wait(listen: Listen, gate: Gate) -> None:
    setup = SETUP + f"plugin.register_function('add', 'handlers.add')\n{PASS}_pass_gate({str(gate)!r})\n"
    port = listen(HANDLERS, "--log-level", "debug", setup=setup)
    port.program.wait_for_stderr("listening at ")
    with ThreadPoolExecutor() as threads:
        early = threads.submit(port.call, "add", integer(3), integer(4))
        assert port.call("add", integer(3), integer(4), id=None).status == 503
        gate.open()
        assert early.result(20).json == SEVEN


def test_sigterm_refuses_new_calls_and_finishes_accepted_ones(listen: Listen, gate: Gate, tmp_path: Path) -> None:
    port = listen(HANDLERS, "--workers", "2")
    with ThreadPoolExecutor() as threads:
        accepted = threads.submit(port.call, "wait", text(gate), text(tmp_path / "begun"))
        wait_until((tmp_path / "begun").exists, DEADLINE, lambda: "not begun")
        port.program.signal(signal.SIGTERM)
        port.program.wait_for_stderr("SIGTERM")
        refused = port.call("add", integer(3), integer(4))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "shutting down" in refused.json["error"]["message"]
        gate.open()
        assert accepted.result(20).json["result"] == text("done")
    assert port.program.exit_code(5) == 0


def test_a_second_signal_ends_at_once(listen: Listen, gate: Gate, tmp_path: Path) -> None:
    port = listen(HANDLERS)
    with ThreadPoolExecutor() as threads:
        cut = threads.submit(port.call, "wait", text(gate), text(tmp_path / "begun"))
        wait_until((tmp_path / "begun").exists, DEADLINE, lambda: "not begun")
        port.program.signal(signal.SIGTERM)
        port.program.wait_for_stderr("SIGTERM")
        port.program.signal(signal.SIGINT)
        assert port.program.exit_code(2) == 130
        assert cut.exception(20) is not None


def test_an_address_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("raise SystemExit('must not run')")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        program = Program(["--server", address, "--json-rpc", "setup.py"], tmp_path)
        try:
            program.listen()
            assert program.exit_code() == 4
            assert f"cannot listen on {address}: Address already in use" in program.all_stderr()
            program.check_nothing_is_left()
        finally:
            program.destroy()
            program.close()
