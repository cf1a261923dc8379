"""The process of a plugin: started, heard on stderr, and stopped without fail.

Nothing of the protocol is here. Every sentence in which a process is described for an error comes from here.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

_TAIL_BYTES = 4096
_TAIL_LINES = 20
_TERMINATE_GRACE = 2.0


class Descriptor:
    """A file descriptor that is closed when nobody refers to it any more, so that nobody can use a reused one."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.fd >= 0:
            close(self.fd)


class Child:
    """A running plugin.

    It has a process group of its own, so that Ctrl-C on the terminal reaches the program and not its plugins; the end
    of its input is what tells a plugin that the program is gone.

    :param command: the absolute path of the executable, and its arguments
    :ivar stdin: file descriptor, non-blocking
    :ivar stdout: file descriptor, non-blocking
    :ivar pidfd: readable when the process has ended, or -1 where the system has no such thing
    :raises OSError: the executable cannot be run
    """

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        # A plugin is spoken to over its streams: it must not take our own address for one to listen on.
        environment = {name: value for name, value in os.environ.items() if name != "SCRIPTLING_SERVER"}
        self._process = subprocess.Popen(
            command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0, env=environment
        )
        self.pid = self._process.pid
        self._pipes = _pipes(self._process)
        self.stdin, self.stdout, self._stderr = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)
        self._ended = Descriptor(_pidfd(self.pid))
        self.pidfd = self._ended.fd
        self._tail = b""
        self._killing = threading.Lock()
        self._pump = threading.Thread(target=self._pass_stderr_on, name=f"stderr of {command[0]}", daemon=True)
        self._pump.start()

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the process, and for what it wrote before; False if it still runs."""
        if not self._wait(seconds):
            return False
        # A descendant of the plugin may hold the stream open for ever.
        self._pump.join(min(seconds, 0.5))
        return True

    def _wait(self, seconds: float) -> bool:
        try:
            # The standard library would look again and again, at growing intervals.
            if self.pidfd < 0 or not self.running:
                self._process.wait(seconds)
            else:
                poll = select.poll()
                poll.register(self.pidfd, select.POLLIN)
                poll.poll(seconds * 1000)
        except subprocess.TimeoutExpired:
            return False
        return not self.running

    def report(self) -> str:
        """Return how the process ended, or that it runs, and the last lines of its stderr: a part of a sentence."""
        status = self._process.poll()
        if status is None:
            ending = "it is still running"
        elif status < 0:
            ending = f"it was killed by {_signal_name(-status)}"
        else:
            ending = f"it exited with status {status}"
        tail = self._tail.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        if not tail:
            return f"{ending}, and wrote nothing to stderr"
        return "\n    ".join([f"{ending}; the end of its stderr:", *tail])

    @property
    def stdin_closed(self) -> bool:
        """Whether :meth:`close_stdin` was called."""
        return self._pipes[0].closed

    def close_stdin(self) -> None:
        """Tell the process that nothing more comes."""
        self._pipes[0].close()

    def stop(self, grace: float) -> None:
        """Wait ``grace`` seconds for the process to end by itself, then ask it, then kill it and its group.

        It is asked twice, because servers finish their calls at the first time, and end at once at the second.
        """
        try:
            if self.wait(grace):
                return
            for _ in range(2):
                self._process.terminate()
                if self.wait(_TERMINATE_GRACE / 2):
                    return
        finally:
            self._kill()

    def _kill(self) -> None:
        """Kill the group while its leader is not reaped, for until then its number cannot mean another."""
        with self._killing:
            if self.running:
                with suppress(ProcessLookupError):  # another thread has just seen its end
                    os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()

    def free(self) -> None:
        """Close our ends of the pipes."""
        self._pipes[0].close()
        self._pipes[1].close()

    def after_fork(self) -> None:
        """Close the copies that a forked child of this program got, or the plugin would not see the end of input."""
        for pipe in self._pipes:
            pipe.close()
        # It is not our child here: nothing to wait for, nothing to warn about.
        self._process.returncode = 0

    def _pass_stderr_on(self) -> None:
        with self._pipes[2]:
            while data := os.read(self._stderr, 65536):
                self._tail = (self._tail + data)[-_TAIL_BYTES:]
                _write_stderr(data)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdin, process.stdout, process.stderr


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _write_stderr(data: bytes) -> None:
    """Write to wherever this program's stderr goes now; a program without one, or with a broken one, goes on."""
    stream = sys.stderr
    try:
        if stream is sys.__stderr__ and stream is not None:
            # Not through its buffer: a thread caught holding that lock at exit would abort the interpreter.
            os.write(stream.fileno(), data)
        elif stream is not None:
            stream.write(data.decode("utf-8", "replace"))
    except (OSError, ValueError):
        pass
