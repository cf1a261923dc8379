"""Calls over one peer, for threads; a connection lives as long as its peer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from scriptling.plugin.calls import Peer
from scriptling.plugin.codec import PlainCodec, PluginCodec, Prepared
from scriptling.plugin.objects import DynamicObject
from scriptling.protocol.messages import HandshakeResult


class PlainConnection(PlainCodec):
    """Calls of a peer that is no Scriptling plugin."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def ask(self, call: Prepared) -> Any:
        """Send a call, and return its result."""
        return call.result(self.peer.exchange(call.requests, call.batch, call.callbacks, call.timeout))

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""
        self.peer.after_fork()


class ScriptlingConnection(PluginCodec):
    """Calls of a plugin that has answered the handshake.

    :param agreed: its answer
    """

    peer: Peer

    def __init__(self, peer: Peer, agreed: HandshakeResult) -> None:
        super().__init__(peer, agreed, DynamicObject)

    def ask(self, call: Prepared) -> Any:
        """Send a call, serve its callbacks, and return its result."""
        return call.result(self.peer.exchange(call.requests, call.batch, call.callbacks, call.timeout))

    def callback(self, function: Callable[..., Any]) -> Callable[[bytes], bytes]:
        """Return what is run when the plugin calls a function of the program."""
        return partial(self._run_callback, function)

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent: its process, and its objects."""
        self.forget_objects()
        self.peer.after_fork()

    def _run_callback(self, function: Callable[..., Any], params: bytes) -> bytes:
        args, kwargs = self.callback_arguments(params)
        return self.callback_result(function(*args, **kwargs))


Connection = PlainConnection | ScriptlingConnection
