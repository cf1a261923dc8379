"""A plugin behind a URL, for threads: one ``POST`` per exchange, over connections that are kept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from time import monotonic

from scriptling.errors import PluginCallError
from scriptling.plugin.calls import Callback
from scriptling.plugin.channel import CHUNK, readable
from scriptling.plugin.posting import AnyHttpPeer, HttpAnswer, NoAnswer, Posting, Unsent, Wire
from scriptling.plugin.url import Address
from scriptling.protocol.jsonrpc import Response
from scriptling.protocol.messages import Method

_POST_TIMEOUT = 10.0
_MOST_IDLE = 16


class _Link:
    """One connection.

    :ivar used: it has carried an exchange before
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._wire = Wire()
        self.used = False

    @property
    def fresh(self) -> bool:
        """Whether it is open, as far as can be seen; before an answer is due, there is nothing else to be read."""
        return not readable(self._socket.fileno())

    @property
    def reusable(self) -> bool:
        """Whether it can take another request."""
        return self._wire.reusable

    def roundtrip(self, posting: Posting, end: float | None) -> HttpAnswer:
        """Send one request, and return the answer.

        :param end: a time of the monotonic clock, None to wait as long as it takes
        :raises Unsent: not all could be sent, and there is no answer
        :raises OSError: the connection broke off, or the time is up
        :raises NoAnswer: there is none
        """
        data = self._wire.request(posting)
        self._limit(end)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            # A server that does not want to read all of a request may have said why.
            try:
                return self._answer(end)
            except (OSError, NoAnswer):
                raise Unsent(str(error)) from error
        return self._answer(end)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _answer(self, end: float | None) -> HttpAnswer:
        answer = None
        while answer is None:
            self._limit(end)
            answer = self._wire.receive(self._socket.recv(CHUNK))
        self.used = True
        return answer

    def _limit(self, end: float | None) -> None:
        left = None if end is None else end - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


class HttpPeer(AnyHttpPeer):
    """The conversation with one URL (see :class:`~scriptling.plugin.calls.Peer`).

    Calls of several threads use a connection each. A request is sent for a second time only where the server cannot
    have got the whole of the first: otherwise nobody knows whether it was executed.

    :param goodbye: whether objects belong to this client; it is told ``plugin.shutdown`` then when it is closed
    """

    def __init__(self, address: Address, goodbye: bool) -> None:
        super().__init__(address, goodbye)
        self._idle: list[_Link] = []
        self._posts: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()
        self._sender: threading.Thread | None = None

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
        posting = self._poster.posting(requests, batch, timeout)
        end = None if timeout is None else monotonic() + timeout + self.patience
        try:
            answer = self._roundtrip(posting, end)
        except TimeoutError as error:
            raise posting.too_late() from error
        except (OSError, NoAnswer, Unsent) as error:
            raise posting.broken(error) from None
        return posting.responses(answer)

    def post(self, method: str, params: bytes) -> None:
        """Queue a request whose answer nobody waits for."""
        self._posts.put((method, params))

    def expect_posts(self) -> None:
        """Start the thread that sends what :meth:`post` queues, which a destructor could not do."""
        if self._sender is None or not self._sender.is_alive():
            self._sender = threading.Thread(target=self._send_posts, name=f"releases of {self.label}", daemon=True)
            self._sender.start()

    def begin_close(self) -> None:
        """Nothing can be begun without waiting for it."""

    def close(self, grace: float) -> None:
        """Say goodbye within ``grace`` seconds, and close the connections."""
        end = monotonic() + grace
        if self._sender is not None:
            self._posts.put(None)
            self._sender.join(grace)
        if self._goodbye:
            self._exchange_quietly(Method.SHUTDOWN, b"", max(0.1, end - monotonic()))
        while self._idle:
            self._idle.pop().close()

    def after_fork(self) -> None:
        """Leave connections, goodbyes and releases to the parent, and own what is made from now on."""
        if self._goodbye:
            self._poster.renew_session()
        self._goodbye = False
        while self._idle:
            self._idle.pop().close()
        self._posts = SimpleQueue()
        self._sender = None

    def _send_posts(self) -> None:
        while (post := self._posts.get()) is not None:
            self._exchange_quietly(*post, _POST_TIMEOUT)

    def _exchange_quietly(self, method: str, params: bytes, timeout: float) -> None:
        with suppress(PluginCallError):  # there is nobody to tell
            self.exchange([(method, params)], timeout=timeout)

    # -- connections ---------------------------------------------------------------------------------------------------

    def _roundtrip(self, posting: Posting, end: float | None) -> HttpAnswer:
        """Post one body, and return the answer."""
        link = self._kept() or self._connected(end)
        try:
            answer = link.roundtrip(posting, end)
        except Unsent:
            link.close()
            if not link.used:
                raise
            return self._roundtrip(posting, end)
        except BaseException:
            link.close()
            raise
        if link.reusable and len(self._idle) < _MOST_IDLE:
            self._idle.append(link)
        else:
            link.close()
        return answer

    def _kept(self) -> _Link | None:
        """Return a connection that was kept and is still good."""
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if link.fresh:
                return link
            link.close()
        return None

    def _connected(self, end: float | None) -> _Link:
        return _Link(self._address.dial(None if end is None else max(0.001, end - monotonic())))
