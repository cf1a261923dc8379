"""The command line: from arguments to settings to what acts on them. Every way to start the program enters here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from scriptling.arguments import parse_arguments
from scriptling.options import UsageError
from scriptling.settings import Settings, load


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status; exceptions of a script that is simply run pass through.

    :param argv: arguments without the program's name; None takes ``sys.argv`` and forgets the folder of the program
        itself, which Python put on ``sys.path`` and which is no business of a script's imports
    """
    if argv is None:
        argv = sys.argv[1:]
        if not sys.flags.safe_path:
            del sys.path[0]
    try:
        return _run(argv)
    except UsageError as error:
        _complain(str(error))
        return 2


def _run(argv: Sequence[str]) -> int:
    arguments = parse_arguments(argv)
    if arguments.wants == "help":
        return _print_help()
    if arguments.wants == "version":
        return _print_version()
    settings = load(arguments, os.environ)
    if settings.serves:
        _die_by_interrupt()
        from workers.main import serve  # noqa: PLC0415 - a plain script needs no server

        return serve(settings)
    if settings.script is None and settings.code is None and not settings.interactive:
        if sys.stdin is None or sys.stdin.isatty():
            return _print_help()
        settings = settings._replace(script="-")
    return _run_script(settings)


def _die_by_interrupt() -> None:
    """Let Ctrl-C end the process without a traceback, until the server handles signals."""
    import signal  # noqa: PLC0415 - only servers need it

    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run_script(settings: Settings) -> int:
    from scriptling import log, script  # noqa: PLC0415 - a server configures its own log

    log.configure(settings.log_level, settings.log_format)
    if "--json-rpc" in settings.script_args and sys.stderr is not None:
        advice = f"flags come first, so to serve it, write: scriptling --json-rpc {settings.script or '-c CODE'}"
        sys.stderr.write(f"scriptling: warning: --json-rpc is an argument of the script here; {advice}\n")
    if settings.kv_storage:
        from scriptling.stores import places  # noqa: PLC0415 - few scripts have a store that persists

        places.configure(None, settings.kv_storage)
    return script.run(settings)


def _print_version() -> int:
    from scriptling.version import __version__  # noqa: PLC0415 - needed here only

    return _print(f"scriptling {__version__} (Python {sys.version.split()[0]})\n")


def _print_help() -> int:
    from scriptling.terminal import colours  # noqa: PLC0415 - needed here only
    from scriptling.usage import help_text  # noqa: PLC0415 - needed here only

    return _print(help_text(colours(sys.stdout)))


def _print(text: str) -> int:
    """Write to stdout; a reader that has seen enough is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _complain(text: str) -> None:
    from scriptling.terminal import RED, colours, paint  # noqa: PLC0415 - needed here only

    if sys.stderr is not None:
        name = paint("scriptling:", RED, colours(sys.stderr))
        sys.stderr.write(f"{name} {text}\nTry 'scriptling --help'.\n")
