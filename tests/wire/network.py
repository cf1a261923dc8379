"""A server on a port, and the ways to reach it: requests by hand, and hosts over HTTP and WebSocket."""

from __future__ import annotations

import http.client
import json
import queue
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.wire.host import Host
from tests.wire.program import DEADLINE, Program
from tests.wire.transport import Transport

JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    """One HTTP answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)


class Port:
    """A running server on a port of this machine.

    :param at: address to listen at
    :ivar program: its process
    """

    def __init__(
        self,
        setup: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        json_rpc: bool = True,
        at: str = "127.0.0.1:0",
        **more: Any,
    ) -> None:
        arguments = ["--server", at, *(["--json-rpc"] if json_rpc else []), *flags, str(setup)]
        self.program = Program(arguments, setup.parent, environment, **more)
        self.program.listen()

    @cached_property
    def url(self) -> str:
        """Where it is, as it says itself."""
        self.program.wait_for_stderr(" at http")
        found = re.search(r" at (https?://\S+)\s", self.program.stderr)
        assert found, self.program.stderr
        return found[1]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.rpartition("/")[2].rpartition(":")
        return host, int(port)

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is kept alive."""
        return http.client.HTTPConnection(*self.address, timeout=DEADLINE)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one request on a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Post a message."""
        return self.request("POST", "/json-rpc", body, {**JSON, **(headers or {})})

    def call(self, name: str, *args: Any, id: Any = 1, headers: Mapping[str, str] | None = None) -> Answer:
        """Call a function with arguments in wire form."""
        return self.post(call(name, *args, id=id), headers)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make one request, and read its answer."""
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def call(name: str, *args: Any, id: Any = 1) -> bytes:
    """Return the call of a function with arguments in wire form; without an id it is a notification."""
    message = {"jsonrpc": "2.0", "method": "function.call", "params": {"name": name, "args": list(args)}}
    return json.dumps(message if id is None else {**message, "id": id}).encode()


def integer(value: int) -> dict[str, Any]:
    """Return the wire form of an int."""
    return {"type": "int", "value": value}


def text(value: object) -> dict[str, Any]:
    """Return the wire form of a str."""
    return {"type": "string", "value": str(value)}


@contextmanager
def on_a_port(setup: Path, *flags: str, **more: Any) -> Iterator[Port]:
    """Run a server; what the test has not ended is ended here by a signal, and nothing may be left of it."""
    port = Port(setup, *flags, **more)
    try:
        yield port
        if port.program.process.poll() is None:
            port.program.signal(signal.SIGTERM)
        port.program.check_end()
        port.program.check_nothing_is_left()
    finally:
        port.program.destroy()
        port.program.close()


class Posting:
    """A transport of one request for each message, several at once; what is answered comes in any order."""

    def __init__(self, port: Port, headers: Mapping[str, str] | None = None) -> None:
        self._port = port
        self._headers = {**JSON, **(headers or {})}
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._posting: list[threading.Thread] = []

    def send(self, text: bytes) -> None:
        """Post one message; its answer is received when it has come."""
        thread = threading.Thread(target=self._post, args=(text,), name="post", daemon=True)
        self._posting.append(thread)
        thread.start()

    def _post(self, text: bytes) -> None:
        with suppress(OSError, http.client.HTTPException):  # the test has ended the server meanwhile
            answer = self._port.request("POST", "/json-rpc", text, self._headers)
            assert answer.status in {200, 204, 413, 503}, answer
            if answer.body:
                self._answers.put(answer.body)

    def receive(self) -> bytes | None:
        """Wait for the next answer."""
        return self._answers.get()

    def end(self) -> None:
        """Receive what has been asked for, and then nothing more."""
        for thread in self._posting:
            thread.join(DEADLINE)
        self._answers.put(None)


class WebSocket:
    """A transport over one WebSocket, a message for each message."""

    def __init__(self, port: Port, **more: Any) -> None:
        url = port.url.replace("http", "ws", 1) + "/json-rpc"
        self._open = ExitStack()
        connecting = connect(url, compression=None, max_size=None, ping_interval=None, proxy=None, **more)
        self.connection = self._open.enter_context(connecting)

    def send(self, text: bytes) -> None:
        """Send one message, or several that stand on lines of their own."""
        for line in text.split(b"\n"):
            self.connection.send(line, text=True)

    def receive(self) -> bytes | None:
        """Wait for the next message."""
        try:
            message = self.connection.recv()
        except ConnectionClosed:
            return None
        assert isinstance(message, str)
        return message.encode()

    def end(self) -> None:
        """Close the connection."""
        self._open.close()


class PortHost(Host):
    """A server on a port and a host of it.

    :ivar program: the process of the server
    """

    def __init__(self, port: Port, transport: Transport) -> None:
        super().__init__(transport)
        self.program = port.program


@contextmanager
def hosting(port: Port, kind: str) -> Iterator[PortHost]:
    """Be a host of a server, over ``"http"`` or ``"websocket"``, from when it is ready."""
    assert port.url
    host = PortHost(port, Posting(port) if kind == "http" else WebSocket(port))
    host.start()
    try:
        yield host
        host.check()
    finally:
        host.transport.end()
        host.join()
