"""A pipe round trip and a ZeroMQ ipc round trip in one: reads a line, sends it to another process and back, writes it.

The least that any server does whose transport and workers are processes joined by ZeroMQ; for one call in flight.
"""

from __future__ import annotations

import os

from benchmarks.limits.zeromq import far_end


def main() -> None:
    """Echo until stdin ends."""
    socket = far_end()
    while data := os.read(0, 1 << 16):
        socket.send(data)
        os.write(1, socket.recv())


if __name__ == "__main__":
    main()
