"""The load generator for HTTP: one process, some connections that stay open, one request on each at a time."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import time
from collections.abc import Iterator

from benchmarks.load import PATIENCE
from benchmarks.model import PeerFailed

HOST = "127.0.0.1"
_READ = 1 << 18
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200 "


class Connection:
    """One connection, and what of an answer has come by it.

    :param port: where a server listens on this machine
    :raises OSError: none does
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._length = 0  # of the whole answer; 0 while its head is not complete
        self.fileno = self._socket.fileno
        self.send = self._socket.sendall
        self.close = self._socket.close

    def receive(self) -> bytes | None:
        """Read once; return the answer's body if it is complete now.

        :raises PeerFailed: the server has closed the connection, or answers with another status than 200
        """
        data = self._socket.recv(_READ)
        if not data:
            raise PeerFailed("it closed a connection")
        self._buffer += data
        if not self._length:
            self._read_head()
        if not self._length or len(self._buffer) < self._length:
            return None
        body = self._buffer[self._buffer.index(b"\r\n\r\n") + 4 :]
        self._buffer, self._length = b"", 0
        return body

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self._buffer, 0, end + 2)
        if not self._buffer.startswith(_OK) or not found:
            raise PeerFailed(f"it answered {self._buffer[:300].decode(errors='replace')}")
        self._length = end + 4 + int(found[1])


def request(path: str, body: bytes) -> bytes:
    """Return a POST request as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@contextlib.contextmanager
def connected(port: int, count: int) -> Iterator[list[Connection]]:
    """Open connections, and close them in the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Connection(port))) for _ in range(count)]


def drive(connections: list[Connection], text: bytes, total: int, expected: bytes) -> float:
    """Send the same request ``total`` times, one at a time on each connection; return the seconds that all took.

    :param expected: what every answer must have in its body
    :raises PeerFailed: the server takes too long, or answers otherwise
    """
    poller = select.epoll()
    by_number = {each.fileno(): each for each in connections}
    unsent, answered = total, 0
    with poller:
        for number in by_number:
            poller.register(number, select.EPOLLIN)
        began = time.perf_counter()
        for each in connections[:total]:
            each.send(text)
            unsent -= 1
        while answered < total:
            ready = poller.poll(PATIENCE)
            if not ready:
                raise PeerFailed(f"no answer for {PATIENCE:g} s, {answered} of {total} were there")
            for number, _ in ready:
                body = by_number[number].receive()
                if body is None:
                    continue
                _check(body, expected)
                answered += 1
                if unsent:
                    by_number[number].send(text)
                    unsent -= 1
        return time.perf_counter() - began


def _check(body: bytes, expected: bytes) -> None:
    if expected not in body:
        raise PeerFailed(f"it answered {body[:300].decode(errors='replace')}")
