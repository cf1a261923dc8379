"""What a listening port has to stand: slow, hostile and departing clients (faults, checks 17, 21 and 29 to 33)."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures, percentile
from tests.wire.fixtures import Listen
from tests.wire.gates import PASS, Gate
from tests.wire.network import JSON, Answer, Port, ask, call, integer, on_a_port, text
from tests.wire.program import DEADLINE, Program, wait_until
from tests.wire.server import write_plugin

HANDLERS = (
    PASS
    + """
import os
def add(a, b): return a + b
def wait(path, mark):
    open(mark, "a").write("x")
    _pass_gate(path)
def environment():
    arguments = [open(f"/proc/{pid}/cmdline").read() for pid in (os.getpid(), os.getppid())]
    stored = [open(f"/proc/{pid}/environ").read() for pid in (os.getpid(), os.getppid())]
    import gc, sys
    return repr((dict(os.environ), arguments, stored, sys.orig_argv, sys.argv))
class Thing:
    def hello(self): return "hello"
"""
)
ADD = call("add", integer(3), integer(4))
SEVEN = integer(7)
TOKEN = "canary-3f9a"
HEAD = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with on_a_port(write_plugin(tmp_path_factory.mktemp("port"), HANDLERS), "--workers", "2") as port:
        yield port


def timed(act: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


def raw(port: Port, data: bytes) -> bytes:
    """Send bytes as they are, and return all that is answered until the server closes, or has answered once."""
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
            if b"\r\n\r\n" in received:
                break
        return received


# -- clients that leave, and too many of them ------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "begun",
    [b"POST /json", HEAD, HEAD + b"content-length: 1000\r\n\r\n{", HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n"],
)
def test_those_who_stop_in_the_middle_are_closed_in_time_and_hold_up_nobody(listen: Listen, begun: bytes) -> None:
    """Check 29: heads and bodies that never end."""
    port = listen(HANDLERS, "--request-timeout", "1")
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE)) for _ in range(100)]
        for connection in slow:
            connection.sendall(begun)
        assert port.post(ADD).json["result"] == SEVEN
        for connection in slow:
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
            assert connection.recv(1000) == b""


def trickle(connections: list[socket.socket]) -> list[socket.socket]:
    """Send each one byte more, of a header or a body; return those that were closed."""
    closed = []
    for connection in connections:
        try:
            connection.sendall(b"x")
            connection.setblocking(False)
            with suppress(BlockingIOError):
                assert connection.recv(12) in {b"HTTP/1.1 408", b""}
                closed.append(connection)
            connection.settimeout(DEADLINE)
        except OSError:
            closed.append(connection)
    return closed


@pytest.mark.parametrize(
    ("heads", "bodies", "patience"),
    [(50, 20, 1.0), pytest.param(500, 200, 5.0, marks=getattr(pytest.mark, FULL_SCALE))],
)
def test_tricklers_are_closed_in_time_and_others_do_not_wait_for_them(
    listen: Listen, figures: Figures, heads: int, bodies: int, patience: float
) -> None:
    """Check 29: a byte now and then does not buy time."""
    port = listen(HANDLERS, "--request-timeout", str(patience), "--max-connections", "2000")
    begun = [HEAD + b"x-slow: "] * heads + [HEAD + b"content-length: 100000\r\n\r\n"] * bodies
    times: list[float] = []
    begun_at: dict[socket.socket, float] = {}
    lives: list[float] = []
    with ExitStack() as stack:
        for data in begun:
            connection = stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE))
            connection.sendall(data)
            begun_at[connection] = time.monotonic()
        while begun_at:
            lives += [time.monotonic() - begun_at.pop(closed) for closed in trickle([*begun_at])]
            times += [timed(lambda: port.post(ADD)) for _ in range(20)]
            assert max(lives, default=0) < patience + 30
    who = f"{heads} clients trickling heads, {bodies} trickling bodies"
    what = f"{who}: longest life of one, with a patience of {patience:g} s"
    figures.at_most(29, what, max(lives), patience + 2, room=5)
    figures.at_most(29, f"{who}: 99th percentile of others, connecting included", percentile(times), 0.1, room=20)


def test_a_head_that_never_ends_behind_an_answered_request_is_too_long(listen: Listen, gate: Gate) -> None:
    port = listen(HANDLERS, "--workers", "1")
    slow = call("wait", text(gate), text("/dev/null"))
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(slow), slow) + b"GET / HTTP/1.1\r\nx: ")
        gate.open()
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"x" * (1 << 17))
        assert connection.recv(1000).startswith(b"HTTP/1.1 431")


def test_idle_connections_are_closed_in_time(listen: Listen) -> None:
    port = listen(HANDLERS, "--keep-alive", "0.5")
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        received = [connection.recv(1000)]
        while received[-1]:  # until the server closes
            received.append(connection.recv(1000))
        assert received[0].startswith(b"HTTP/1.1 200")


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
        for _ in () if flags else range(10):  # there, strays without a handshake are not counted before they are cut
            assert "exit status 1" in ask(earlier, "POST", "/json-rpc", call("die"), JSON).json["error"]["message"]
            assert ask(earlier, "POST", "/json-rpc", ADD, JSON).json["result"] == SEVEN
    earlier.close()
    if not flags:
        wait_until(lambda: is_healthy(port), DEADLINE, lambda: "nobody can connect any more")
    assert port.program.process.poll() is None


def secured(port: Port) -> http.client.HTTPSConnection:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(*port.address, timeout=DEADLINE, context=context)


def wait_for_nothing(connection: socket.socket) -> None:
    connection.settimeout(1)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(DEADLINE)


# -- requests that are wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n12345", 400),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"content-length: -5\r\n\r\n", 400),
        (HEAD + b"content-length: five\r\n\r\n", 400),
        (HEAD + b"content-length: 99999999999999999999999\r\n\r\n", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /json-rpc HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400),
        (HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 431),
        (HEAD + b"scriptling-session: short\r\ncontent-length: 2\r\n\r\n{}", 400),
        (HEAD + b"scriptling-timeout: never\r\ncontent-length: 2\r\n\r\n{}", 400),
        (b"GET /json-rpc HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        (b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}", 415),
        (b"POST /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}", 405),
        (b"GET /json-rpc HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
        (b"GET /json-rpc HTTP/1.1\r\n\r\n", 421),
        (HEAD + b"origin: https://evil.example\r\ncontent-length: 2\r\n\r\n{}", 403),
        (HEAD + b"origin: null\r\ncontent-length: 2\r\n\r\n{}", 403),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_its_client_s_error(
    port: Port, figures: Figures, request_: bytes, status: int
) -> None:
    """Check 30."""
    right = raw(port, request_).startswith(b"HTTP/1.1 %d " % status)
    figures.count(30, "wrong requests: the right 4xx, and the next is served", right, 1)
    assert port.post(ADD).json["result"] == SEVEN


def test_a_body_that_ends_early_runs_nothing(listen: Listen, tmp_path: Path, gate: Gate) -> None:
    port = listen(HANDLERS)
    body = call("wait", text(gate), text(tmp_path / "mark"))
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body) + 1, body))
    assert port.post(ADD).json["result"] == SEVEN
    assert not (tmp_path / "mark").exists()


# -- pages of browsers -----------------------------------------------------------------------------------------------


def test_pages_of_other_origins_may_connect_nothing_unless_allowed(listen: Listen) -> None:
    port = listen(HANDLERS, "--allow-origin", "https://app.example")
    url = f"{port.url.replace('http', 'ws')}/json-rpc"
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=Origin("https://evil.example"), proxy=None):
        pass  # not reached
    assert refused.value.response.status_code == 403
    assert "ERROR" not in port.program.stderr
    with connect(url, origin=Origin("https://app.example"), proxy=None) as socket_:
        socket_.send(ADD.decode())
        assert json.loads(socket_.recv())["result"] == SEVEN
    answer = port.post(ADD, {"Origin": "https://app.example"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = port.request("OPTIONS", "/json-rpc", headers=asked)
    assert (answer.status, "POST" in answer.headers["access-control-allow-methods"]) == (204, True)
    assert port.request("OPTIONS", "/json-rpc", headers={**asked, "Origin": "https://evil.example"}).status == 403


def test_the_server_s_own_pages_may_use_it(port: Port) -> None:
    assert port.post(ADD, {"Origin": port.url}).status == 200


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_wrong_tokens_are_refused_before_the_body_is_read(listen: Listen, figures: Figures) -> None:
    """Check 31."""
    port = listen(HANDLERS, "--bearer-token", TOKEN)
    for given in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN):
        line = f"authorization: {given}\r\n".encode() if given else b""
        answer = raw(port, HEAD + line + b"content-length: 1000000\r\n\r\n")
        assert b"www-authenticate: Bearer\r\n" in answer
        refused_unread = answer.startswith(b"HTTP/1.1 401 ")
        figures.count(31, "wrong tokens: 401 although no byte of the body was sent", refused_unread, 1)
    assert port.post(ADD, {"Authorization": f"Bearer {TOKEN}"}).json["result"] == SEVEN
    assert port.request("GET", "/elsewhere").status == 401
    assert port.request("GET", "/health").body == b"ready\n"
    url = f"{port.url.replace('http', 'ws')}/json-rpc"
    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None):
        pass  # not reached
    assert refused.value.response.status_code == 401
    with connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}, proxy=None) as socket_:
        socket_.send(ADD.decode())
        assert json.loads(socket_.recv())["result"] == SEVEN


@pytest.mark.parametrize("by", ["flag", "environment", "file"])
def test_a_token_is_nowhere_to_be_seen(listen: Listen, tmp_path: Path, by: str) -> None:
    """Check 41: not in logs, arguments, or the environment of anybody."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    flags = {"flag": ["--bearer-token", TOKEN], "environment": [], "file": ["--bearer-token-file", "token"]}[by]
    environment = {"SCRIPTLING_BEARER_TOKEN": TOKEN} if by == "environment" else None
    port = listen(HANDLERS, *flags, "--log-level", "trace", environment=environment)
    answer = port.call("environment", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200
    assert TOKEN not in answer.body.decode()
    for pid in port.program.pids():
        assert TOKEN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    assert port.call("add", headers={"Authorization": f"Bearer {TOKEN}x"}).status == 401
    assert TOKEN not in port.program.stderr


def test_a_server_that_others_can_reach_says_what_it_lacks(tmp_path: Path) -> None:
    program = Program(["--server", ":0", "--json-rpc", str(write_plugin(tmp_path, HANDLERS))], tmp_path)
    try:
        program.listen()
        program.wait_for_stderr("ready: ")
        assert program.stderr.count("without a token and TLS") == 1
    finally:
        program.destroy()
        program.close()


# -- TLS -------------------------------------------------------------------------------------------------------------


def secure(port: Port, **more: Any) -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in more.items():
        setattr(context, name, value)
    connection = http.client.HTTPSConnection(*port.address, timeout=DEADLINE, context=context)
    try:
        connection.request("POST", "/json-rpc", ADD, JSON)
        answer = connection.getresponse()
        return Answer(answer.status, {}, answer.read())
    finally:
        connection.close()


@pytest.mark.filterwarnings("ignore:.*TLSv1.*:DeprecationWarning")
def test_tls_is_1_2_at_least(listen: Listen, figures: Figures) -> None:
    """Check 32."""
    port = listen(HANDLERS, "--tls-generate")
    assert port.url.startswith("https://")
    assert secure(port).json["result"] == SEVEN
    assert secure(port, maximum_version=ssl.TLSVersion.TLSv1_2).json["result"] == SEVEN
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure(port, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    assert not raw(port, b"GET /health HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200")
    figures.count(32, "TLS 1.1 and no TLS at all: refused, 1.2 and 1.3 served", 4, 4)


@pytest.mark.parametrize("number", [50, pytest.param(500, marks=getattr(pytest.mark, FULL_SCALE))])
def test_stalled_handshakes_hold_up_nobody(listen: Listen, figures: Figures, number: int) -> None:
    """Check 32."""
    port = listen(HANDLERS, "--tls-generate")
    assert secure(port).json["result"] == SEVEN
    with ExitStack() as stack:
        stalled = [stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE)) for _ in range(number)]
        begin = time.monotonic()
        for connection in stalled:
            connection.sendall(b"\x16\x03\x01")
        times = [timed(lambda: secure(port)) for _ in range(20)]
        assert [connection.recv(1000) for connection in stalled] == [b""] * number  # cut
        figures.at_most(32, f"{number} stalled TLS handshakes: all cut", time.monotonic() - begin, 12, room=1.5)
    figures.at_most(32, f"{number} stalled TLS handshakes: slowest of 20 others, connecting", max(times), 0.1, room=50)


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_a_bad_certificate_is_a_sentence_and_status_4(figures: Figures, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "cert.pem").write_text(content)
    setup = str(write_plugin(tmp_path, HANDLERS))
    program = Program(["--server", "127.0.0.1:0", "--tls-cert", "cert.pem", "--json-rpc", setup], tmp_path)
    try:
        program.listen()
        figures.count(32, "bad certificates: exit status 4, and a sentence", program.exit_code() == 4, 1)
        assert "the certificate cannot be used" in program.all_stderr()
        program.check_nothing_is_left()
    finally:
        program.destroy()
        program.close()


