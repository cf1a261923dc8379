"""The only import of ZeroMQ: endpoints, socket options, and the private folder they live in.

Every option here answers a trap: linger 0, because the default waits at exit for peers that are gone; marks of 0 for
what goes out, because a ROUTER drops silently at its mark, and what is on its way is bounded by the dispatcher; and
``ROUTER_MANDATORY`` off, because a frame to a child that has just died must vanish (the ledger knows what it held).

What comes in has a mark on both sockets of the front-end. Beyond it frames stay in the kernel and in the child, whose
own memory is bounded; no child waits for that, since its own sockets have a mark of 0, or drop. Answers to questions
have a mark too: who asks waits for one at a time, so that only who never reads them misses any.

Once bound, a socket's path is taken away, and children reach it through a descriptor that they are born with. So nobody
else connects, not even by mistake: ZeroMQ aborts the process when it accepts more than there are descriptors for.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import zmq

CALLS = "calls"
RELAY = "relay"
_MOST_FRAMES = 200  # of one child that wait here
_MOST_QUESTIONS = 1000  # of one thread that wait here; more log records wait, or are dropped, where they are made
_MOST_ANSWERS = 100  # to one thread that are on their way
_MOST_AT_ONCE = 64  # messages that are received in a row
_MOST_BYTES = 1 << 20  # of them, and one message more
_LAST_WORDS = 500  # ms
MOST_SOCKETS = 1023  # of one child
LONGEST_IPC_PATH = 107  # bytes; sun_path of Linux less its end


class RunFolder:
    """A folder of mode 0700 that holds this server's sockets, and goes with it.

    :raises OSError: there is no place for it
    """

    def __init__(self) -> None:
        name = f"scriptling-{os.getpid()}-{os.urandom(6).hex()}"
        for base in (os.environ.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp"):
            self.path = Path(base, name)
            if len(os.fsencode(self.path / CALLS)) > LONGEST_IPC_PATH:
                continue
            with suppress(OSError):
                self.path.mkdir(mode=0o700)
                return
        raise OSError("no folder for the server's sockets can be made; set TMPDIR to one that can be written to")

    def remove(self) -> None:
        """Delete the folder and the sockets in it."""
        remove_run_folder(self.path)


def remove_run_folder(path: Path) -> None:
    """Delete a run folder; it may be gone already."""
    with suppress(OSError):
        for entry in path.iterdir():
            entry.unlink(missing_ok=True)
        path.rmdir()


def _endpoint(folder: Path, name: str) -> str:
    return f"ipc://{folder / name}"


def _through(door: int) -> str:
    return f"ipc:///proc/self/fd/{door}"


def _make_door(path: Path) -> int:
    """Take a bound socket's path away, and return a descriptor by which processes that have it can still connect."""
    door = os.open(path, os.O_PATH | os.O_CLOEXEC)
    path.unlink()
    return door


