"""One run of the installed program: its process, everything born from it, its stderr and its run folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from benchmarks.memory import tree

DEADLINE = 20.0  # seconds for anything that is not said to be quicker
EXECUTABLE = Path(sys.executable).parent / "scriptling"


class Program:
    """The program, started with pipes for its three streams, and a temporary folder of its own unless one is given.

    The folder's name stands in the environment of every process born from this one, whoever its parent is now; that is
    how the last of them is found.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        start_new_session: bool = False,
        wrapper: Sequence[str] = (),
        temporary: Path | None = None,
    ) -> None:
        self.folder = temporary or Path(tempfile.mkdtemp(prefix="wire-"))
        self._own_folder = temporary is None
        self._mark = f"TMPDIR={self.folder}".encode()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCRIPTLING_")}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*wrapper, str(EXECUTABLE), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**inherited, "TMPDIR": str(self.folder), **(environment or {})},
            start_new_session=start_new_session,
        )
        self._stderr = bytearray()
        self._heard = threading.Condition()
        self._stderr_ended = False
        self._listener: threading.Thread | None = None
        self._end_seen = False

    def listen(self) -> None:
        """Begin to read stderr."""
        stream = self.process.stderr
        assert stream is not None
        self._listener = threading.Thread(target=self._listen, args=(stream,), name="stderr", daemon=True)
        self._listener.start()

    def _listen(self, stream: IO[bytes]) -> None:
        while data := os.read(stream.fileno(), 1 << 16):
            with self._heard:
                self._stderr += data
                self._heard.notify_all()
        with self._heard:
            self._stderr_ended = True
            self._heard.notify_all()

    @property
    def stderr(self) -> str:
        """What has come on stderr so far."""
        return self._stderr.decode(errors="replace")

    def wait_for_stderr(self, text: str, deadline: float = DEADLINE) -> None:
        """Wait until a text has come on stderr."""
        with self._heard:
            found = self._heard.wait_for(lambda: text in self.stderr or self._stderr_ended, deadline)
            assert found, f"not on stderr within {deadline} s: {text!r}; there is:\n{self.stderr}"
            assert text in self.stderr, f"the program has ended without {text!r}; there is:\n{self.stderr}"

    def all_stderr(self, deadline: float = DEADLINE) -> str:
        """Return everything that came on stderr, once nobody can write to it any more."""
        with self._heard:
            assert self._heard.wait_for(lambda: self._stderr_ended, deadline), "somebody keeps stderr open"
        return self.stderr

    def pids(self) -> list[int]:
        """Return every living process of this run."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_ours(pid)]  # noqa: PTH208

    def _is_ours(self, pid: int) -> bool:
        try:
            return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def wait_until_nothing_is_left(self, deadline: float = DEADLINE) -> None:
        """Wait until no process of this run lives."""
        wait_until(lambda: not self.pids(), deadline, lambda: f"still alive: {[describe(pid) for pid in self.pids()]}")

    def exit_code(self, deadline: float = DEADLINE) -> int:
        """Wait for the program's end and return its exit code, which the test judges."""
        self._end_seen = True
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the program did not end within {deadline} s; stderr:\n{self.stderr}") from None

    def check_end(self) -> None:
        """Hold that the program ends with exit code 0, unless the test has looked at that or has killed it."""
        if not self._end_seen:
            assert self.exit_code(10) == 0, self.stderr

    def kill(self) -> None:
        """Kill the front-end alone, and wait for its end."""
        self.process.kill()
        self.exit_code()

    def signal(self, number: int) -> None:
        """Send a signal to the front-end alone."""
        self.process.send_signal(number)

    def memory(self) -> int:
        """Return the resident bytes of the front-end."""
        return resident(self.process.pid)

    def peak_memory(self) -> int:
        """Return the most resident bytes that the front-end has ever had."""
        return resident(self.process.pid, "VmHWM")

    def zombies(self) -> list[str]:
        """Describe the dead below the front-end that nobody has buried; they have no environment to be known by."""
        return [text for text in map(describe, tree(self.process.pid)) if text.split()[1] == "(Z)"]

    def check_nothing_is_left(self) -> None:
        """Hold that with the program its processes, its run folder, memory stores and temporary files are gone."""
        self.wait_until_nothing_is_left()
        wait_until(lambda: not self._left_files(), 5, lambda: f"left behind: {self._left_files()}")

    def _left_files(self) -> list[Path]:
        return [*self.folder.iterdir(), *self.memory_stores()]

    def memory_stores(self) -> list[Path]:
        """Return the folders of the stores in memory; there is one at most."""
        return list(Path("/dev/shm").glob(f"scriptling-stores-{self.process.pid}-*"))

    def destroy(self) -> None:
        """Kill whatever is left, for the sake of other tests."""
        for _ in range(100):
            pids = self.pids()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not pids:
                break
            time.sleep(0.01)
        self.process.wait(DEADLINE)
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Close our ends of the streams, once whoever reads them has come to their end."""
        if self._listener is not None:
            self._listener.join(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def wait_until(condition: Callable[[], bool], deadline: float, otherwise: Callable[[], str]) -> None:
    """Look again and again at something that gives no event of its own, such as the end of somebody else's child."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"after {deadline} s: {otherwise()}"
        time.sleep(0.005)


def resident(pid: int, line: str = "VmRSS") -> int:
    """Return a line of the memory of a process, in bytes: what it has now, or with ``VmHWM`` what it had at most."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = next(each for each in text.splitlines() if each.startswith(line))
    return int(found.split()[1]) * 1024


def describe(pid: int) -> str:
    """Return a process's number, state and command."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return f"{pid} (gone)"
    return f"{pid} ({state}) {command[:200]}"
