"""``runtime.http`` and ``runtime.jsonrpc`` on a port (runtime.md)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from tests.wire.gates import PASS, Gate
from tests.wire.network import Port, ask, on_a_port
from tests.wire.program import DEADLINE, wait_until
from tests.wire.server import write_plugin

HANDLERS = (
    PASS
    + """
import os
import time
import scriptling.runtime.http as http

count = 0

def show(request):
    global count
    count += 1
    return {"id": request.path_params["id"], "query": request.query, "addr": request.remote_addr, "count": count}

def create(request):
    return http.json(201, {"made": request.json()}, headers={"Location": "/items/1"})

def fail(request):
    raise ValueError("the password is tiger")

def die(request):
    os._exit(3)

def hang(request):
    time.sleep(100)

def wait(request):
    open(request.query["begun"], "w").close()
    _pass_gate(request.query["gate"])
    return "done"

def note(request):
    open(request.query["path"], "w").close()

def check(request):
    if request.path == "/secret" and request.headers.get("x-token") != "1":
        return http.text(403, "no")

def secret(request):
    return "told"

def missing(request):
    return http.html(404, f"<p>{request.path} is missing")

def add(params):
    return sum(params)
"""
)
SETUP = """
import scriptling.runtime as runtime
import scriptling.runtime.http as http
import scriptling.runtime.jsonrpc as rpc
http.middleware("handlers.check")
http.get("/items/{id}", "handlers.show")
http.post("/items", "handlers.create")
http.get("/fail", "handlers.fail")
http.get("/die", "handlers.die")
http.get("/hang", "handlers.hang", timeout=0.2)
http.get("/wait", "handlers.wait")
http.get("/note", "handlers.note")
http.get("/secret", "handlers.secret")
http.static("/files", "files")
http.not_found("handlers.missing")
rpc.method("add", "handlers.add")

@http.route("/by/value", methods=["GET", "PUT"])
async def by_value(request):
    return [request.method, request.body]

