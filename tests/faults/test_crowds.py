"""Clients of a port that leave, and too many of them (faults, checks 17, 21 and 36)."""

from __future__ import annotations

import http.client
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.faults.at_a_port import ADD, HANDLERS, HEAD, SEVEN, raw, timed, trusting
from tests.faults.figures import Figures
from tests.wire.fixtures import Listen
from tests.wire.gates import Gate
from tests.wire.network import JSON, Port, ask, call, text
from tests.wire.program import DEADLINE, wait_until
from tests.wire.server import SETUP, registrations


def test_queued_calls_of_a_client_that_goes_away_never_run(
    listen: Listen, gate: Gate, figures: Figures, tmp_path: Path
) -> None:
    """Check 17."""
    port = listen(HANDLERS, "--workers", "1")
    mark = tmp_path / "mark"
    body = call("wait", text(gate), text(mark))
    connections = []
    for _ in range(10):
        connection = socket.create_connection(port.address, timeout=DEADLINE)
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        connections.append(connection)
    wait_until(mark.exists, DEADLINE, lambda: "not begun")
    for connection in connections:
        connection.close()
    assert port.request("GET", "/health").status == 200  # read after the ends of the others
    gate.open()
    assert port.post(ADD).json["result"] == SEVEN
    figures.count(17, "queued calls of 9 clients that have gone: not run", 10 - len(mark.read_text()), 9)


def half_closing(stack: ExitStack, port: Port, body: bytes) -> socket.socket:
    """Post a message on a connection of its own, and close the side that it was sent by."""
    connection = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
    connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    connection.shutdown(socket.SHUT_WR)
    return connection


def all_of(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as received:
        return received.read()


def test_a_client_that_sends_no_more_is_answered_and_closed_if_its_call_has_begun(
    listen: Listen, gate: Gate, tmp_path: Path
) -> None:
    """It cannot be told from one that has gone before something is written to it, so that queued calls never run."""
    port = listen(HANDLERS, "--workers", "1")
    mark = tmp_path / "mark"
    body = call("wait", text(gate), text(mark))
    assert port.post(ADD).json["result"] == SEVEN  # there is a worker, and it is free
    with ExitStack() as stack:
        answer = all_of(half_closing(stack, port, ADD))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"value":7' in answer
        running = half_closing(stack, port, body)
        wait_until(mark.exists, DEADLINE, lambda: "not begun")
        refused = all_of(half_closing(stack, port, body))
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"keep it open until the answer comes" in refused
        gate.open()
        assert all_of(running).startswith(b"HTTP/1.1 200 ")
    assert port.post(ADD).json["result"] == SEVEN
    assert mark.read_text() == "x"


QUEUES = """
from pathlib import Path
from scriptling.runtime import sync
def add(a, b): return a + b
def consume(mark):
    Path(mark).touch()
    try:
        return sync.Queue("jobs").get()
    except Exception as error:
        Path(mark).write_text(str(error))
        raise
def produce(item): sync.Queue("jobs").put(item)
"""


def test_a_client_that_goes_away_takes_nothing_from_a_queue_any_more(listen: Listen, tmp_path: Path) -> None:
    port = listen(QUEUES, "--workers", "1")
    mark = tmp_path / "mark"
    body = call("consume", text(mark))
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        wait_until(mark.exists, DEADLINE, lambda: "not begun")
    wait_until(lambda: "has gone away" in mark.read_text(), DEADLINE, lambda: "it still waits")
    port.post(call("produce", text(tmp_path)))
    kept = port.post(call("consume", text(tmp_path / "another")))
    assert kept.json["result"]["value"] == str(tmp_path)


def test_the_excess_of_a_burst_is_refused_at_once(listen: Listen, gate: Gate, figures: Figures, tmp_path: Path) -> None:
    """Check 21, over HTTP."""
    port = listen(HANDLERS, "--workers", "1", "--max-queue", "5")
    body = call("wait", text(gate), text(tmp_path / "mark"))
    with ThreadPoolExecutor(40) as threads:
        burst = [threads.submit(port.post, body) for _ in range(40)]
        wait_until(lambda: sum(each.done() for each in burst) >= 30, DEADLINE, lambda: "the excess is not refused")
        times = [timed(lambda: port.post(body)) for _ in range(50)]
        gate.open()
        answers = [each.result(DEADLINE) for each in burst]
    refused = [answer for answer in answers if answer.status == 503]
    assert len(refused) >= 30
    figures.at_most(21, "over HTTP, queue full: 503 after (slowest of 50)", max(times), 0.05, room=40)
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert all("overloaded" in answer.json["error"]["message"] for answer in refused)


def test_batches_wait_as_one_request_each(listen: Listen, gate: Gate, tmp_path: Path) -> None:
    """Clients that wait for their answers are not refused for having asked for much at once."""
    routes = (
        SETUP + registrations(HANDLERS) + "import scriptling.runtime.http as http\nhttp.get('/page', 'handlers.page')\n"
    )
    handlers = HANDLERS + "def page(request): return {'status': 200, 'body': 'page'}\n"
    port = listen(handlers, "--workers", "1", "--max-queue", "20", setup=routes)
    batch = b"[%b]" % b",".join([ADD] * 100)
    with ThreadPoolExecutor(18) as threads:
        mark = tmp_path / "mark"
        slow = threads.submit(port.post, call("wait", text(gate), text(mark)))
        wait_until(mark.exists, DEADLINE, lambda: "not begun")
        queued = [threads.submit(port.post, batch) for _ in range(16)]
        full = b'scriptling_pending_calls{place="queued"} 1600.0'
        wait_until(lambda: full in port.request("GET", "/metrics").body, DEADLINE, lambda: "not all are queued")
        page = threads.submit(port.request, "GET", "/page")
        gate.open()
        assert slow.result(DEADLINE).status == page.result(DEADLINE).status == 200
        for answer in (each.result(DEADLINE) for each in queued):
            assert [each["result"] for each in answer.json] == [SEVEN] * 100


def test_thousands_of_requests_behind_a_slow_one_are_answered_in_their_order(listen: Listen, gate: Gate) -> None:
    port = listen(HANDLERS, "--workers", "1")
    slow = call("wait", text(gate), text("/dev/null"))
    many = 3000
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(slow), slow))
        connection.sendall(b"GET /json-rpc HTTP/1.1\r\nhost: localhost\r\n\r\n" * many)
        gate.open()
        received = b""
        while received.count(b"HTTP/1.1 ") < many + 1 and (piece := connection.recv(1 << 16)):
            received += piece
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"HTTP/1.1 405") == many
    assert port.post(ADD).json["result"] == SEVEN


