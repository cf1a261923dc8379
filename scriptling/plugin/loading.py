"""The loaded plugins of this process: the table of them, and how one gets in and out (protocol section 6)."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from scriptling.errors import PluginCallError, PluginError, PluginLoadError
from scriptling.plugin import modules
from scriptling.plugin.access import CLOSE_GRACE, HANDSHAKE_TIMEOUT, Access, open_channel
from scriptling.plugin.calls import Peer
from scriptling.plugin.connection import Connection, PlainConnection, ScriptlingConnection
from scriptling.plugin.handshake import agreed, described, failed, handshake
from scriptling.plugin.library import Library, Origin
from scriptling.plugin.origin import PREFIX, PathText, normalised, origin_of
from scriptling.protocol.messages import HandshakeResult


class PluginName(str):
    """The name of a loaded plugin; as a context manager, it unloads the plugin at the end of the block."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self in loaded_names():
            unload(self)


class _Table:
    """The libraries by name."""

    def __init__(self) -> None:
        self.libraries: dict[str, Library] = {}
        self.lock = threading.Lock()
        self.hooked = False

    def reserve(self, name: str, origin: Origin, scriptling: bool) -> Library:
        """Return the library of that name, new or as it is.

        :raises PluginLoadError: the name means another plugin, or the plugin has another name
        """
        with self.lock:
            self._hook()
            library = self.libraries.get(name)
            if library is None:
                self._check_new(name, origin)
                library = self.libraries[name] = Library(name, origin, scriptling)
            elif library.origin != origin:
                raise PluginLoadError(f"{name} is loaded from {_shown(library.origin)} already; unload it first")
            elif library.scriptling != scriptling:
                raise PluginLoadError(f"{name} is loaded with scriptling={library.scriptling} already; unload it first")
            return library

    def _check_new(self, name: str, origin: Origin) -> None:
        for library in self.libraries.values():
            if library.origin == origin:
                raise PluginLoadError(f"{_shown(origin)} is loaded as {library.name} already, and cannot be as {name}")

    def _hook(self) -> None:
        """See to it that nothing outlives the program, or is ended by a fork of it."""
        if not self.hooked:
            self.hooked = True
            atexit.register(_close_all)
            os.register_at_fork(after_in_child=_after_fork)

    def remove(self, library: Library) -> None:
        """Forget a library, unless another has taken its name."""
        with self.lock:
            if self.libraries.get(library.name) is library:
                del self.libraries[library.name]


_table = _Table()


def load(
    name: str,
    path: PathText,
    scriptling: bool,
    args: Sequence[PathText] | None,
    access: Access,
) -> PluginName:
    """Connect a plugin under a name; see :func:`scriptling.plugin.load`."""
    name = normalised(name)
    if scriptling:
        modules.check_importable(name)
    origin = origin_of(path, args, access.headers)
    while True:
        library = _table.reserve(name, origin, scriptling)
        with library.lock:
            if _table.libraries.get(name) is library:
                _ensure_connected(library, access)
                return PluginName(name)


def load_declared(path: PathText) -> PluginName:
    """Start a Scriptling plugin, and load it under the name that it declares; errors as :func:`load`."""
    origin = origin_of(path, None, None)
    own = normalised(Path(origin.path).stem.replace(" ", "_"))
    peer = _peer(Library(own, origin, True), Access())
    try:
        told = _shake_hands(peer, HANDSHAKE_TIMEOUT)
        name = normalised(told.library.name or own)
        modules.check_importable(name)
        library = _table.reserve(name, origin, True)
        with library.lock:
            try:
                if not library.alive:
                    _adopt(library, _plugin_connection(library, peer, told))
            finally:
                _forget_if_unconnected(library)
    except BaseException:
        peer.close(0)
        raise
    if library.connection is None or library.connection.peer is not peer:
        peer.close(0)
    modules.install(library.module)
    return PluginName(name)


def unload(name: str, grace: float = CLOSE_GRACE) -> None:
    """Say goodbye to a plugin, and forget it; see :func:`scriptling.plugin.unload`."""
    library = find(name)
    _table.remove(library)
    modules.remove(library.module)
    with library.lock:
        try:
            if library.connection is not None:
                library.connection.peer.close(grace)
        finally:
            library.connection = None


def find(name: str) -> Library:
    """Return a loaded library, named with or without the prefix.

    A wrapper that a plugin sent names it as the plugin does, which may not be the name that it was loaded under.

    :raises PluginError: none of that name is loaded
    """
    full = name if name.startswith(PREFIX) else PREFIX + name
    library = _table.libraries.get(full)
    if library is not None:
        return library
    known = [library for library in list(_table.libraries.values()) if _own_name(library) == full]
    if len(known) == 1:
        return known[0]
    raise PluginError(f"{full} is not loaded (loaded: {', '.join(loaded_names()) or 'none'})")


