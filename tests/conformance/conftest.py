"""A server of the common library for each module of tests, and servers of one test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.gates import Gate
from tests.wire.server import Serve, Server, running, serving

LIBRARY = Path(__file__).with_name("library")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of ``library/``, shared by a module's tests; its end is held to the rules too."""
    with running(LIBRARY / "setup.py", "--workers", "2") as server:
        yield server


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