def test_more_connections_than_allowed_are_told_so(listen: Listen) -> None:
    port = listen(HANDLERS, "--max-connections", "5")
    with ExitStack() as stack:
        for _ in range(5):
            idle = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
            idle.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        assert raw(port, b"").startswith(b"HTTP/1.1 503")
    wait_until(lambda: raw(port, b"GET /health HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200"), DEADLINE, lambda: "full")


FEW_DESCRIPTORS = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (150, 150))
os.execv(sys.argv[1], sys.argv[1:])
"""


def processor_time(pid: int) -> float:
    """Return the seconds of a processor that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_healthy(port: Port) -> bool:
    with suppress(ConnectionError, http.client.BadStatusLine):
        return port.request("GET", "/health").status == 200
    return False


@pytest.mark.parametrize("flags", [[], ["--tls-generate"]], ids=["plain", "in the middle of TLS"])
def test_more_connections_than_descriptors_stop_nobody_who_is_connected(
    listen: Listen, figures: Figures, flags: list[str]
) -> None:
    """Check 36, for the port: no abort, no spinning on what cannot be accepted, and a dead worker is replaced."""
    wrapper = [sys.executable, "-c", FEW_DESCRIPTORS]
    port = listen(HANDLERS + "def die(): os._exit(1)\n", "--workers", "2", *flags, wrapper=wrapper)
    port.program.wait_for_stderr("although --max-connections is 1000")
    earlier = secured(port) if flags else port.connect()
    assert ask(earlier, "POST", "/json-rpc", ADD, JSON).json["result"] == SEVEN
    with ExitStack() as stack:
        for _ in range(400):
            stray = stack.enter_context(socket.socket())
            stray.settimeout(DEADLINE)
            stray.connect(port.address)
        served = sum(ask(earlier, "POST", "/json-rpc", ADD, JSON).json["result"] == SEVEN for _ in range(100))
        figures.count(36, "port with 400 strays for 150 descriptors: calls of others served", served, 100)
        before = processor_time(port.program.process.pid)
        waited = timed(lambda: wait_for_nothing(earlier.sock))
        share = (processor_time(port.program.process.pid) - before) / waited
        figures.at_most(36, "the same: processors taken while nothing happens", share, 0.1, "", room=5)
        for _ in range(10):
            assert "exit status 1" in ask(earlier, "POST", "/json-rpc", call("die"), JSON).json["error"]["message"]
            assert ask(earlier, "POST", "/json-rpc", ADD, JSON).json["result"] == SEVEN
    earlier.close()
    if not flags:
        wait_until(lambda: is_healthy(port), DEADLINE, lambda: "nobody can connect any more")
    assert port.program.process.poll() is None


def secured(port: Port) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(*port.address, timeout=DEADLINE, context=trusting())


def wait_for_nothing(connection: socket.socket) -> None:
    connection.settimeout(1)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(DEADLINE)
