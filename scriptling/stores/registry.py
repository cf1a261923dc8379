"""One :class:`Store` for each store in a process, because LMDB must not be open twice; and what a fork needs."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime_ns, time_ns
from weakref import WeakValueDictionary

from scriptling.stores import places
from scriptling.stores.environment import Environment
from scriptling.stores.store import Store

_MOST_OPEN = 64  # stores that stay open although nobody has them

_lock = threading.RLock()
_all: WeakValueDictionary[tuple[str, str], Store] = WeakValueDictionary()
_recent: OrderedDict[tuple[str, str], Store] = OrderedDict()
_held: list[Environment] = []


def open_default() -> Store:
    """Return the store that settings name, which is in memory unless they do."""
    storage = places.default_storage()
    return open_path(storage) if storage else open_memory("default", "")


def open_memory(space: str, name: str) -> Store:
    """Return a store in memory, shared by all processes of this server or script.

    :param space: whose names they are: names in different spaces never meet
    """
    return _opened(
        (space, name),
        # The time since the machine was started cannot be set, and goes on while it sleeps.
        lambda: Store(
            Environment(lambda: places.folder_of(space, name), durable=False, shares=True),
            lambda: clock_gettime_ns(CLOCK_BOOTTIME),
        ),
    )


def open_path(path: str | os.PathLike[str]) -> Store:
    """Return a store that persists in a folder, which is made when the store is first used."""
    folder = Path(path).resolve()
    return _opened(("/", str(folder)), lambda: Store(Environment(lambda: folder, durable=True), time_ns))


def _opened(key: tuple[str, str], make: Callable[[], Store]) -> Store:
    with _lock:
        store = _all.get(key) or make()
        _all[key] = store
        _recent[key] = store
        _recent.move_to_end(key)
        if len(_recent) > _MOST_OPEN:
            _recent.popitem(last=False)[1].environment.close_if_idle()
        return store


def _before_fork() -> None:
    _lock.acquire()
    places.memory_folder()  # the child is to have the same
    _held[:] = [store.environment for store in list(_all.values())]
    for environment in _held:
        environment.before_fork()


def _after_fork() -> None:
    for environment in reversed(_held):
        environment.after_fork()
    _held.clear()
    _lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
