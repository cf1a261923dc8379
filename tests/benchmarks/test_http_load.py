"""The load generator for HTTP sends as often as it was told, and counts whole answers only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from benchmarks.http_load import HOST, connected, drive, request
from benchmarks.model import PeerFailed
from tests.workers.fakes import PATIENCE

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"result":7}'
TEXT = request("/add", b"{}")


class Listener:
    """Answers every request with the same pieces, one connection after the other."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.requests = 0
        self._pieces = pieces
        self._socket = socket.create_server((HOST, 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(1 << 16):
                self.requests += data.count(b"POST /add HTTP/1.1\r\n")
                for piece in self._pieces:
                    connection.sendall(piece)

    def close(self) -> None:
        self._thread.join(PATIENCE)
        self._socket.close()


@pytest.fixture(params=[[ANSWER], [ANSWER[:30], ANSWER[30:85], ANSWER[85:]]], ids=["whole", "in pieces"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    made = Listener(request.param)
    yield made
    made.close()


def test_every_request_is_sent_and_answered(listener: Listener) -> None:
    with connected(listener.port, 1) as connections:
        assert drive(connections, TEXT, 5, b'"result":7') > 0
    listener.close()
    assert listener.requests == 5


def test_a_wrong_answer_measures_nothing(listener: Listener) -> None:
    with connected(listener.port, 1) as connections, pytest.raises(PeerFailed, match=r"it answered .*7"):
        drive(connections, TEXT, 5, b'"result":8')


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", b"nonsense\r\n\r\n"]
)
def test_an_answer_that_is_none_is_shown(answer: bytes) -> None:
    listener = Listener([answer])
    with connected(listener.port, 1) as connections, pytest.raises(PeerFailed, match=answer[:12].decode()):
        drive(connections, TEXT, 1, b"")
    listener.close()
