"""A server of the tests' own, which speaks the protocol over HTTP and can misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import scriptling.plugin as plugin
from tests.plugin import fake_plugin


class Handler(BaseHTTPRequestHandler):
    """Answers as ``fake_plugin`` does, and notes what it saw."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        if self.server.refuse_early:
            self.close_connection = True
            self.respond(413, b"")
            return
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        items = message if isinstance(message, list) else [message]
        self.server.heard += [(item["method"], dict(self.headers), self.path) for item in items]
        if self.server.hang_up:
            self.close_connection = True
            return
        if self.server.canned is not None:
            self.respond(*self.server.canned)
            return
        if any(item.get("params", {}).get("name") == "hang" for item in items):
            if self.server.note_hang_ups and self.connection.recv(1) == b"":
                return
            self.server.release.wait(30)
        replies = [fake_plugin.respond(item) for item in items]
        # Line breaks in a body are no ends of messages.
        self.respond(200, json.dumps(replies if isinstance(message, list) else replies[0], indent=1).encode())

    def respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", str(len(body)))
        if self.server.close_after:
            self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = self.close_connection or self.server.close_after_silence
        self.wfile.write(body)

    def finish(self) -> None:
        super().finish()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.server.hung_up.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """A plugin over HTTP.

    :ivar canned: what to answer everything with, instead
    :ivar close_after: say with each answer that it is the connection's last
    :ivar close_after_silence: close a connection after an answer, without a word; ``hung_up`` is set then
    :ivar hang_up: read a request and close the connection
    :ivar note_hang_ups: a call that hangs waits for the client to hang up; ``hung_up`` is set then
    :ivar refuse_early: answer with 413 before the body is read
    """

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[str, dict[str, str], str]] = []
        self.connections = 0
        self.canned: tuple[int, bytes] | None = None
        self.retry_after = ""
        self.close_after = False
        self.close_after_silence = False
        self.hung_up = threading.Event()
        self.hang_up = False
        self.note_hang_ups = False
        self.refuse_early = False
        self.release = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Expect clients that leave."""

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.heard]

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/json-rpc"


def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    for name in plugin.list():
        server.canned = None
        plugin.unload(name)
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()
