"""Peers for the client's tests, and a guard that nothing stays loaded."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import scriptling.plugin as plugin
from scriptling.plugin.process import Child

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


@pytest.fixture
def fake() -> str:
    """Load the plugin of ``fake_plugin.py`` as ``plugin.fake``."""
    return plugin.load("fake", sys.executable, scriptling=True, args=FAKE_ARGS)


@pytest.fixture
def write_peer(tmp_path: Path) -> WritePeer:
    """Write an executable whose body speaks the protocol by hand; return its path."""

    def write(body: str) -> Path:
        path = tmp_path / f"peer{len(list(tmp_path.iterdir()))}"
        path.write_text(PRELUDE.format(python=sys.executable) + textwrap.dedent(body))
        path.chmod(0o755)
        return path

    return write
