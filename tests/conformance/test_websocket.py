"""A WebSocket is a session of its own, whose objects go with it; messages are bounded, and so is what waits."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.wire.fixtures import Listen
from tests.wire.gates import WAIT, Gate
from tests.wire.network import WebSocket, call, hosting, integer, text
from tests.wire.program import DEADLINE, wait_until

HANDLERS = (
    WAIT
    + """
import logging, os
def add(a, b): return a + b
def ask(f): return f()
def log(text): logging.getLogger("mine").warning(text)
def big(size): return "x" * size
class Thing:
    def __init__(self, mark): self.mark = mark
    def hello(self): return "hello"
    def __del__(self): open(self.mark, "a").write("x")
"""
)


def test_objects_go_with_their_connection_and_with_no_other(listen: Listen, tmp_path: Path) -> None:
    port = listen(HANDLERS)
    first, second = tmp_path / "first", tmp_path / "second"
    with hosting(port, "websocket") as staying:
        kept = staying.new("Thing", str(second))
        with hosting(port, "websocket") as leaving:
            leaving.new("Thing", str(first))
        wait_until(first.exists, DEADLINE, lambda: "not destroyed")
        assert staying.method(kept, "hello") == "hello"
        assert not second.exists()


def test_shutdown_ends_what_the_session_owns_and_not_the_server(listen: Listen, tmp_path: Path) -> None:
    port = listen(HANDLERS)
    with hosting(port, "websocket") as host:
        host.new("Thing", str(tmp_path / "gone"))
        assert host.result(host.request("plugin.shutdown")) is None
        assert (tmp_path / "gone").exists()
        assert host.call("add", 3, 4) == 7
    assert port.call("add", integer(3), integer(4)).status == 200


def test_log_records_go_to_the_host_that_called(listen: Listen) -> None:
    port = listen(HANDLERS)
    with hosting(port, "websocket") as other, hosting(port, "websocket") as host:
        host.call("log", "for you")
        assert host.question()["params"]["message"] == "for you"
        assert other.questions == []


def test_callbacks_of_two_hosts_do_not_mix(listen: Listen) -> None:
    port = listen("def apply(f, x): return f(x)\n")
    with hosting(port, "websocket") as one, hosting(port, "websocket") as two:
        for number in range(20):
            assert one.call("apply", lambda x: ["one", x], number) == ["one", number]
            assert two.call("apply", lambda x: ["two", x], number) == ["two", number]


def test_calls_that_wait_are_withdrawn_with_their_connection(listen: Listen, gate: Gate, tmp_path: Path) -> None:
    """Check 17, over WebSocket."""
    port = listen(HANDLERS, "--workers", "1")
    mark = tmp_path / "mark"
    leaving = WebSocket(port)
    for number in range(10):
        leaving.send(call("wait", text(gate), text(mark), id=number))
    wait_until(mark.exists, DEADLINE, lambda: "not begun")
    leaving.end()
    wait_until(lambda: b"scriptling_sessions 0.0" in port.request("GET", "/metrics").body, DEADLINE, lambda: "not seen")
    gate.open()
    with hosting(port, "websocket") as host:
        assert host.call("add", 3, 4) == 7
    assert mark.read_text() == "x"


def test_a_host_that_answers_no_callbacks_does_not_hold_up_others(listen: Listen) -> None:
    port = listen(HANDLERS, "--workers", "1", "--callback-depth", "4")
    silent = WebSocket(port)
    callback = {"type": "callback", "callback": {"id": "never answered"}}
    for number in range(6):
        silent.send(call("ask", callback, id=number))
    asked = [silent.receive() for _ in range(4)]
    assert all(b"callback.call" in (message or b"") for message in asked)
    assert port.call("add", integer(3), integer(4)).json["result"] == integer(7)
    answers = [silent.receive() or b"" for _ in range(4)]
    assert any(b"calls of other hosts have waited too long" in answer for answer in answers)
    silent.end()


def test_there_is_no_websocket_at_other_paths(listen: Listen) -> None:
    port = listen(HANDLERS)
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{port.url.replace('http', 'ws', 1)}/jsonrpc", proxy=None)
    assert refused.value.response.status_code == 404


def test_a_message_over_the_cap_closes_the_connection(listen: Listen) -> None:
    port = listen(HANDLERS, "--max-message", "1")
    socket = WebSocket(port)
    socket.send(b'{"id":1,"method":"' + b"x" * (1 << 20) + b'"}')
    with pytest.raises(ConnectionClosed) as closed:
        socket.connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    socket.end()


def test_a_server_that_ends_says_goodbye_and_logs_no_error(listen: Listen) -> None:
    port = listen(HANDLERS)
    with hosting(port, "websocket") as host:
        assert host.call("add", 3, 4) == 7
        port.program.signal(signal.SIGTERM)
        assert port.program.exit_code() == 0
        assert "ERROR" not in port.program.all_stderr()


def test_a_host_that_does_not_read_is_given_up(listen: Listen) -> None:
    port = listen(HANDLERS, "--workers", "2", "--max-queue", "10000")
    socket = WebSocket(port, max_queue=1)
    for number in range(40):
        socket.send(
            b'{"id":%d,"method":"function.call","params":{"name":"big","args":[{"type":"int","value":8000000}]}}'
            % number
        )
    port.program.wait_for_stderr("does not read its answers")
    assert port.call("add", integer(3), integer(4)).status == 200
    assert port.program.memory() < 400 << 20
    socket.end()
