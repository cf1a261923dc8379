"""The setup process: runs the setup script, hands over what it declares, and stays for its loop and its clean-up."""

from __future__ import annotations

import atexit
import sys
import traceback
from collections.abc import Callable, Sequence

from scriptling import script
from scriptling.protocol.messages import FunctionSchema
from scriptling.registry import Registry
from scriptling.runtime import context
from scriptling.schema import describe
from scriptling.settings import Settings
from workers import frames
from workers.children.asking import Asker, scope_of_script
from workers.frames import Hello, Registered, Started, Stop, Stopped
from workers.front_end.declared import find_problems, find_unserved
from workers.front_end.ending import SETUP_FAILED
from workers.sockets import Line

_PAUSE = 0.1  # seconds that one yield_now() waits for the end of the server


class SetupServer:
    """The server as the setup script sees it, through ``scriptling.runtime``."""

    def __init__(self, line: Line, settings: Settings) -> None:
        self.registry = Registry()
        self.library_path: Sequence[str] = settings.import_path
        self._settings = settings
        self.started = False
        self._line = line
        self._stopped = False
        self._waiting: list[Callable[[], None]] = []

    def start(self, wait: bool) -> None:
        """Register what was declared; return when the server runs, or with ``wait`` when it has stopped.

        :raises SystemExit: the server cannot run with what was declared; the front-end says why
        """
        if not self.started:
            self._register()
            waiting, self._waiting = self._waiting, []
            for action in waiting:
                action()
        while wait and not self._stopped:
            self._take(frames.decode_for_child(self._line.recv()))

    def when_started(self, action: Callable[[], None]) -> None:
        """Do something as soon as the server has started."""
        if self.started:
            action()
        else:
            self._waiting.append(action)

    def _register(self) -> None:
        declaration = self.registry.freeze()
        problems = find_problems(declaration, self._settings)
        functions: list[FunctionSchema] = []
        if not problems:
            for sentence in find_unserved(declaration, self._settings):
                sys.stderr.write(f"scriptling: warning: {sentence}\n")
            functions = [describe(function, self.library_path) for function in declaration.functions]
        self._line.send(frames.encode(Registered(declaration, functions, problems)))
        self._take(frames.decode_for_child(self._line.recv()))
        if not self.started:
            raise SystemExit(SETUP_FAILED)

    def _take(self, frame: frames.ToChild) -> None:
        if isinstance(frame, Started):
            self.started = True
        elif isinstance(frame, Stop):
            self._stopped = True

    def running(self) -> bool:
        """Whether the server has started and not stopped."""
        self._look(0)
        return self.started and not self._stopped

    def pause(self) -> None:
        """Wait a moment, or until the server stops: a loop around this costs nothing."""
        self._look(_PAUSE)

    def _look(self, seconds: float) -> None:
        if self._stopped:
            return
        frame = self._line.recv_within(seconds)
        if frame is not None:
            self._take(frames.decode_for_child(frame))


def run(settings: Settings, line: Line, asker: Asker) -> int:
    """Run the setup script to its end and through the life of the server, and return its exit code."""
    asker.elsewhere = scope_of_script()
    context.connect(asker.ask_others)
    line.send(frames.encode(Hello()))
    server = SetupServer(line, settings)
    context.install(server)
    code = _run_script(settings)
    if code is None:
        code = _guarded(lambda: server.start(wait=True)) or 0
    atexit._run_exitfuncs()  # the process ends without the interpreter's own end
    line.send(frames.encode(Stopped(code)))
    return code


def _run_script(settings: Settings) -> int | None:
    """Return the exit code that the script asked for or failed with; None if it came to its end."""

    def execute() -> None:
        source = script.read_source(settings)
        script.execute(source, script.become_main(source, settings))

    return _guarded(execute)


def _guarded(action: Callable[[], None]) -> int | None:
    try:
        action()
    except SystemExit as ended:
        return _exit_code(ended)
    except BaseException as error:
        shown = script.script_traceback(error)
        traceback.print_exception(type(error), error, shown, file=sys.stderr)
        return SETUP_FAILED
    return None


def _exit_code(ended: SystemExit) -> int:
    """Return what ``sys.exit(x)`` means as a number, and show its text as Python does."""
    if ended.code is None or isinstance(ended.code, int):
        return ended.code or 0
    sys.stderr.write(f"{ended.code}\n")
    return 1
