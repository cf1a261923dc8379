"""A server and its host together, for the length of a test or of a module of tests."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.wire.host import Host
from tests.wire.program import DEADLINE, Program
from tests.wire.transport import Stdio

SETUP = """\
import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin
plugin.serve("tested", "1.0", "Under test")
"""


class Server(Host):
    """A running plugin server, and the only host it has.

    :ivar program: its process
    """

    def __init__(
        self,
        setup: Path,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        after: Sequence[str] = (),
        **more: Any,
    ) -> None:
        self.program = Program(["--json-rpc", *flags, str(setup), *after], setup.parent, environment, **more)
        process = self.program.process
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdio = Stdio(process.stdin, process.stdout)
        super().__init__(self.stdio)

    def end(self) -> None:
        """End the program's input."""
        self.stdio.end()

    def stop(self, deadline: float = DEADLINE) -> str:
        """End the input, hold that all ends well, and return what came on stderr."""
        self.end()
        assert self.program.exit_code(deadline) == 0, self.program.stderr
        self.check()
        self.program.check_nothing_is_left()
        return self.program.all_stderr()


@contextmanager
def running(
    setup: Path, *flags: str, environment: Mapping[str, str] | None = None, listen: bool = True, **more: Any
) -> Iterator[Server]:
    """Run a server; what the test has not ended is ended here, in order, and nothing may be left of it.

    A server that has ended by itself has to have done so with exit code 0 as well, unless the test has looked at that.

    :param listen: whether to read its stderr and its answers; a host may leave that
    """
    server = Server(setup, flags, environment, **more)
    try:
        if listen:
            server.program.listen()
            server.start()
        yield server
        if server.program.process.poll() is None:
            server.end()
        server.program.check_end()
        if listen:
            server.check()
        server.program.check_nothing_is_left()
    finally:
        server.program.destroy()
        server.join()
        server.program.close()


Serve = Callable[..., Server]
"""Starts a server of ``setup`` and ``handlers`` (texts), with flags; see :func:`serving`."""


@contextmanager
def serving(folder: Path) -> Iterator[Serve]:
    """Give a function that writes a plugin's files into a folder and runs it, until the end of the test."""
    with ExitStack() as stack:

        def serve(handlers: str = "", setup: str = "", *flags: str, **more: Any) -> Server:
            return stack.enter_context(running(write_plugin(folder, handlers, setup), *flags, **more))

        yield serve


def write_plugin(folder: Path, handlers: str, setup: str = "") -> Path:
    """Write ``handlers.py`` and ``setup.py``, and return the latter.

    Without a setup script of its own, every function of the handlers is served, and every class, unless its name begins
    with ``_``.
    """
    source = textwrap.dedent(handlers)
    (folder / "handlers.py").write_text(source)
    path = folder / "setup.py"
    path.write_text(textwrap.dedent(setup) or SETUP + registrations(source))
    return path


def registrations(source: str) -> str:
    """Return the registrations of everything public at the top of a module."""
    lines = []
    for line in source.splitlines():
        word, _, rest = line.removeprefix("async ").partition(" ")
        name = rest.partition("(")[0].partition(":")[0]
        if name.startswith("_"):
            continue
        if word == "def":
            lines.append(f"plugin.register_function({name!r}, 'handlers.{name}')\n")
        elif word == "class":
            lines.append(f"plugin.register_class('handlers.{name}')\n")
    return "".join(lines)
