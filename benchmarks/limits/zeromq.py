"""A bare ZeroMQ ipc round trip: two processes, one DEALER each, a message of a request's size there and back."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.pace import timed
from benchmarks.peers import Tasks, needed
from benchmarks.wire import Stock, function_tail


def far_end() -> Any:
    """Start the process at the other end; return the socket that leads there."""
    zmq = needed("zmq")
    socket = zmq.Context.instance().socket(zmq.DEALER)
    endpoint = f"ipc://{tempfile.mkdtemp(prefix='bench-')}/z"
    socket.bind(endpoint)
    subprocess.Popen([sys.executable, "-m", "benchmarks.limits.zeromq", endpoint], stdin=subprocess.DEVNULL)
    socket.send(b"ready")
    socket.recv()
    Path(endpoint.removeprefix("ipc://")).unlink()
    Path(endpoint.removeprefix("ipc://")).parent.rmdir()
    return socket


def open_tasks() -> Tasks:
    """Start the other end."""
    socket = far_end()
    message = Stock([function_tail("add", 3, 4)]).take(1).text

    def work(count: int) -> None:
        for _ in range(count):
            socket.send(message)
            socket.recv()

    return {"add": lambda: lambda count: timed(lambda: work(count))}


def main(endpoint: str) -> None:
    """Echo messages; ended by the kernel together with the process that started it."""
    die_with_parent()
    zmq = needed("zmq")
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(endpoint)
    while True:
        socket.send(socket.recv())


def die_with_parent() -> None:
    """Ask Linux for a SIGKILL when the parent ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
