"""Folders of plugins: every executable in one is loaded, under the name that it declares."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from scriptling.errors import PluginError
from scriptling.plugin.loading import load_declared

logger = logging.getLogger("scriptling.plugin")


def load_folder(folder: str) -> None:
    """Load every executable directly in a folder; one that fails, or a folder that cannot be read, is a warning.

    :param folder: absolute path
    """
    try:
        found = list(executables(Path(folder)))
    except OSError as error:
        logger.warning("cannot read the plugins in %s: %s", folder, error.strerror)
        return
    for path in scripts(Path(folder)):
        logger.warning("%s is not loaded: it may not be executed; chmod +x it if it is a plugin", path)
    for path in found:
        try:
            load_declared(path)
        except PluginError as error:
            logger.warning("%s is not loaded: %s", path, error)


def executables(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that may be executed, by name; hidden ones and folders are left out."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and path.is_file() and os.access(path, os.X_OK):
            yield path


def scripts(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that begin as scripts do (``#!``) and may not be executed; not the hidden ones."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and path.is_file() and not os.access(path, os.X_OK):
            with suppress(OSError), path.open("rb") as file:
                if file.read(2) == b"#!":
                    yield path