# -- objects ---------------------------------------------------------------------------------------------------------


def test_ids_of_objects_cannot_be_guessed(port: Port, figures: Figures) -> None:
    """Check 33."""
    request = b'{"id":1,"method":"object.new","params":{"class":"Thing"}}'
    ids = [port.post(request).json["result"]["id"] for _ in range(20)]
    parts = [id.rpartition(".")[2] for id in ids]
    assert len({part[:4] for part in parts}) > 10
    guessed = ids[0][:-1] + ("x" if ids[0][-1] != "x" else "y")

    def use(id: str) -> Any:
        params = {"object_id": id, "method": "hello"}
        return port.post(json.dumps({"id": 1, "method": "object.call_method", "params": params}).encode()).json

    assert use(ids[0])["result"] == text("hello")
    unknown = "".join(reversed(guessed.rpartition(".")[2]))
    assert use(guessed)["error"]["code"] == use(guessed.rpartition(".")[0] + "." + unknown)["error"]["code"]
    assert use(guessed)["error"]["message"].startswith("unknown object")
    answers = [use(id)["error"] for id in guesses(ids, 500)]
    same = {(error["code"], re.sub(r"1\.\S+", "ID", error["message"])) for error in answers}
    figures.count(33, "ids guessed from 20 known ones: unknown, all with the same words", 500 * (len(same) == 1), 500)


def guesses(ids: list[str], number: int) -> list[str]:
    """Ids that are like known ones: parts of two of them, or one letter changed."""
    chosen, guessed = random.Random(33), set[str]()
    while len(guessed) < number:
        one, other = chosen.sample(ids, 2)
        at = chosen.randrange(len(one.partition(".")[0]) + 2, len(one))
        guessed |= {one[:at] + other[at:], one[:at] + chosen.choice("aA0_-") + one[at + 1 :]} - {*ids}
    return sorted(guessed)[:number]


def test_health_tells_whether_the_server_is_ready_and_nothing_else(port: Port) -> None:
    answer = port.request("GET", "/health")
    assert (answer.status, answer.body) == (200, b"ready\n")
    assert port.request("HEAD", "/health").body == b""


def test_metrics_are_for_those_with_the_token(listen: Listen) -> None:
    port = listen(HANDLERS, "--bearer-token", TOKEN)
    assert port.request("GET", "/metrics").status == 401
    known = {"Authorization": f"Bearer {TOKEN}"}
    port.post(ADD, known)
    answer = port.request("GET", "/metrics", headers=known)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b'handler="add"' in answer.body
    assert port.request("POST", "/metrics", b"", known).status == 405
