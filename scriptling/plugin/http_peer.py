"""A plugin behind a URL: one ``POST`` per exchange, over connections that are kept (protocol section 1, HTTP)."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic
from typing import cast
from urllib.parse import SplitResult, urlsplit

from scriptling.errors import ErrorCode, PluginCallError, PluginCrashed, PluginLoadError, PluginTimeout
from scriptling.plugin.calls import Callback, shown
from scriptling.plugin.session import Answered, Exchange, Session, Violation
from scriptling.protocol.jsonrpc import Response
from scriptling.protocol.messages import Method

_CONNECT_TIMEOUT = 15.0
_POST_TIMEOUT = 10.0
_MOST_IDLE = 16
_SHOWN = 200
_OK, _NO_CONTENT = 200, 204


class HttpPeer:
    """The conversation with one URL (see :class:`~scriptling.plugin.calls.Peer`).

    Calls of several threads use a connection each; a connection that was broken off is never used for a second try,
    since nobody knows whether the first was executed.

    :param headers: sent with every request
    :param insecure_skip_tls: trust any certificate
    :param goodbye: whether it is told ``plugin.shutdown`` when it is closed
    :raises PluginLoadError: this is no URL that can be talked to
    """

    interrupted = False
    callbacks_refused = "callbacks are not supported over http json-rpc transport"

    def __init__(
        self, name: str, url: str, headers: Mapping[str, str], insecure_skip_tls: bool = False, goodbye: bool = True
    ) -> None:
        parts = urlsplit(url)
        self.label = f"plugin {name!r} ({public_url(url)})"
        if not parts.hostname:
            raise PluginLoadError(f"{self.label}: the URL names no host")
        if "@" in parts.netloc:
            raise PluginLoadError(f"{self.label}: give user and password as a header, not in the URL")
        self._host, self._port = parts.hostname, _port(self.label, parts)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        json_headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._headers = {**json_headers, **_checked_headers(self.label, headers)}
        self._tls = _tls_context(insecure_skip_tls) if parts.scheme == "https" else None
        self.patience = 0.0
        self._goodbye = goodbye
        self._idle: list[http.client.HTTPConnection] = []
        self._posts: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()
        self._poster: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """A URL cannot be dead: the next call may find it answering."""
        return True

    def exchange(
        self,
        requests: Sequence[tuple[str, bytes]],
        batch: bool = False,
        callbacks: Mapping[str, Callback] | None = None,
        timeout: float | None = None,
    ) -> list[Response]:
        """Post requests, and return the responses in the same order.

        :raises PluginCrashed: it cannot be reached, or broke off
        :raises PluginTimeout: ``timeout`` seconds have passed
        :raises PluginCallError: it answered with something else than JSON-RPC
        """
        session = Session()
        exchange = Exchange(requests, batch)
        status, body = self._roundtrip(session.open(exchange), shown(requests[0]), timeout)
        events = session.message(body) if body.strip() else []
        for event in events:
            if isinstance(event, Answered):
                return cast("list[Response]", exchange.replies)
        violations = [event.sentence for event in events if isinstance(event, Violation)]
        if status == _OK and violations:
            raise PluginCallError(f"{self.label} {violations[0]}", ErrorCode.INTERNAL_ERROR)
        begun = body[:_SHOWN].decode("utf-8", "replace").strip()
        sentence = f"{self.label} answered {shown(requests[0])} with HTTP status {status} and no result: {begun}"
        raise PluginCallError(sentence.removesuffix(": "), ErrorCode.INTERNAL_ERROR)

    def post(self, method: str, params: bytes) -> None:
        """Queue a request whose answer nobody waits for."""
        self._posts.put((method, params))

    def expect_posts(self) -> None:
        """Start the thread that sends what :meth:`post` queues, which a destructor could not do."""
        if self._poster is None or not self._poster.is_alive():
            self._poster = threading.Thread(target=self._send_posts, name=f"releases of {self.label}", daemon=True)
            self._poster.start()

    def begin_close(self) -> None:
        """Nothing can be begun without waiting for it."""

    def close(self, grace: float) -> None:
        """Say goodbye within ``grace`` seconds, and close the connections."""
        end = monotonic() + grace
        if self._poster is not None:
            self._posts.put(None)
            self._poster.join(grace)
        if self._goodbye:
            self._exchange_quietly(Method.SHUTDOWN, b"", max(0.1, end - monotonic()))
        while self._idle:
            self._idle.pop().close()

    def after_fork(self) -> None:
        """Leave connections, goodbyes and releases to the parent."""
        self._goodbye = False
        while self._idle:
            self._idle.pop().close()
        self._posts = SimpleQueue()
        self._poster = None

    def _send_posts(self) -> None:
        while (post := self._posts.get()) is not None:
            self._exchange_quietly(*post, _POST_TIMEOUT)

    def _exchange_quietly(self, method: str, params: bytes, timeout: float) -> None:
        with suppress(PluginCallError):  # there is nobody to tell
            self.exchange([(method, params)], timeout=timeout)

    # -- connections ---------------------------------------------------------------------------------------------------

    def _roundtrip(self, text: bytes, what: str, timeout: float | None) -> tuple[int, bytes]:
        """Post one body, and return the status and body of the answer."""
        connection = None
        try:
            connection = self._connection(timeout)
            connection.request("POST", self._target, text, self._headers)
            answer = connection.getresponse()
            body = answer.read()
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, TimeoutError):
                raise PluginTimeout(self._too_late(what, timeout), ErrorCode.TIMED_OUT) from error
            if isinstance(error, (OSError, http.client.HTTPException)):
                sentence = f"{self.label} cannot be reached, or broke off: {str(error) or type(error).__name__}"
                raise PluginCrashed(sentence, ErrorCode.WORKER_DIED) from None
            raise
        self._keep(connection, answer)
        return answer.status, body

    def _too_late(self, what: str, timeout: float | None) -> str:
        if timeout is None:
            return f"{self.label} could not be connected to within {_CONNECT_TIMEOUT:g} seconds"
        return f"{self.label} did not answer {what} within {timeout:g} seconds"

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        """Return a connection that was kept and is still good, or a new one."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            # Before an answer is due, a readable connection can only have been closed.
            if connection.sock is not None and not _readable(connection.sock):
                connection.sock.settimeout(timeout)
                return connection
            connection.close()
        return self._connect(timeout)

    def _connect(self, timeout: float | None) -> http.client.HTTPConnection:
        seconds = _CONNECT_TIMEOUT if timeout is None else min(timeout, _CONNECT_TIMEOUT)
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=seconds)
            if self._tls is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._tls)
        )
        connection.connect()
        connection.sock.settimeout(timeout)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    def _keep(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        if answer.will_close or len(self._idle) >= _MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)


def public_url(url: str) -> str:
    """Return a URL without what may be secret in it: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _port(label: str, parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError as error:
        raise PluginLoadError(f"{label}: {error}") from None


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _checked_headers(label: str, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers that can be sent; an error does not show the value, which may be secret."""
    for name, value in headers.items():
        if not (name + value).isprintable() or not (name + value).isascii():
            raise PluginLoadError(f"{label}: the header {name!r} holds characters that cannot be sent")
    return headers


def _tls_context(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