def _plain(socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    socket.linger = 0
    socket.sndhwm = 0
    socket.rcvhwm = 0
    return socket


class Router:
    """One of the front-end's sockets, bound.

    Its descriptor tells of changes only, and whatever is done with the socket may take such news in. So the socket is
    asked, before anybody waits for the descriptor, if anything was done with it since it was last found empty.

    :param most_in: messages of one connection that may wait to be received
    :param most_out: messages to one connection that may be on their way, more are dropped; 0 is no bound
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, most_in: int, most_out: int = 0) -> None:
        self._socket = socket = _plain(context.socket(zmq.ROUTER))
        socket.rcvhwm = most_in
        socket.sndhwm = most_out
        socket.bind(endpoint)
        self._quiet = False
        self.fileno = socket.fileno

    def wake(self, events: int = 0) -> None:
        """Note that the descriptor is readable."""
        self._quiet = False

    @property
    def has_input(self) -> bool:
        """Whether a message waits."""
        if self._quiet:
            return False
        # Asking is cheaper than the exception that tells of an empty socket.
        self._quiet = not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN
        return not self._quiet

    def receive(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield identities and frames of messages that wait, in turns of their senders, but not more than take some ms.

        What is left is told by :attr:`has_input`. A message of another number of parts is none of ours; it comes with
        an empty frame, which nothing decodes.
        """
        socket = self._socket
        room = _MOST_BYTES
        for _ in range(_MOST_AT_ONCE):
            if room < 0 or not self.has_input:
                return
            identity = socket.recv(zmq.NOBLOCK)
            frame = socket.recv()
            while socket.getsockopt(zmq.RCVMORE):
                frame = b""
                socket.recv()
            room -= len(frame)
            yield identity, frame

    def send(self, identity: bytes, frame: bytes) -> None:
        """Send one frame to one child; a child that is gone costs nothing."""
        self._quiet = False
        self._socket.send(identity, zmq.SNDMORE)
        self._socket.send(frame)


class Hub:
    """The front-end's two sockets.

    :ivar doors: descriptors for children to connect through
    """

    def __init__(self, folder: Path) -> None:
        old_mask = os.umask(0o177)
        try:
            self._context = zmq.Context()
            self.calls = Router(self._context, _endpoint(folder, CALLS), _MOST_FRAMES)
            self.relay = Router(self._context, _endpoint(folder, RELAY), _MOST_QUESTIONS, _MOST_ANSWERS)
            self.doors = [_make_door(folder / name) for name in (CALLS, RELAY)]
        finally:
            os.umask(old_mask)

    def close(self) -> None:
        """Close both sockets at once, dropping what was not sent."""
        self._context.destroy(linger=0)
        for door in self.doors:
            os.close(door)


def send_or_drop(socket: zmq.Socket[bytes], frame: bytes) -> None:
    """Send one frame, unless as many as may are on their way."""
    with suppress(zmq.Again):
        socket.send(frame, zmq.NOBLOCK)


class Line:
    """A child's end of the *calls* socket.

    :param doors: those of the hub, in this process
    :param most: how many sockets there may be; each takes a descriptor of the hub's process, which cannot refuse them
    """

    def __init__(self, doors: Sequence[int], identity: bytes, most: int = MOST_SOCKETS) -> None:
        calls, self._relay_door = doors
        self.context = zmq.Context()
        self.context.max_sockets = most
        self.socket = _plain(self.context.socket(zmq.DEALER))
        self.socket.setsockopt(zmq.IDENTITY, identity)
        self.socket.connect(_through(calls))
        self._poll = select.poll()
        self._poll.register(self.socket.fileno(), select.POLLIN)
        self._wakes: set[int] = set()
        self.send = self.socket.send
        self.recv = self.socket.recv

    def close(self) -> None:
        """Give frames that were just sent half a second to leave, and close everything of this process."""
        self.context.destroy(linger=_LAST_WORDS)

    def recv_within(self, seconds: float) -> bytes | None:
        """Return the next frame, or None if none came within the time."""
        if not self.socket.poll(int(seconds * 1000)):
            return None
        return self.socket.recv()

    def recv_or_wake(self, wake: int, seconds: float | None) -> bytes | None:
        """Return the next frame; None if the eventfd ``wake`` was written to, the time is over, or nothing has come."""
        if not self._has_input():
            if wake not in self._wakes:
                self._poll.register(wake, select.POLLIN)
                self._wakes.add(wake)
            ready = self._poll.poll(None if seconds is None else int(seconds * 1000))
            if (wake, select.POLLIN) in ready:
                os.eventfd_read(wake)
                return None
            if not (ready and self._has_input()):
                return None
        return self.socket.recv()

    def _has_input(self) -> bool:
        return bool(int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def relay(self, most: int = 0) -> zmq.Socket[bytes]:
        """Return a new socket on *relay*, for one thread; ``most`` bounds the messages on their way, 0 does not.

        :raises OSError: there are as many as may be
        """
        try:
            socket = _plain(self.context.socket(zmq.DEALER))
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror) from error
        socket.sndhwm = most
        socket.connect(_through(self._relay_door))
        return socket
