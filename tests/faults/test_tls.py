"""What a port stands that speaks TLS (faults, check 32)."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.at_a_port import ADD, HANDLERS, SEVEN, raw, timed, trusting
from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures
from tests.wire.fixtures import Listen
from tests.wire.network import JSON, Answer, Port
from tests.wire.program import DEADLINE, Program
from tests.wire.server import write_plugin


def secure(port: Port, **more: Any) -> Answer:
    context = trusting()
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


def test_handshakes_that_stall_count_as_connections(listen: Listen) -> None:
    """Those who stall for longest go before anybody is turned away, and before their time is over."""
    port = listen(HANDLERS, "--tls-generate", "--max-connections", "5")
    with ExitStack() as stack:
        stalled = [stack.enter_context(socket.create_connection(port.address, timeout=DEADLINE)) for _ in range(20)]
        for connection in stalled[:15]:
            connection.settimeout(5)  # half of what a handshake may take
            assert connection.recv(1) == b""
        assert secure(port).json["result"] == SEVEN
        stalled[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            stalled[-1].recv(1)
    assert "ERROR" not in port.program.stderr


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
