"""A server of the common library for each module of tests, and servers of one test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.fixtures import gate, listen, serve
from tests.wire.server import Server, running

__all__ = ["gate", "listen", "serve", "server"]

LIBRARY = Path(__file__).with_name("library")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of ``library/``, shared by a module's tests; its end is held to the rules too."""
    with running(LIBRARY / "setup.py", "--workers", "2") as server:
        yield server
