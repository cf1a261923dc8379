"""What every folder of tests that drive the program starts from; imported by their ``conftest``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.wire.gates import Gate
from tests.wire.network import Port, on_a_port
from tests.wire.server import Serve, serving, write_plugin

Listen = Callable[..., Port]
"""Starts a server on a port, of ``handlers`` (text), with flags."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers of handlers that the test gives as text."""
    with serving(tmp_path) as serve:
        yield serve


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Start servers on ports, of handlers that the test gives as text."""
    with ExitStack() as stack:

        def listen(handlers: str, *flags: str, setup: str = "", **more: Any) -> Port:
            return stack.enter_context(on_a_port(write_plugin(tmp_path, handlers, setup), *flags, **more))

        yield listen


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that handlers wait at; open after the test at the latest."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()
