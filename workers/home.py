"""What every process of one server knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scriptling.settings import Settings


@dataclass(frozen=True)
class Home:
    """One run of a server.

    :ivar folder: where the sockets are
    :ivar memory: where memory stores are
    :ivar key: secret of this run; whoever has it is one of its processes
    """

    folder: Path
    memory: Path
    key: str
    settings: Settings

    @property
    def stores(self) -> list[str]:
        """Folders that user code reads and writes through :mod:`scriptling.stores`, whatever else it may."""
        return [str(self.memory), *([self.settings.kv_storage] if self.settings.kv_storage else [])]

    def identity(self, name: str) -> bytes:
        """Return what a child of this name calls itself on the *calls* socket."""
        return f"{name}:{self.key}".encode()
