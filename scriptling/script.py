"""Running a script in this process as ``__main__``, the way Python itself would.

What differs from ``python script.py``: the folders of ``-L`` stand behind the script's own in ``sys.path``, the
Scriptling builtins are there, and the plugins of ``--plugin-dir`` are loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

from scriptling.hints import install_hints
from scriptling.options import UsageError
from scriptling.settings import Settings


class Source(NamedTuple):
    """The text of a script.

    :ivar text: as read; bytes may carry an encoding declaration
    :ivar filename: what tracebacks and ``__file__`` say; ``<string>`` and ``<stdin>`` are no files
    :ivar argv0: what ``sys.argv[0]`` says
    """

    text: bytes | str
    filename: str
    argv0: str


def read_source(settings: Settings) -> Source:
    """Read what the settings name: ``-c``, stdin, a file, or nothing at all.

    :raises UsageError: a file that cannot be read
    """
    if settings.code is not None:
        return Source(settings.code, "<string>", "-c")
    if settings.script is None:
        return Source("", "<console>", "")
    if settings.script == "-":
        return Source(sys.stdin.buffer.read() if sys.stdin else b"", "<stdin>", "-")
    path = Path(settings.script)
    try:
        return Source(path.read_bytes(), str(path.absolute()), settings.script)
    except OSError as error:
        raise UsageError(f"cannot read {settings.script}: {error.strerror}") from None


def become_main(source: Source, settings: Settings) -> dict[str, Any]:
    """Make this process look as the script expects it, and return the namespace to run it in.

    Sets ``sys.argv``, puts the script's folders in front of ``sys.path``, replaces ``sys.modules["__main__"]`` and
    installs the Scriptling builtins.
    """
    from scriptling.builtins import install_builtins  # noqa: PLC0415 - reading a source needs none

    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    if not source.filename.startswith("<"):
        main.__file__ = source.filename
    sys.modules["__main__"] = main
    sys.argv = [source.argv0, *settings.script_args]
    sys.path[:0] = settings.import_path
    install_builtins()
    install_hints()
    return main.__dict__


def execute(source: Source, namespace: dict[str, Any]) -> None:
    """Compile and run a script; whatever it raises passes through."""
    code = compile(source.text, source.filename, "exec", dont_inherit=True)
    exec(code, namespace)


def run(settings: Settings) -> int:
    """Run the script of the settings and return 0; what the script raises passes through to the interpreter.

    The interpreter then does what it does for every script: exit status 1 and a traceback, the status of ``sys.exit``,
    or death by SIGINT. Only the frames of this program are taken out of the traceback.

    :raises UsageError: a script that cannot be read
    """
    source = read_source(settings)
    namespace = become_main(source, settings)
    load_plugins(settings.plugin_dirs)
    if settings.interactive:
        return _run_interactive(source, namespace)
    try:
        execute(source, namespace)
    except SystemExit:
        raise
    except BaseException as error:
        _show_without_our_frames(error)
        raise
    return 0


def load_plugins(folders: tuple[str, ...]) -> None:
    """Load every executable directly in the folders as a plugin, under the name it declares; failures are warnings."""
    if not folders:
        return
    from scriptling.plugin.folder import load_folder  # noqa: PLC0415 - the client is loaded only where it is used

    for folder in folders:
        load_folder(folder)


def script_traceback(error: BaseException) -> TracebackType | None:
    """Return an exception's traceback from the script's first frame on; None for a script that does not compile."""
    traceback = error.__traceback__
    while traceback is not None:
        code, traceback = traceback.tb_frame.f_code, traceback.tb_next
        if code is execute.__code__:
            return traceback
    return error.__traceback__


def _show_without_our_frames(error: BaseException) -> None:
    """Have the interpreter report an exception that leaves the program without the frames it passes on its way out."""
    hook, traceback = sys.excepthook, script_traceback(error)

    def report(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
        hook(kind, value.with_traceback(traceback), traceback)

    sys.excepthook = report


def _run_interactive(source: Source, namespace: dict[str, Any]) -> int:
    """Run the script, if any, then prompt; an exception of the script is shown and does not keep the prompt away."""
    from scriptling.console import interact  # noqa: PLC0415 - few runs are interactive

    try:
        execute(source, namespace)
    except BaseException as error:
        sys.excepthook(type(error), error.with_traceback(script_traceback(error)), error.__traceback__)
    interact(namespace)
    return 0
