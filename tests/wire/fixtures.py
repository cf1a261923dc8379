"""What every folder of tests that drive the program starts from; imported by their ``conftest``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.gates import Gate
from tests.wire.server import Serve, serving


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
