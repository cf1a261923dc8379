"""Runs code that need not be trusted to end, to stay small, or to be right: each sandbox is a process of its own.

A sandbox keeps mistakes away, not attackers: it runs as the same user, with the same files and the same network.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from scriptling import copies
from scriptling.runtime.patience import LONGEST
from scriptling.runtime.processes import Process, ProcessDiedError
from scriptling.stores import places

__all__ = ["Sandbox", "create"]

_TIMEOUT = 30.0  # seconds
_MEMORY = 512  # MiB
_REPLY = 10.0  # seconds for what runs no code of the user's


class Sandbox:
    """One namespace in a process of its own; it ends with this object, or with :meth:`close`.

    Nothing that the code does is raised here. What it was killed for stays: later code is not run, and fails likewise.
    """

    def __init__(self, capture_output: bool, timeout: float | None, memory: int) -> None:
        self._process: Process | None = None
        self._timeout = timeout
        self._exit_code = 0
        self._error = ""
        self._lost = ""
        self._stores = places.memory_folder() / f"sandbox-{os.urandom(8).hex()}"  # made when code uses one
        self._process = Process(capture_output)
        with suppress(ProcessDiedError):
            self._process.send(("sandbox", [*sys.path], str(self._stores), "", memory))

    def set(self, name: str, value: Any) -> None:
        """Give the code a copy of a value, under a name.

        :raises TypeError: a value that cannot be passed; None, bool, int, float, str, list, tuple, dict and set can
        :raises ValueError: no name of Python
        """
        if not str(name).isidentifier():
            raise ValueError(f"{name!r} cannot be the name of a variable")
        copies.check(value, name)
        self._ask("set", name, value, timeout=_REPLY)

    def get(self, name: str) -> Any:
        """Return a copy of a variable; None if there is none of that name.

        :raises TypeError: its value cannot be passed
        """
        answer = self._ask("get", name, timeout=_REPLY)
        if answer is None:
            return None
        _, value, problem = answer
        if problem:
            raise TypeError(problem)
        return value

    def exec(self, code: str) -> None:
        """Run code; see :meth:`exit_code` and :meth:`error` for what came of it."""
        self._run("exec", code, "<sandbox>")

    def exec_file(self, path: str | PathLike[str]) -> None:
        """Run a file."""
        self._run("file", str(Path(fspath(path)).absolute()))

    def exit_code(self) -> int:
        """Return how the code that was run last has ended: 0, 1 after an error, or what it gave ``sys.exit``."""
        return self._exit_code

    def error(self) -> str:
        """Return why that was not 0, such as a traceback; empty where there is nothing to say."""
        return self._error

    def output(self) -> str:
        """Return what was written to stdout and stderr since the beginning, if that is captured (16 MiB at most)."""
        return "" if self._process is None else self._process.output.decode(errors="replace")

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None and not self._lost:
            self._lost = "the sandbox was closed"
            self._end(self._process)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _run(self, *request: Any) -> None:
        answer = self._ask(*request, timeout=self._timeout)
        self._exit_code, self._error = (1, self._lost) if answer is None else answer

    def _ask(self, *request: Any, timeout: float | None) -> Any:
        """Return the answer; None if there is nobody any more who could give one."""
        if self._lost or self._process is None:
            return None
        try:
            self._process.send(request)
            return self._process.receive(timeout)
        except TimeoutError:
            self._lose(f"the sandbox was killed, because its code did not end within {timeout:g} s")
        except ProcessDiedError as end:
            self._lose(f"the sandbox is gone: {end}")
        except KeyboardInterrupt:  # an answer that is still to come must not be taken for that of the next request
            self._lose("the sandbox was killed, because who waited for its code was interrupted")
            raise
        return None

    def _lose(self, why: str) -> None:
        assert self._process is not None
        self._lost = why
        self._end(self._process)

    def _end(self, process: Process) -> None:
        process.close()
        if process.is_own and self._stores.exists():
            places.remove_memory_folder(self._stores)


def create(capture_output: bool = False, *, timeout: float | None = _TIMEOUT, memory: int = _MEMORY) -> Sandbox:
    """Return a new sandbox.

    :param capture_output: keep what the code writes for :meth:`Sandbox.output`, instead of writing it where this
        process does
    :param timeout: seconds that each piece of code may run, waiting included; None is no bound
    :param memory: MiB that it may allocate; 0 is no bound. Beyond it the code gets MemoryError
    :raises ValueError: a limit that is none
    """
    if timeout is not None and not (_is_number(timeout) and 0 < timeout < math.inf):
        raise ValueError(f"create(): the timeout must be a number of seconds above 0, or None, not {timeout!r}")
    if type(memory) is not int or not (memory == 0 or memory >= _LEAST_MEMORY):
        raise ValueError(f"create(): memory must be 0, or {_LEAST_MEMORY} MiB or more, not {memory!r}")
    return Sandbox(capture_output, None if timeout is None else min(timeout, LONGEST), memory)


_LEAST_MEMORY = 32  # MiB; Python itself takes ten


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
