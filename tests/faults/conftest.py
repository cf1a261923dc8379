"""Servers with a test's own handlers; and the full scale of each check, which runs only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.gates import Gate
from tests.wire.server import Serve, serving

FULL_SCALE = "full_scale"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{FULL_SCALE}: at the size that the checks name; run with -m {FULL_SCALE}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if FULL_SCALE not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker(FULL_SCALE)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers of handlers that the test gives as text."""
    with serving(tmp_path) as serve:
        yield serve


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that handlers wait at; open after the test at the latest."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()
