"""The other side of :mod:`scriptling.runtime.processes`: runs what a sandbox is given, or one task."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from scriptling import copies
from scriptling.builtins import install_builtins
from scriptling.runtime import context
from scriptling.stores import places

_HEAD = 8  # bytes that tell the length of a message
_KILLED = 1  # exit status where nobody is left to be told


class _Channel:
    """Messages to and from whoever has started this process."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        os.set_inheritable(fd, False)
        self._stream = self._socket.makefile("rb")
        self._sending = threading.Lock()

    def send(self, *message: Any) -> None:
        data = copies.pack(message, "a message", copies.WITH_BYTES)
        with self._sending:
            self._socket.sendall(len(data).to_bytes(_HEAD, "little") + data)

    def receive(self) -> Any:
        """Return the next message.

        :raises EOFError: none will come, because nobody is there any more
        """
        try:
            head = self._stream.read(_HEAD)
            data = self._stream.read(int.from_bytes(head, "little"))
        except ConnectionError:
            raise EOFError from None
        if len(head) < _HEAD:
            raise EOFError
        return copies.unpack(data)


def _die_with_the_last_writer(life: int) -> None:
    """Have the kernel kill this process, and what it starts, when a pipe loses its writers, whatever runs here."""
    os.set_inheritable(life, False)
    fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC)
    poll = select.poll()
    poll.register(life, select.POLLHUP)
    if poll.poll(0):  # it had none any more
        os._exit(_KILLED)


def main(fd: int, life: int) -> None:
    """Do what is asked until nobody is left who asks."""
    _die_with_the_last_writer(life)
    channel = _Channel(fd)
    kind, import_path, memory_folder, storage, *more = channel.receive()
    sys.path[:] = import_path
    sys.argv = [""]
    places.configure(Path(memory_folder), storage)
    install_builtins()
    if kind == "task":
        _run_task(channel, *more)
    else:
        _Sandbox(*more).serve(channel)


class _Sandbox:
    """Runs pieces of code in one namespace."""

    def __init__(self, most_memory: int) -> None:
        if most_memory:
            _limit_memory(most_memory << 20)
        main = ModuleType("__main__")
        main.__dict__["__builtins__"] = sys.modules["builtins"]
        sys.modules["__main__"] = main
        self._namespace = main.__dict__

    def serve(self, channel: _Channel) -> None:
        actions: dict[str, Callable[..., tuple[Any, ...]]] = {
            "set": self._set,
            "get": self._get,
            "exec": self._exec,
            "file": self._exec_file,
        }
        while True:
            operation, *args = channel.receive()
            channel.send(*actions[operation](*args))

    def _set(self, name: str, value: Any) -> tuple[Any, ...]:
        self._namespace[name] = value
        return ()

    def _get(self, name: str) -> tuple[Any, ...]:
        value = self._namespace.get(name)
        try:
            copies.check(value, name)
        except TypeError as error:
            return "", None, str(error)
        return "", value, ""

    def _exec_file(self, path: str) -> tuple[Any, ...]:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
                code = file.read()
        except OSError as error:
            return self._report(1, f"cannot read {path}: {error.strerror}")
        return self._exec(code, path)

    def _exec(self, code: str | bytes, filename: str) -> tuple[Any, ...]:
        try:
            exec(compile(code, filename, "exec", dont_inherit=True), self._namespace)
        except SystemExit as ended:
            if ended.code is None or isinstance(ended.code, int):
                return self._report(int(ended.code or 0), "")
            return self._report(1, _text(ended.code))
        except BaseException as error:
            return self._report(1, _describe(error))
        return self._report(0, "")

    def _report(self, code: int, error: str) -> tuple[Any, ...]:
        with suppress(Exception):  # the code may have done anything to its streams
            if error:
                print(error.rstrip(), file=sys.stderr)  # noqa: T201 - as Python does with what a script raises
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        return code, error


def _limit_memory(most: int) -> None:
    """Bound what is allocated here and in whatever is started from here (bytes); a bound that is lower stays."""
    import resource  # noqa: PLC0415 - tasks have no limit of their own

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _text(value: object) -> str:
    try:
        return str(value)
    except BaseException:
        return f"what cannot be shown: a {type(value).__name__}"


def _describe(error: BaseException) -> str:
    shown = error.__traceback__.tb_next if error.__traceback__ else None
    try:
        return "".join(traceback.format_exception(type(error), error, shown)).encode("utf-8", "replace").decode()
    except BaseException:  # one that cannot even be shown, or there is no memory for it
        return type(error).__name__


class _Bridge:
    """Asks what the threads of the script share that has started this task."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._numbers = count()
        self._open: dict[int, tuple[threading.Event, list[bytes | None]]] = {}
        threading.Thread(target=self._listen, name="answers", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                number, answer = self._channel.receive()
            except EOFError:  # the kernel is about to end this process, and what it has started
                return
            event, answers = self._open.pop(number)
            answers.append(answer)
            event.set()

    def ask(self, want: str, target: str, operation: str, params: bytes, patience: float | None) -> bytes:
        number = next(self._numbers)
        event, answers = self._open[number] = (threading.Event(), [])
        self._channel.send("ask", number, want, target, operation, params, patience)
        event.wait()
        if answers[0] is None:
            raise TimeoutError
        return answers[0]


def _run_task(channel: _Channel, spec: bytes) -> None:
    from scriptling.tasks import decode_spec, encode_outcome, run  # noqa: PLC0415 - sandboxes need none of it

    context.connect(_Bridge(channel).ask)
    channel.send("done", encode_outcome(run(decode_spec(spec))))
    threading.Event().wait()  # until the one who has started this has it, and ends it
