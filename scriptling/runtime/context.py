"""The server that the running script belongs to, if any."""

from __future__ import annotations

from collections.abc import Sequence
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

    def running(self) -> bool:
        """Whether the server was started and was not asked to stop."""

    def pause(self) -> None:
        """Return soon, having used no CPU, or at once when the server stops."""


class _Current:
    server: Server | None = None


def install(server: Server | None) -> None:
    """Make this the server of the running script; None for a script that is simply run."""
    _Current.server = server


def current() -> Server | None:
    """Return the server of the running script; None for a plain script, and inside a handler."""
    return _Current.server
