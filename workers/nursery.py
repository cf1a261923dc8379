"""The nursery: the one process from which every other is born, and the one that buries them.

The front-end forks it before it has a thread or a ZeroMQ context. The nursery imports once what every child needs, and
then forks a child in 5 ms where starting Python anew takes 150. It runs no user code, so that no child inherits any.

It is also what makes "nothing outlives the front-end" true. It learns of the front-end's end from the control socket,
whatever ended it. It is a child subreaper: whatever a handler started and left behind becomes a child of the nursery,
and is killed when a worker ends or with everything else.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import msgspec

_END = 2.0  # seconds that the nursery has to bury its children
_MOST_DESCRIPTORS = 4  # passed with one request
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Role(IntEnum):
    """What a child is to be."""

    SETUP = 0
    STORE = 1
    WORKER = 2
    TASK = 3


class Spawn(msgspec.Struct, array_like=True, frozen=True, tag="spawn"):
    """Give birth to a child; its descriptors come with the message.

    :ivar name: unique in the life of the server; also its identity on the sockets
    :ivar generation: which one of its kind it is, from 1
    """

    name: str
    role: int
    generation: int


class Kill(msgspec.Struct, array_like=True, frozen=True, tag="kill"):
    """Send a signal to a child, if it still lives."""

    name: str
    signal: int = signal.SIGKILL


class Born(msgspec.Struct, array_like=True, frozen=True, tag="born"):
    """A child has been started."""

    name: str
    pid: int


class Died(msgspec.Struct, array_like=True, frozen=True, tag="died"):
    """A child has ended. ``code`` is its exit status, or the negative number of the signal that ended it."""

    name: str
    code: int


Request = Spawn | Kill
Notice = Born | Died

_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_notice = msgspec.msgpack.Decoder(Notice).decode

Live = Callable[[Spawn, list[int]], None]
"""What a new child does with its life; it gets the descriptors that came with the request."""


class NurseryLostError(Exception):
    """The nursery has died, and every child with it."""


class Nursery:
    """The front-end's handle on the nursery."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self._pid = pid
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        control.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with every notice."""
        return self._control.fileno()

    def send(self, request: Request, descriptors: Iterable[int] = ()) -> None:
        """Ask for a birth or a signal; the descriptors must stay open until the birth is told.

        :raises NurseryLostError: it is not there any more
        """
        self._unsent.append((_encode(request), list(descriptors)))
        self.flush()

    def flush(self) -> None:
        """Send what there was no room for: hundreds of requests that came at once.

        :raises NurseryLostError: it is not there any more
        """
        try:
            while self._unsent:
                data, descriptors = self._unsent[0]
                socket.send_fds(self._control, [data], descriptors)
                self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError as error:
            raise NurseryLostError(str(error)) from None

    def notices(self) -> list[Notice]:
        """Return what has happened since the last time.

        :raises NurseryLostError: it is not there any more
        """
        found: list[Notice] = []
        while True:
            try:
                data = self._control.recv(4096)
            except BlockingIOError:
                return found
            except OSError:
                data = b""
            if not data and found:
                return found  # the next look finds the end again
            if not data:
                raise NurseryLostError("the process that starts the workers has died")
            found.append(_decode_notice(data))

    def end(self) -> None:
        """Have every child killed, and return when none is left."""
        self._end_process()
        _kill_all(_children_of_this_process)  # there are some if the nursery was killed

    def _end_process(self) -> None:
        self._control.close()
        for seconds, more in ((_END, signal.SIGCONT), (_END, signal.SIGKILL)):
            if self._has_ended(seconds):
                break
            os.kill(self._pid, more)  # somebody has stopped it; its children die with it
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _has_ended(self, seconds: float) -> bool:
        pidfd = os.pidfd_open(self._pid)
        try:
            return bool(select.select([pidfd], [], [], seconds)[0])
        finally:
            os.close(pidfd)

    def wake(self) -> None:
        """Let the nursery go on, if somebody has stopped it."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)


