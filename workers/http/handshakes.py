"""A socket where clients come by TLS, who count from the moment they come and not only once they have shaken hands."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

_AT_ONCE = 64  # clients accepted before others have their turn
_PAUSE = 1.0  # seconds until the next is accepted when there are no descriptors

PATIENCE = 10.0
"""Seconds for a handshake."""


class Handshakes:
    """Accepts clients, and hands over those who have shaken hands.

    When there is no room for one more, whoever has been at it for longest has to go: others need milliseconds.

    :param listener: a listening socket; closed with this
    :param tls: the certificate of the server
    :param meet: makes the protocol of a client
    :param room: returns how many clients may be about to shake hands now
    """

    def __init__(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext,
        meet: Callable[[], asyncio.Protocol],
        room: Callable[[], int],
    ) -> None:
        self._listener = listener
        self._tls = tls
        self._meet = meet
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[None], None] = {}
        listener.setblocking(False)
        self._listen()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # there are no descriptors left, which would be tried again without end
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(_PAUSE, self._listen)
                return
            self._greet(client)

    def _greet(self, client: socket.socket) -> None:
        client.setblocking(False)
        task = self._loop.create_task(self._shake_hands(client))
        self._under_way[task] = None
        task.add_done_callback(self._under_way.pop)
        surplus = len(self._under_way) - max(1, self._room())
        for oldest in [*self._under_way][: max(0, surplus)]:
            oldest.cancel()

    async def _shake_hands(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._meet, client, ssl=self._tls, ssl_handshake_timeout=PATIENCE)
        except (OSError, asyncio.CancelledError):  # it has gone, does not speak TLS, or was too slow
            client.close()

    def close(self) -> None:
        """Accept nobody any more, and leave those who have not shaken hands."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for task in [*self._under_way]:
            task.cancel()
