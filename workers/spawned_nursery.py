"""A nursery for front-ends that live in somebody else's process, which has threads and must not be forked.

It is a new Python, told by its stdin what to be. Run as ``python -m workers.spawned_nursery CONTROL LOG``, with the
numbers of two descriptors.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys

from workers.hiding import FOR_US_ONLY
from workers.home import Home
from workers.nursery import Nursery, be_nursery


class SpawnedNursery(Nursery):
    """The front-end's handle on it. The other children of this process are none of ours."""

    def __init__(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        super().__init__(control, process.pid)
        self._process = process

    def end(self) -> None:
        """Have every child killed, and return when none is left."""
        self._end_process()
        self._process.wait()


def spawn(home: Home, log_pipe: int) -> Nursery:
    """Start the nursery as a new interpreter.

    :param log_pipe: becomes stdout and stderr of the nursery and all children
    :raises OSError: it cannot be started
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control = theirs.fileno()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers.spawned_nursery", str(control), str(log_pipe)],
            stdin=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in FOR_US_ONLY},
            pass_fds=(control, log_pipe),
        )
    assert process.stdin is not None
    with process.stdin as told:
        told.write(pickle.dumps(home))
    return SpawnedNursery(ours, process)


def _main(control: int, log_pipe: int) -> None:
    from workers.main import clean_up, make_live  # noqa: PLC0415 - not needed by whoever spawns

    home: Home = pickle.load(sys.stdin.buffer)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    be_nursery(socket.socket(fileno=control), lambda: clean_up(home), log_pipe, lambda: make_live(home))


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