def fork(clean_up: Callable[[], None], log_pipe: int, make_live: Callable[[], Live]) -> Nursery:
    """Fork the nursery from this process, which must be single-threaded.

    :param clean_up: called by the nursery at its end, because it outlives a killed front-end
    :param log_pipe: becomes stdout and stderr of the nursery and all children
    :param make_live: called in the nursery, imports what children need, and returns what a child does
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # if the nursery is killed, what it watched over comes to this process
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        be_nursery(theirs, clean_up, log_pipe, make_live)
    theirs.close()
    return Nursery(ours, pid)


def be_nursery(
    control: socket.socket, clean_up: Callable[[], None], log_pipe: int, make_live: Callable[[], Live]
) -> NoReturn:
    """Be the nursery from now on, to the end of this process; see :func:`fork`."""
    try:
        _become_nursery(control.fileno(), log_pipe)
        _Keeper(control, clean_up, make_live()).run()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _become_nursery(control: int, log_pipe: int) -> None:
    os.setsid()  # a signal to the host's group or terminal is the front-end's business
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(log_pipe, 1)
    os.dup2(log_pipe, 2)
    for fd in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if fd > 2 and fd != control:
            with suppress(OSError):
                os.close(fd)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


@dataclass
class _Child:
    process: Any  # multiprocess has no types
    name: str
    pidfd: int


class _Keeper:
    """The loop of the nursery process."""

    def __init__(self, control: socket.socket, clean_up: Callable[[], None], live: Live) -> None:
        self._pid = os.getpid()
        self._control = control
        self._clean_up = clean_up
        self._live = live
        self._children: dict[int, _Child] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        # Only to wake the loop: orphans that end by themselves are nobody's child but ours.
        self._woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._woken, select.POLLIN)
        signal.signal(signal.SIGCHLD, _only_wake)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._own = (self._woken, wake)
        # One descriptor for each child, and there may be thousands; their user code may rely on the usual limit.
        self._usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._usual[1], self._usual[1]))

    def run(self) -> None:
        """Serve requests and watch children until the front-end is gone."""
        alive = True
        while alive:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._control.fileno():
                    alive = self._handle_request()
                elif descriptor == self._woken:
                    self._reap_orphans()
                else:
                    self._bury(self._children.pop(descriptor))
        self._end()

    def _handle_request(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 4096, _MOST_DESCRIPTORS)
        except ConnectionResetError:  # it has ended with notices of ours unread
            return False
        if not data:
            return False
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        request = _decode_request(data)
        if isinstance(request, Spawn):
            self._give_birth(request, descriptors)
        else:
            self._kill(request)
        return True

    def _give_birth(self, request: Spawn, descriptors: list[int]) -> None:
        import multiprocess  # noqa: PLC0415 - only this process needs it

        process = multiprocess.get_context("fork").Process(
            target=self._begin_life, args=(request, descriptors), name=request.name
        )
        try:
            process.start()
            process._popen.finalizer()  # closes its pipes: a pidfd tells of its end, and those born later inherit less
            pidfd = os.pidfd_open(process.pid)
        except OSError as error:  # out of processes, memory or descriptors
            print(f"cannot start {request.name}: {error}", file=sys.stderr)  # noqa: T201 - a log nobody has set up
            if process.pid:
                _kill_and_reap(process.pid)
            self._notify(Died(request.name, 1))
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        child = _Child(process, request.name, pidfd)
        self._children[child.pidfd] = child
        self._poll.register(child.pidfd, select.POLLIN)
        self._notify(Born(request.name, process.pid))

    def _begin_life(self, request: Spawn, descriptors: list[int]) -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:  # it has died already, and will not die again
            os._exit(1)
        os.setsid()  # so that its own children can be killed as a group
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._control.close()
        for descriptor in (*self._own, *self._children):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._usual)
        self._live(request, descriptors)

    def _kill(self, request: Kill) -> None:
        for child in self._children.values():
            if child.name == request.name:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(child.pidfd, request.signal)

    def _bury(self, child: _Child) -> None:
        """Reap a child, tell of its death, and kill what it has left behind."""
        self._poll.unregister(child.pidfd)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.join()
        os.close(child.pidfd)
        self._notify(Died(child.name, child.process.exitcode))
        child.process.close()
        self._kill_orphans()

    def _notify(self, notice: Notice) -> None:
        with suppress(OSError):  # the front-end is gone; the loop is about to see it
            self._control.send(_encode(notice))

    def _orphans(self) -> list[int]:
        ours = {child.process.pid for child in self._children.values()}
        return [pid for pid in _children_of_this_process() if pid not in ours]

    def _kill_orphans(self) -> None:
        _kill_all(self._orphans)

    def _reap_orphans(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        for pid in self._orphans():
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _end(self) -> None:
        """Kill everything, and leave nothing behind."""
        self._children.clear()
        self._kill_orphans()
        self._clean_up()


def _only_wake(number: int, frame: object) -> None:
    return None


def _kill_all(remaining: Callable[[], list[int]]) -> None:
    """Kill processes again and again until none remains, because what the dead leave behind becomes ours."""
    while pids := remaining():
        for pid in pids:
            _kill_and_reap(pid)


def _kill_and_reap(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _children_of_this_process() -> list[int]:
    try:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        return [int(pid) for pid in listed.split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in _all_processes() if _parent_of(pid) == os.getpid()]


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
