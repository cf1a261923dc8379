"""A server that registrations go to, without processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from scriptling.registry import Declaration, Registry
from scriptling.runtime import context


class FakeServer:
    """Stands in for the process that runs a setup script."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.library_path: Sequence[str] = ()
        self.events: list[object] = []

    def start(self, wait: bool) -> None:
        self.registry.freeze()
        self.events.append(("start", wait))

    def running(self) -> bool:
        return self.registry.frozen

    def pause(self) -> None:
        self.events.append("pause")

    def declared(self) -> Declaration:
        return self.registry.freeze()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    context.install(fake)
    yield fake
    context.install(None)
