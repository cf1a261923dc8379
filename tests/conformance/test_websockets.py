"""``runtime.http.websocket`` on a port: handlers live as long as their connections, and keep no worker (runtime.md)."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.wire.network import Port, on_a_port
from tests.wire.program import DEADLINE, wait_until
from tests.wire.server import write_plugin

HANDLERS = """
import os
import time
import scriptling.runtime.http as http

def check(request):
    if "no" in request.query:
        return http.text(401, "no")

def echo(client):
    client.send({"room": client.request.path_params["room"], "addr": client.remote_addr, "pid": os.getpid()})
    while client.connected():
        message = client.receive(timeout=60)
        if isinstance(message, bytes):
            client.send_binary(message)
        elif message is not None:
            client.send(message)

def act(client):
    what = client.receive()
    if what == "raise":
        raise ValueError("the password is tiger")
    if what == "die":
        os._exit(3)
    if what == "close":
        client.close()
    if what == "wait":
        client.send(repr(client.receive(timeout=0.01)))

def flood(client):
    path = client.request.query["path"]
    try:
        while True:
            client.send("x" * 1000)
    finally:
        open(path, "w").close()

def stay(client):
    open(client.request.query["path"], "w").write(str(os.getpid()))
    while True:
        time.sleep(1)

def hello(request):
    return "hello"
"""
SETUP = """
import scriptling.runtime.http as http
http.middleware("handlers.check")
for name in ("act", "flood", "stay"):
    http.websocket(f"/{name}", f"handlers.{name}")
http.websocket("/rooms/{room}", "handlers.echo")
http.get("/hello", "handlers.hello")
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    setup = write_plugin(tmp_path_factory.mktemp("sockets"), HANDLERS, SETUP)
    with on_a_port(setup, "--workers", "2", json_rpc=False) as port:
        yield port


def open_at(port: Port, path: str) -> ClientConnection:
    return connect(port.url.replace("http", "ws", 1) + path, open_timeout=DEADLINE, close_timeout=DEADLINE)


def received(client: ClientConnection) -> Any:
    return client.recv(timeout=DEADLINE)


def closed(client: ClientConnection) -> int | None:
    """Wait for the end of a connection, and return its code."""
    with pytest.raises(ConnectionClosed) as caught:
        received(client)
    return caught.value.rcvd.code if caught.value.rcvd else None


def test_text_bytes_and_json_go_both_ways(port: Port) -> None:
    with open_at(port, "/rooms/7") as client:
        first = json.loads(received(client))
        assert (first["room"], first["addr"]) == ("7", "127.0.0.1")
        for message in ("ä", b"\xff\x00", "", "x" * 1_000_000):
            client.send(message)
            assert received(client) == message


@pytest.mark.parametrize(("what", "code"), [("close", 1000), ("return", 1000), ("raise", 1011), ("die", 1011)])
def test_a_connection_ends_as_its_handler_does(port: Port, what: str, code: int) -> None:
    with open_at(port, "/act") as client:
        client.send(what)
        assert closed(client) == code
    if what == "raise":
        port.program.wait_for_stderr("ValueError: the password is tiger")


def test_nothing_comes_within_the_time(port: Port) -> None:
    with open_at(port, "/act") as client:
        client.send("wait")
        assert received(client) == "None"


@pytest.mark.parametrize(("path", "status"), [("/act?no", 401), ("/nowhere", 404), ("/hello", 404)])
def test_what_is_refused_never_becomes_a_websocket(port: Port, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        open_at(port, path)
    assert caught.value.response.status_code == status


def test_fifty_handlers_keep_two_workers_from_nobody(port: Port) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(open_at(port, f"/rooms/{number}")) for number in range(50)]
        pids = {json.loads(received(client))["pid"] for client in clients}
        assert len(pids) == 50
        for _ in range(20):
            assert port.request("GET", "/hello").json == "hello"
        for client in clients:
            client.send("still there")
        assert [received(client) for client in clients] == ["still there"] * 50


def test_a_handler_that_sends_learns_that_its_client_has_gone(port: Port, tmp_path: Path) -> None:
    path = tmp_path / "ended"
    with open_at(port, f"/flood?path={path}") as client:
        assert received(client) == "x" * 1000
    wait_until(path.exists, DEADLINE, lambda: "the handler did not end")
    assert "ClientGone" not in port.program.stderr


def test_a_handler_that_does_not_care_is_ended(port: Port, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with open_at(port, f"/stay?path={path}"):
        wait_until(lambda: path.exists() and bool(path.read_text()), DEADLINE, lambda: "the handler did not begin")
    wait_until(lambda: not Path(f"/proc/{path.read_text()}").exists(), DEADLINE, lambda: "the handler did not end")
    assert port.request("GET", "/hello").status == 200


def test_a_server_that_ends_ends_its_websockets(tmp_path: Path) -> None:
    with on_a_port(write_plugin(tmp_path, HANDLERS, SETUP), "--workers", "1", json_rpc=False) as port:
        with open_at(port, "/rooms/1") as client:
            received(client)
            port.program.signal(signal.SIGTERM)
            assert closed(client) == 1001
        assert port.program.exit_code() == 0


def test_no_more_than_may_be_parked(tmp_path: Path) -> None:
    setup = write_plugin(tmp_path, HANDLERS, SETUP)
    with on_a_port(setup, "--max-parked", "1", json_rpc=False) as port, open_at(port, "/rooms/1") as client:
        received(client)
        with pytest.raises(InvalidStatus) as caught:
            open_at(port, "/rooms/2")
        assert caught.value.response.status_code == 503
