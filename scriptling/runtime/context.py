"""The server that the running script belongs to, if any."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from scriptling.registry import Registry


class Server(Protocol):
    """What ``scriptling.runtime`` needs of the process that runs a setup script."""

    @property
    def registry(self) -> Registry:
        """Where registrations go."""

    @property
    def library_path(self) -> Sequence[str]:
        """The folders that handlers are imported from."""

    def start(self, wait: bool) -> None:
        """Serve what was registered; with ``wait`` return when the server has stopped. Later calls only wait."""

    def when_started(self, action: Callable[[], None]) -> None:
        """Do something as soon as the server has started; at once if it has."""

    def running(self) -> bool:
        """Whether the server was started and was not asked to stop."""

    def pause(self) -> None:
        """Return soon, having used no CPU, or at once when the server stops."""


Bridge = Callable[[str, str, str, bytes, float | None], bytes]
"""Asks what the calls of a server share, and returns the answer: kind of thing, its name, operation, parameters, and
seconds to wait (None: for ever).

Raises :class:`scriptling.errors.PluginCallError`, or ``PluginTimeout`` when the time is over.
"""


class _Current:
    server: Server | None = None
    bridge: Bridge | None = None
    choosing = threading.Lock()


def install(server: Server | None) -> None:
    """Make this the server of the running script; None for a script that is simply run."""
    _Current.server = server


def connect(bridge: Bridge | None) -> None:
    """Make this the way to what the calls of a server share; None for a script that is simply run."""
    _Current.bridge = bridge


def bridge() -> Bridge:
    """Return the way to what the calls of a server share; where there is none, to what the threads of a script do."""
    if _Current.bridge is None:
        from scriptling.runtime.local import Local  # noqa: PLC0415 - only scripts without a server need it

        with _Current.choosing:  # threads that begin at once are to share one
            if _Current.bridge is None:
                _Current.bridge = Local().ask
    return _Current.bridge


def current() -> Server | None:
    """Return the server of the running script; None for a plain script, and inside a handler."""
    return _Current.server
