from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scriptling.stores.environment import Environment
from scriptling.stores.store import Store


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> int:
        return int(self.now * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[..., Store]:
    """Return a maker of stores in one folder."""

    def make(first_map: int = 1 << 20, name: str = "store") -> Store:
        return Store(Environment(lambda: tmp_path / name, durable=False, first_map=first_map), clock)

    return make


@pytest.fixture
def store(make: Callable[..., Store]) -> Store:
    return make()
