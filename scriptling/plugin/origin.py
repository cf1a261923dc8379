"""Where a plugin comes from, and what it is called: the arguments of ``load()``, checked (protocol section 6)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scriptling.errors import PluginLoadError
from scriptling.plugin.library import HTTP_SCHEMES, WEBSOCKET_SCHEMES, Origin

PREFIX = "plugin."

PathText = str | os.PathLike[str]


def normalised(name: str) -> str:
    """Return a library name with the prefix ``plugin.``.

    :raises PluginLoadError: it is no name
    """
    bare = name.removeprefix(PREFIX)
    if not all(bare.split(".")) or any(character.isspace() for character in bare):
        raise PluginLoadError(f"{name!r} is no name for a plugin")
    return PREFIX + bare


def origin_of(path: PathText, args: Sequence[PathText] | None, headers: Mapping[str, str] | None) -> Origin:
    """Return what a plugin is identified by.

    :raises PluginLoadError: there is no such executable, or ``args`` and ``headers`` do not go with the path
    """
    text = os.fspath(path)
    if text.startswith(HTTP_SCHEMES + WEBSOCKET_SCHEMES):
        if args:
            raise PluginLoadError(f"a plugin at a URL takes no args, but there are: {_shown(args)}")
        return Origin(text)
    if "://" in text:
        raise PluginLoadError(f"a plugin is an executable or an http(s):// or ws(s):// URL, and {text!r} is neither")
    if headers:
        raise PluginLoadError(f"headers are sent to URLs only, and {text!r} is an executable")
    if isinstance(args, (str, bytes)):
        raise PluginLoadError(f"args must be a list of texts, not {args!r}")
    return Origin(str(_executable(text)), tuple(os.fspath(argument) for argument in args or ()))


def _shown(args: Sequence[PathText]) -> str:
    return " ".join(os.fspath(argument) for argument in args)


def _executable(text: str) -> Path:
    """Return the absolute path of an executable; a bare name is looked up.

    :raises PluginLoadError: it cannot be executed
    """
    if text and os.sep not in text:
        return _looked_up(text)
    path = Path(os.path.abspath(text))  # noqa: PTH100 - resolves "..", and leaves symbolic links alone
    if not text or not path.exists():
        raise PluginLoadError(f"there is no plugin at {text!r}")
    if path.is_dir():
        raise PluginLoadError(f"{text!r} is a folder, not an executable")
    if not os.access(path, os.X_OK):
        raise PluginLoadError(f"{text!r} is not executable (chmod +x makes it so)")
    return path


def _looked_up(name: str) -> Path:
    # Where the interpreter is, too: in a virtual environment that is not activated, its programs are not on PATH.
    folders = [*os.get_exec_path(), os.path.dirname(sys.executable)]  # noqa: PTH120 - not resolved: see above
    for folder in folders:
        candidate = Path(folder or ".").absolute() / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise PluginLoadError(f"there is no executable {name!r} on PATH; give a path with a slash for a file of your own")
