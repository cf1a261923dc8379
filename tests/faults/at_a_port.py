"""What tests of a listening port have in common: a plugin, and requests as bytes."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable

from tests.wire.gates import WAIT
from tests.wire.network import Port, call, integer
from tests.wire.program import DEADLINE

HANDLERS = (
    WAIT
    + """
import os
def add(a, b): return a + b
def environment():
    arguments = [open(f"/proc/{pid}/cmdline").read() for pid in (os.getpid(), os.getppid())]
    stored = [open(f"/proc/{pid}/environ").read() for pid in (os.getpid(), os.getppid())]
    import gc, sys
    return repr((dict(os.environ), arguments, stored, sys.orig_argv, sys.argv))
class Thing:
    def hello(self): return "hello"
"""
)
ADD = call("add", integer(3), integer(4))
SEVEN = integer(7)
TOKEN = "canary-3f9a"
HEAD = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def timed(act: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


def raw(port: Port, data: bytes) -> bytes:
    """Send bytes as they are, and return all that is answered until the server closes, or has answered once."""
    with socket.create_connection(port.address, timeout=DEADLINE) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
            if b"\r\n\r\n" in received:
                break
        return received
