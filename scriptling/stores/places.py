"""Where stores live. Memory stores have a private folder in shared memory, which nothing outlives.

A server makes that folder for all of its processes and removes it. A plain script makes one when it first needs it; it
goes when the script ends. What a killed script has left is removed by the next one that makes a folder: an owner holds
a lock, which ends with it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
from contextlib import suppress
from pathlib import Path

_SHARED_MEMORY = "/dev/shm"
_PREFIX = "scriptling-stores-"


class _Given:
    """What this process was told, once, before a store was opened."""

    memory: Path | None = None
    storage: str = ""


def configure(memory: Path | None, storage: str) -> None:
    """Say where stores live; children of this process inherit it.

    :param memory: the folder of memory stores; None makes a private one when it is needed
    :param storage: the folder of the default store; empty for a memory store
    """
    _Given.memory = memory
    _Given.storage = storage


def default_storage() -> str:
    """Return the folder of the default store, or nothing if it is in memory."""
    return _Given.storage


def memory_folder() -> Path:
    """Return the folder of this process's memory stores.

    :raises OSError: there is no place for one
    """
    if _Given.memory is None:
        _Given.memory = make_memory_folder()
        atexit.register(_remove_at_exit, _Given.memory, os.getpid())
    return _Given.memory


def folder_of(space: str, name: str) -> Path:
    """Return the folder of a memory store; any name will do.

    :param space: whose names they are
    """
    from hashlib import blake2b  # noqa: PLC0415 - the front-end, which knows no stores, makes the folder

    return memory_folder() / f"{space}-{blake2b(name.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"


def make_memory_folder() -> Path:
    """Make a folder of mode 0700 in shared memory, or among temporary files where there is none.

    :raises OSError: there is no place for one
    """
    base = Path(_SHARED_MEMORY)
    if not os.access(base, os.W_OK | os.X_OK):
        base = Path(os.environ.get("TMPDIR") or "/tmp")
    _remove_left_ones(base)
    unowned = Path(base, f".{_PREFIX}{os.getpid()}-{os.urandom(6).hex()}")
    unowned.mkdir(mode=0o700)
    _own(unowned)  # held by this process and its children, until the last of them has ended
    return unowned.rename(unowned.with_name(unowned.name[1:]))


def remove_memory_folder(folder: Path) -> None:
    """Delete the folder with all memory stores; it may be gone already."""
    import shutil  # noqa: PLC0415 - needed at the end only

    shutil.rmtree(folder, ignore_errors=True)


def _remove_at_exit(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        remove_memory_folder(folder)


def _own(folder: Path) -> int:
    """Make a folder this process's, and return the descriptor that holds it.

    :raises OSError: somebody has it
    """
    descriptor = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_left_ones(base: Path) -> None:
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.getuid():
                held = _own(folder)
                remove_memory_folder(folder)
                os.close(held)