def loaded_names() -> list[str]:
    """Return the names of the loaded libraries, sorted."""
    return sorted(_table.libraries)


def describe(library: Library) -> dict[str, Any]:
    """Return what is known of a library as plain data; see :func:`scriptling.plugin.describe`."""
    known = described(library.name, library.origin, library.connection, library.alive)
    return known | {"scriptling": library.scriptling}


# -- connecting --------------------------------------------------------------------------------------------------------


def _ensure_connected(library: Library, access: Access) -> None:
    """Connect a library that is new, or whose peer has died, and make it importable."""
    if not library.alive:
        try:
            _connect(library, access)
        finally:
            _forget_if_unconnected(library)
    if library.scriptling:
        # Every time, because a handler's sys.modules is as at the start again in the next call.
        modules.install(library.module)


def _forget_if_unconnected(library: Library) -> None:
    if library.connection is None:
        _table.remove(library)


def _connect(library: Library, access: Access) -> None:
    peer = _peer(library, access)
    try:
        if library.scriptling:
            _adopt(library, _plugin_connection(library, peer, _shake_hands(peer, access.timeout)))
        else:
            _adopt(library, PlainConnection(peer))
    except BaseException:
        peer.close(0)
        raise


def _adopt(library: Library, connection: Connection) -> None:
    """Let a library have a connection, instead of one whose peer has died."""
    old, library.connection = library.connection, connection
    if old is not None:
        old.peer.close(0)


def _peer(library: Library, access: Access) -> Peer:
    """Start a process, or reach for a URL; what that needs is imported here, for a program may need one of them.

    :raises PluginLoadError: that failed
    """
    name = library.name.removeprefix(PREFIX)
    if library.origin.transport == "http":
        from scriptling.plugin.http_peer import HttpPeer  # noqa: PLC0415
        from scriptling.plugin.url import address_of  # noqa: PLC0415

        address = address_of(name, library.origin.path, access.headers, access.insecure_skip_tls)
        return HttpPeer(address, library.scriptling)
    from scriptling.plugin.hostlog import HostLog  # noqa: PLC0415
    from scriptling.plugin.threaded import ThreadedPeer  # noqa: PLC0415

    label, channel = open_channel(name, library.origin, access)
    return ThreadedPeer(label, channel, HostLog(library.name), library.scriptling)


def _shake_hands(peer: Peer, timeout: float) -> HandshakeResult:
    """Agree on the protocol.

    :raises PluginLoadError: that failed
    """
    try:
        response = peer.exchange(handshake(), timeout=timeout)[0]
    except PluginCallError as error:
        raise failed(error) from error
    return agreed(peer, response)


def _plugin_connection(library: Library, peer: Peer, told: HandshakeResult) -> ScriptlingConnection:
    """Return a connection to a plugin, with the proxy library filled.

    :raises PluginLoadError: something in the schema cannot be used
    """
    from scriptling.plugin.proxies import fill_module  # noqa: PLC0415 - programs may call without proxies

    connection = ScriptlingConnection(peer, told)
    try:
        fill_module(library.module, library, connection)
    except PluginCallError as error:
        raise PluginLoadError(str(error)) from error
    return connection


def _own_name(library: Library) -> str:
    """Return what a plugin calls itself, with the prefix."""
    connection = library.connection
    return PREFIX + connection.agreed.library.name if isinstance(connection, ScriptlingConnection) else ""


def _shown(origin: Origin) -> str:
    if origin.transport != "stdio":
        from scriptling.plugin.url import public_url  # noqa: PLC0415 - imported already, with the first URL

        return public_url(origin.path)
    return " ".join([origin.path, *origin.args])


# -- the ends of a process ---------------------------------------------------------------------------------------------


def _close_all() -> None:
    """Unload everything at the interpreter's exit, all at the same time; Ctrl-C shortens the wait."""
    peers = [library.connection.peer for library in _table.libraries.values() if library.connection is not None]
    end, interrupted = monotonic() + CLOSE_GRACE, False
    try:
        for peer in peers:
            peer.begin_close()
    except KeyboardInterrupt:
        interrupted = True
    for peer in peers:
        try:
            peer.close(0.0 if interrupted else max(0.0, end - monotonic()))
        except KeyboardInterrupt:
            interrupted = True


def _after_fork() -> None:
    """Let go, in a forked child, of what belongs to the parent; what is loaded here is the child's own."""
    _table.lock = threading.Lock()
    for library in _table.libraries.values():
        library.after_fork()
