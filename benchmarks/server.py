"""A server of the protocol, started for being measured."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks import load, wire
from benchmarks.model import OURS, PeerFailed, Unavailable

SETUP = Path(__file__).parent / "served" / "setup.py"
_STOP = 20.0  # seconds that a server has for ending


class Command(NamedTuple):
    """How to start a server: a name for the report, and words that may hold ``{setup}`` and ``{workers}``."""

    name: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Command:
        """Read ``NAME=command line``.

        :raises ValueError: there is no name or no command in it
        """
        name, _, line = text.partition("=")
        words = tuple(shlex.split(line))
        if not name or not words:
            raise ValueError(f"a peer is given as NAME='command line', not as {text!r}")
        program, *rest = words
        if "/" in program:  # seen from where the user is; the server gets another working folder
            program = str(Path(program).absolute())
        return cls(name, (program, *rest))

    @property
    def has_workers(self) -> bool:
        """Whether the number of workers can be chosen."""
        return any("{workers}" in word for word in self.words)

    def filled(self, setup: Path, workers: int) -> list[str]:
        """Return the argument vector."""
        return [word.replace("{setup}", str(setup)).replace("{workers}", str(workers)) for word in self.words]


def ours() -> Command:
    """Return how this project's server is started."""
    return Command(OURS, (sys.executable, "-m", "scriptling", "--json-rpc", "--workers", "{workers}", "{setup}"))


def environment() -> dict[str, str]:
    """Return the environment for what is measured: nobody's settings, and this package importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCRIPTLING_")}
    root = str(Path(__file__).parent.parent)
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


class Server:
    """A running process that answers lines with lines.

    :param command: argument vector
    :param folder: working folder
    :raises Unavailable: it cannot be started
    """

    def __init__(self, command: Sequence[str], folder: Path = SETUP.parent) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=folder,
                env=environment(),
                bufsize=0,
                start_new_session=True,  # so that all of it can be ended, whatever it has started
            )
        except OSError as error:
            self._errors.close()
            raise Unavailable(f"cannot be started: {error}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pipes = load.Pipes(self._process.stdin.fileno(), self._process.stdout.fileno())
        for fd in self.pipes:
            os.set_blocking(fd, False)

    @property
    def pid(self) -> int:
        """The process that was started; others may be below it."""
        return self._process.pid

    def drive(self, requests: wire.Requests, depth: int, patience: float = load.PATIENCE) -> load.Run:
        """Do :func:`benchmarks.load.drive`, and say what is on stderr if it fails."""
        try:
            return load.drive(self.pipes, requests, depth, patience)
        except PeerFailed as error:
            raise PeerFailed(f"{error}{self.last_words()}") from None

    def ask(self, method: str, params: Any) -> Any:
        """Send one request and return its result.

        :raises PeerFailed: it is answered by an error, or not at all
        """
        run = self.drive(wire.Stock([wire.tail(method, params)]).take(1), 1)
        answer = msgspec.json.decode(load.answers(run)[0])
        if "error" in answer:
            raise PeerFailed(f"{method}: {answer['error'].get('message')}")
        return answer.get("result")

    def handshake(self) -> None:
        """Wait until it answers; every server of the protocol begins with this."""
        self.ask("scriptling.handshake", {"protocol": "1.0", "host": "benchmarks", "transports": ["json"]})

    def create(self, name: str, *arguments: Any) -> str:
        """Make an object; return its id."""
        return str(self.ask("object.new", {"class": name, "args": wire.values(*arguments)})["id"])

    def destroy(self, object_id: str) -> None:
        """Let go of an object."""
        self.ask("object.destroy", {"object_id": object_id})

    def terminate(self) -> None:
        """Ask it by a signal to end."""
        self._process.terminate()

    def close(self) -> None:
        """End it as a host does, and everything that it has left by force."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._errors.close()

    def last_words(self) -> str:
        """Return the last line that it wrote to stderr, ready to be put behind a sentence."""
        _await_end(self._process)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"; it wrote: {lines[-1][:300]}" if lines else ""


def _await_end(process: subprocess.Popen[bytes]) -> None:
    # What a dying server writes comes a moment after its pipes have closed.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)


class Helper:
    """A child process of this package that runs one peer's library, and measures it from inside.

    :param name: a module of :mod:`benchmarks.peers` or :mod:`benchmarks.limits`, with the package
    :raises Unavailable: it has not what it needs
    """

    def __init__(self, name: str) -> None:
        self._server = Server([sys.executable, "-m", "benchmarks.peers", name], SETUP.parent.parent.parent)
        self._buffer = b""
        try:
            self._receive(60.0)
        except BaseException:
            self._server.close()
            raise

    def measure(self, seconds: float, task: str, **options: Any) -> dict[str, float]:
        """Have one round measured; return its figures.

        :raises PeerFailed: the peer broke
        """
        request = msgspec.json.encode({"task": task, "seconds": seconds, "options": options}) + b"\n"
        os.write(self._server.pipes.to, request)  # shorter than a pipe is deep
        figures: dict[str, float] = self._receive(60.0 + 20 * seconds)
        return figures

    def close(self) -> None:
        """End it."""
        self._server.close()

    def _receive(self, patience: float) -> Any:
        deadline = time.monotonic() + patience
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._server.pipes.back], [], [], left)[0]:
                raise PeerFailed(f"no figures for {patience:g} s")
            data = os.read(self._server.pipes.back, 1 << 16)
            if not data:
                raise PeerFailed(f"it ended{self._server.last_words()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = msgspec.json.decode(line)
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        if "failed" in answer:
            raise PeerFailed(answer["failed"])
        return answer
