"""A server that registrations go to, without processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from scriptling.registry import Declaration, Registry
from scriptling.runtime import context


class FakeServer:
    """Stands in for the process that runs a setup script."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.library_path: Sequence[str] = ()
        self.events: list[object] = []
        self.waiting: list[Callable[[], None]] = []

    def start(self, wait: bool) -> None:
        self.registry.freeze()
        for action in self.waiting:
            action()
        self.events.append(("start", wait))

    def when_started(self, action: Callable[[], None]) -> None:
        if self.registry.frozen:
            action()
        else:
            self.waiting.append(action)

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
