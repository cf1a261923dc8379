"""Peers for the client's tests, and a guard that nothing stays loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import scriptling.plugin as plugin
from scriptling.plugin.process import Child

BRIDGE = Path(__file__).with_name("bridge.py")
FAKE = Path(__file__).with_name("fake_plugin.py")
FAKE_ARGS = ["-S", "-E", str(FAKE)]

PRELUDE = """\
#!{python} -SE
import json, sys

def receive():
    line = sys.stdin.readline()
    return json.loads(line) if line else None

def send(message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()

def answer(request, result):
    send({{"jsonrpc": "2.0", "id": request["id"], "result": result}})

def shake_hands(name="mini", schema={{}}, **more):
    request = receive()
    answer(request, {{"protocol": "1.0", "library": {{"name": name}}, "schema": schema, **more}})
    return request

"""

WritePeer = Callable[[str], Path]


@pytest.fixture(autouse=True)
def nothing_stays_loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unload what a test loaded, and hold that no process of it is left, nor a thread."""
    threads = set(threading.enumerate())
    started: list[int] = []
    start = Child.__init__

    def recorded(child: Child, command: Sequence[str]) -> None:
        start(child, command)
        started.append(child.pid)

    monkeypatch.setattr(Child, "__init__", recorded)
    yield
    for name in plugin.list():
        plugin.unload(name)
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert {thread for thread in threading.enumerate() if not thread.name.startswith("stderr of")} <= threads


@contextmanager
def bridge_process(certificate: Path | None = None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve the plugin of ``fake_plugin.py`` over WebSockets, a process for each; yield the server and its address."""
    command = [sys.executable, BRIDGE, certificate or "-", sys.executable, *FAKE_ARGS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server, f"127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()


@contextmanager
def bridged(certificate: Path | None = None) -> Iterator[str]:
    """Serve as :func:`bridge_process` does; yield host and port."""
    with bridge_process(certificate) as (_, host):
        yield host


@pytest.fixture(scope="session")
def websocket_host() -> Iterator[str]:
    """Serve WebSockets for all tests."""
    with bridged() as host:
        yield host


@pytest.fixture
def local_fake() -> str:
    """Load the plugin of ``fake_plugin.py``, a child process, as ``plugin.fake``."""
    return plugin.load("fake", sys.executable, scriptling=True, args=FAKE_ARGS)


@pytest.fixture(params=["stdio", "websocket"])
def fake(request: pytest.FixtureRequest) -> str:
    """Load the plugin of ``fake_plugin.py`` as ``plugin.fake``, over each two-way transport."""
    if request.param == "stdio":
        return plugin.load("fake", sys.executable, scriptling=True, args=FAKE_ARGS)
    return plugin.load("fake", f"ws://{request.getfixturevalue('websocket_host')}/json-rpc", scriptling=True)


@pytest.fixture
def write_peer(tmp_path: Path) -> WritePeer:
    """Write an executable whose body speaks the protocol by hand; return its path."""

    def write(body: str) -> Path:
        path = tmp_path / f"peer{len(list(tmp_path.iterdir()))}"
        path.write_text(PRELUDE.format(python=sys.executable) + textwrap.dedent(body))
        path.chmod(0o755)
        return path

    return write
