"""A server of the common library for each module of tests, and servers of one test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.figures import figures
from tests.wire.fixtures import gate, listen, serve
from tests.wire.network import PortHost, Posting, hosting, on_a_port
from tests.wire.server import Server, running

__all__ = ["figures", "gate", "listen", "serve", "server"]

LIBRARY = Path(__file__).with_name("library")


TRANSPORTS = ("stdio", "websocket", "http")


@pytest.fixture(scope="module", params=TRANSPORTS)
def any_server(request: pytest.FixtureRequest) -> Iterator[Server | PortHost]:
    """A server of ``library/`` and its host, over each transport; shared by a module's tests."""
    if request.param == "stdio":
        with running(LIBRARY / "setup.py", "--workers", "2") as server:
            yield server
    else:
        with on_a_port(LIBRARY / "setup.py", "--workers", "2") as port, hosting(port, request.param) as host:
            yield host


@pytest.fixture
def server(any_server: Server | PortHost, request: pytest.FixtureRequest) -> Server | PortHost:
    """The same, for the tests that the transport can carry; a server's end is held to the rules too."""
    if isinstance(any_server, Server):
        return any_server
    if request.node.get_closest_marker("lines"):
        pytest.skip("this is about lines, which only stdio has")
    if isinstance(any_server.transport, Posting) and request.node.get_closest_marker("conversation"):
        pytest.skip("over HTTP each request is by itself, and the server cannot ask")
    return any_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "conversation: needs an order of messages, or questions of the server")
    config.addinivalue_line("markers", "lines: about the lines of a stream")