runtime.start_server()
"""


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def write(folder: Path) -> Path:
    (folder / "files").mkdir()
    (folder / "files" / "a.txt").write_text("0123456789")
    return write_plugin(folder, HANDLERS, SETUP)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with on_a_port(write(tmp_path_factory.mktemp("web")), "--workers", "2") as port:
        yield port


def test_requests_are_handled_each_in_a_fresh_namespace(port: Port) -> None:
    connection = port.connect()
    for _ in range(3):
        answer = ask(connection, "GET", "/items/7?a=1&a=2")
        assert answer.status == 200
        assert answer.json == {"id": "7", "query": {"a": "1"}, "addr": "127.0.0.1", "count": 1}
    connection.close()


def test_bodies_and_responses(port: Port) -> None:
    answer = port.request("POST", "/items", json.dumps({"name": "ä"}).encode())
    assert (answer.status, answer.headers["location"], answer.json) == (201, "/items/1", {"made": {"name": "ä"}})
    assert port.request("PUT", "/by/value", b"text").json == ["PUT", "text"]
    assert port.request("POST", "/items", b"{").status == 400


def test_head_and_other_methods(port: Port) -> None:
    head = port.request("HEAD", "/items/7")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    refused = port.request("DELETE", "/by/value")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, PUT")


def test_a_handler_that_raises_is_a_500_without_its_insides(port: Port) -> None:
    answer = port.request("GET", "/fail")
    assert answer.status == 500
    assert b"tiger" not in answer.body
    port.program.wait_for_stderr("ValueError: the password is tiger")


def test_deaths_and_time_outs_cost_only_their_request(port: Port) -> None:
    assert port.request("GET", "/die").status == 502
    assert port.request("GET", "/hang").status == 504
    assert port.request("GET", "/items/7").status == 200


def test_middleware_and_the_handler_for_what_is_missing(port: Port) -> None:
    assert port.request("GET", "/secret").status == 403
    assert port.request("GET", "/secret", headers={"X-Token": "1"}).json == "told"
    answer = port.request("GET", "/nowhere")
    assert (answer.status, answer.body) == (404, b"<p>/nowhere is missing")


def test_files(port: Port) -> None:
    part = port.request("GET", "/files/a.txt", headers={"Range": "bytes=1-3"})
    assert (part.status, part.body) == (206, b"123")
    assert port.request("GET", "/files/../handlers.py").status == 404
    assert port.request("GET", "/files/%2e%2e/handlers.py").status == 404


def test_plain_methods_at_json_rpc(port: Port) -> None:
    answer = port.post(b'{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}')
    assert (answer.status, answer.json) == (200, {"jsonrpc": "2.0", "id": 1, "result": 3})
    batch: list[Any] = [{"id": 1, "method": "add", "params": [1]}, {"method": "add"}, {"id": 2, "method": "none"}]
    answers = port.post(json.dumps(batch).encode()).json
    assert [each["id"] for each in answers] == [1, 2]
    assert answers[1]["error"]["code"] == -32601
    assert port.post(b'{"jsonrpc":"2.0","method":"add","params":[1,2]}').status == 204


def test_plain_methods_over_a_websocket(port: Port) -> None:
    with connect(port.url.replace("http", "ws", 1) + "/json-rpc", open_timeout=DEADLINE) as client:
        client.send('{"jsonrpc":"2.0","method":"add","params":[1]}')
        client.send('{"jsonrpc":"2.0","id":"x","method":"add","params":[1,2]}')
        assert json.loads(client.recv(timeout=DEADLINE)) == {"jsonrpc": "2.0", "id": "x", "result": 3}


METHODS = st.sampled_from(["add", "none", "", "scriptling.handshake"]) | st.text(max_size=10)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
MESSAGES = st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "method": METHODS, "id": ANY_JSON, "params": ANY_JSON})


@given(body=st.binary(max_size=100) | (MESSAGES | st.lists(MESSAGES, max_size=3) | ANY_JSON).map(to_json))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_message_is_an_error_of_the_server(port: Port, body: bytes) -> None:
    answer = port.post(body)
    assert answer.status in {200, 204}
    answers = answer.json if answer.body else []
    for each in answers if isinstance(answers, list) else [answers]:
        assert each.get("error", {}).get("code") != -32603


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"]),
    path=st.sampled_from(["/items", "/items/%00", "/by/value"])
    | st.text(max_size=20).map(lambda text: quote(f"/{text}")),
    body=st.binary(max_size=50),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_is_an_error_of_the_server(port: Port, method: str, path: str, body: bytes, header: str) -> None:
    headers = {"X-Any": header, "Range": header, "Content-Type": header, "Cookie": header}
    assert port.request(method, path, body, headers).status < 500


def test_a_client_that_goes_away_takes_its_queued_request_with_it(tmp_path: Path, gate: Gate) -> None:
    begun, noted = tmp_path / "begun", tmp_path / "noted"
    with on_a_port(write(tmp_path), "--workers", "1") as port:
        waiting, leaving = port.connect(), port.connect()
        waiting.request("GET", f"/wait?begun={begun}&gate={gate}")
        wait_until(begun.exists, DEADLINE, lambda: "the first request did not begin")
        leaving.request("GET", f"/note?path={noted}")
        leaving.close()
        for _ in range(3):  # which need no worker, and by which the server has seen the other connection end
            assert port.post(b"{").status == 200
        gate.open()
        assert waiting.getresponse().status == 200
        waiting.close()
        assert port.request("GET", "/items/1").status == 200
    assert not noted.exists()


def test_accepted_requests_are_finished_at_the_end(tmp_path: Path, gate: Gate) -> None:
    begun = tmp_path / "begun"
    with on_a_port(write(tmp_path), "--workers", "2") as port:
        connection = port.connect()
        connection.request("GET", f"/wait?begun={begun}&gate={gate}")
        wait_until(begun.exists, DEADLINE, lambda: "the request did not begin")
        port.program.signal(signal.SIGTERM)
        port.program.wait_for_stderr("SIGTERM")
        gate.open()
        assert json.loads(connection.getresponse().read()) == "done"
        connection.close()
        assert port.program.exit_code() == 0


def test_without_json_rpc_there_are_routes_only(tmp_path: Path) -> None:
    with on_a_port(write(tmp_path), "--workers", "1", json_rpc=False) as port:
        assert port.request("GET", "/items/1").status == 200
        assert port.post(b'{"jsonrpc":"2.0","id":1,"method":"add","params":[1]}').status == 404
        assert "because --json-rpc was not given: add" in port.program.stderr


def test_requests_that_come_before_the_server_has_started_wait(tmp_path: Path, gate: Gate) -> None:
    setup = f"{PASS}\n_pass_gate({str(gate)!r})\n{SETUP}"
    (tmp_path / "files").mkdir()
    with on_a_port(write_plugin(tmp_path, HANDLERS, setup), "--log-level", "debug") as port:
        port.program.wait_for_stderr("listening at")
        connection = port.connect()
        connection.request("GET", "/items/1")
        gate.open()
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("", "declared nothing to serve: register routes"),
        ("import scriptling.runtime.http as h\nh.get('/a', 'nosuch.f')", "GET /a: no handler nosuch.f: there is no"),
        ("import scriptling.runtime.http as h\nh.static('/a', 'nosuch')", "is not a folder"),
    ],
)  # fmt: skip
def test_a_server_without_anything_to_serve_ends(tmp_path: Path, setup: str, words: str) -> None:
    with on_a_port(write_plugin(tmp_path, "", setup or "x = 1"), json_rpc=False) as port:
        assert port.program.exit_code() == 3
        assert words in port.program.all_stderr()
