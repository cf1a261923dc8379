"""uvicorn's WebSocket protocol, with patience for hosts that it does not read from itself."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def keepalive_timeout(self) -> None:
        """Give up a peer that did not answer a ping, unless its answer may lie unread behind its messages."""
        if self.read_paused:
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()

    async def send(self, message: Any) -> None:
        """Send, and take a refusal by an HTTP answer for a handshake that is over, not for an error to be logged."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Run the application; that the end of the server breaks it off is no error to be logged."""
        application = self.app

        async def breakable(*scope: Any) -> None:
            try:
                await application(*scope)
            except asyncio.CancelledError:
                raise ClientDisconnected from None

        self.app = breakable
        await super().run_asgi()
