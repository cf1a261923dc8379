"""The WebSocket to a server: one JSON text per message in both directions, over one connection (RFC 6455).

The protocol itself is that of the library ``websockets``, sans-IO: a thread and an event loop use the same socket in
the same way as they use the pipes of a child process.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Container, Sequence
from contextlib import suppress
from time import monotonic

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from scriptling.errors import PluginLoadError
from scriptling.plugin.channel import CHUNK, Unwritten
from scriptling.plugin.refusals import refusal
from scriptling.plugin.url import CONNECT_TIMEOUT, MAX_RESPONSE, Address, reason_of

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_TEXTS = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
# After so many seconds of silence the server is asked whether it is there, and after as many again given up.
_SILENCE = 20.0


class WebSocketChannel:
    """The way to one server (see :class:`~scriptling.plugin.channel.Channel`).

    :param connection: a socket, non-blocking
    :param protocol: has done the opening handshake over it
    """

    lines = False
    # A server ends the conversation when it is told of its end.
    answers_after_close = False

    def __init__(self, connection: socket.socket, protocol: ClientProtocol) -> None:
        self._socket = connection
        self._protocol = protocol
        self._unwritten = Unwritten()
        self._fragments: list[bytes] = []
        self._heard = monotonic()
        self._asked = False
        self.inputs: Sequence[int] = (connection.fileno(),)
        self.output = connection.fileno()
        self.lost = ""

    @property
    def alive(self) -> bool:
        """Whether the connection is open, as far as anybody knows."""
        return not self.lost

    @property
    def closed(self) -> bool:
        """Whether the closing handshake has begun."""
        return self._protocol.state is not State.OPEN

    @property
    def unwritten(self) -> int:
        """Bytes that wait to be written."""
        return len(self._unwritten)

    def receive(self, ready: Container[int]) -> list[bytes]:
        """Return the messages that have come."""
        pending = True
        while pending and not self.lost:
            try:
                data = self._socket.recv(CHUNK)
            except _NOT_NOW:
                break
            except OSError as error:
                self.lost = f"broke off the connection: {error}"
                break
            self._protocol.receive_data(data) if data else self._protocol.receive_eof()
            self._look_for_the_end(eof=not data)
            # What TLS has decrypted already makes no socket readable.
            pending = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        self._heard, self._asked = monotonic(), False
        return self._messages()

    def send(self, text: bytes) -> None:
        """Have a message written; after the goodbye nobody would read it."""
        if not self.closed:
            self._protocol.send_text(text)
            self._collect()

    def flush(self) -> None:
        """Write what the socket takes; if it is closed, reading tells why."""
        self._collect()
        try:
            with suppress(*_NOT_NOW):
                self._unwritten.drain(self._socket.send)
        except OSError:
            self._unwritten.clear()

    def pulse(self) -> float:
        """Ask a silent server whether it is there, and give up one that does not say so."""
        left = self._heard + (2 * _SILENCE if self._asked else _SILENCE) - monotonic()
        if left > 0:
            return left
        if self._asked:
            self.lost = f"has not been heard of for {2 * _SILENCE:g} seconds"
        elif not self.closed:
            self._protocol.send_ping(b"")
            self.flush()
        self._asked = True
        return 0 if self.lost else _SILENCE

    def close_output(self) -> None:
        """Begin the closing handshake."""
        self._protocol.send_close(1000)

    def wind_up(self) -> list[bytes]:
        """Answer the server's goodbye, if the socket takes that; all messages are read already."""
        self.flush()
        return []

    def report(self) -> str:
        """Return nothing: nobody can see how a distant server fares."""
        return ""

    def stop(self, grace: float) -> None:
        """Break off the connection, which makes it readable."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def free(self) -> None:
        """Close the socket."""
        self._socket.close()

    def after_fork(self) -> None:
        """Close the copy that a forked child got."""
        self._socket.close()

    def _collect(self) -> None:
        for data in self._protocol.data_to_send():
            self._unwritten += data

    def _messages(self) -> list[bytes]:
        """Return the messages that are complete."""
        messages = []
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in _TEXTS:
                self._fragments.append(bytes(frame.data))
                if frame.fin:
                    messages.append(b"".join(self._fragments))
                    self._fragments.clear()
        return messages

    def _look_for_the_end(self, eof: bool) -> None:
        close, error = self._protocol.close_rcvd, self._protocol.parser_exc
        if close is not None:
            self.lost = f"has closed the connection (code {close.code}{close.reason and f': {close.reason}'})"
        elif error is not None and not isinstance(error, EOFError):
            code = self._protocol.close_sent.code if self._protocol.close_sent else 1002
            self.lost = f"broke the WebSocket protocol (code {code}): {str(error) or type(error).__name__}"
        elif eof:
            self.lost = "broke off the connection without a goodbye (code 1006)"


def open_websocket(address: Address, timeout: float) -> WebSocketChannel:
    """Connect, and do the opening handshake; this blocks.

    :param timeout: seconds that it may take
    :raises PluginLoadError: there is no WebSocket to be had there
    """
    end = monotonic() + timeout
    try:
        connection = address.dial(timeout)
    except OSError as error:
        raise PluginLoadError(f"{address.label} cannot be reached: {_reason(error, timeout)}") from error
    try:
        protocol = _opened(connection, address, end)
    except OSError as error:
        connection.close()
        raise PluginLoadError(f"{address.label} did not open a WebSocket: {_reason(error, timeout)}") from error
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return WebSocketChannel(connection, protocol)


def _opened(connection: socket.socket, address: Address, end: float) -> ClientProtocol:
    """Do the opening handshake until ``end``, a time of the monotonic clock."""
    uri = WebSocketURI(address.tls is not None, address.host, address.port, address.target, "", None, None)
    protocol = ClientProtocol(uri, max_size=MAX_RESPONSE)
    request = protocol.connect()
    for name, value in address.headers.items():
        request.headers.pop(name, None)
        request.headers[name] = value
    protocol.send_request(request)
    connection.sendall(b"".join(protocol.data_to_send()))
    while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
        connection.settimeout(max(0.001, end - monotonic()))
        if data := connection.recv(CHUNK):
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
    if protocol.handshake_exc is not None:
        raise PluginLoadError(_refused(address, protocol.handshake_exc)) from protocol.handshake_exc
    return protocol


def _refused(address: Address, error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        answer = error.response
        retry_after, body = answer.headers.get("Retry-After", ""), bytes(answer.body or b"")
        return refusal(address, "the opening of a WebSocket", answer.status_code, retry_after, body)
    return f"{address.label} did not open a WebSocket: {address.redacted(str(error))}"


def _reason(error: OSError, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"there was no answer within {min(timeout, CONNECT_TIMEOUT):g} seconds"
    return reason_of(error)
