"""One plugin that was loaded under a name, across the lives of its process."""

from __future__ import annotations

import threading
from types import ModuleType

import msgspec

from scriptling.errors import PluginError
from scriptling.plugin.connection import Connection, ScriptlingConnection

HTTP_SCHEMES = ("http://", "https://")
WEBSOCKET_SCHEMES = ("ws://", "wss://")


class Origin(msgspec.Struct, frozen=True):
    """What identifies a plugin (protocol section 6).

    :ivar path: the absolute path of an executable, or a URL
    :ivar args: the arguments of the executable
    """

    path: str
    args: tuple[str, ...] = ()

    @property
    def transport(self) -> str:
        """How it is talked to: "stdio", "http" or "websocket"."""
        if self.path.startswith(WEBSOCKET_SCHEMES):
            return "websocket"
        return "http" if self.path.startswith(HTTP_SCHEMES) else "stdio"


class Library:
    """A name, what is behind it, and the connection to that.

    :param name: with the prefix ``plugin.``
    :param scriptling: whether it speaks the Scriptling plugin protocol
    :ivar lock: held while it is connected or unloaded
    :ivar module: the proxy library; the same one as long as the name is loaded
    """

    def __init__(self, name: str, origin: Origin, scriptling: bool) -> None:
        self.name = name
        self.origin = origin
        self.scriptling = scriptling
        self.lock = threading.RLock()
        self.connection: Connection | None = None
        self.module = ModuleType(name)

    @property
    def alive(self) -> bool:
        """Whether there is a connection, and a call over it has a chance."""
        return self.connection is not None and self.connection.peer.alive

    def connected(self) -> Connection:
        """Return the connection, even if its peer has died: a call says how.

        :raises PluginError: it was unloaded
        """
        if self.connection is None:
            raise PluginError(f"{self.name} is not loaded any more")
        return self.connection

    def connected_plugin(self) -> ScriptlingConnection:
        """Return the connection of a plugin that answered a handshake; errors as :meth:`connected`."""
        connection = self.connected()
        if not isinstance(connection, ScriptlingConnection):
            raise PluginError(f"{self.name} was loaded without scriptling=True")
        return connection

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""
        self.lock = threading.RLock()
        if self.connection is not None:
            self.connection.after_fork()
