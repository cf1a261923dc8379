"""What a process shares with everything that runs in it, put back to what it was at the start.

Each part compares before it writes: a call that changed nothing costs a few microseconds.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # the signal module turns each handler into an enumeration first
import builtins
import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

_TIMERS = (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF)


class ProcessState:
    """A snapshot of the process.

    It holds builtins, the attributes of ``sys`` and its lists, environment, signal handlers and timers, working
    directory, locale, recursion limit, trace functions, whether garbage is collected, and ``random``.

    :param is_shared: tells whether a class is defined in a module that outlives calls
    """

    def __init__(self, is_shared: Callable[[object], bool]) -> None:
        self._is_shared = is_shared
        self._builtins = dict(vars(builtins))
        self._sys = dict(vars(sys))
        self._lists: list[list[Any]] = [sys.path, sys.argv, sys.path_hooks]
        self._contents = [[*items] for items in self._lists]
        self._finders = [*sys.meta_path]
        self._environ = os.environ
        self._variables = dict(os.environ)
        self._encoded = dict(_encoded(os.environ))
        self._numbers = sorted(_signal.valid_signals())
        self._handlers = [*map(_signal.getsignal, self._numbers)]
        self._reads = [read for read, _ in _settings()]
        self._writes = [write for _, write in _settings()]
        self._settings = [read() for read in self._reads]
        self._random = RandomState()

    def restore_builtins(self) -> None:
        """Undo what a call did to the builtins, which everything else here needs."""
        if not self._has_builtins():
            _put_back(builtins.__dict__, self._builtins)

    def _has_builtins(self) -> bool:
        try:
            return builtins.__dict__ == self._builtins
        except:  # noqa: E722 - what is there may refuse to be compared, and no name of an exception can be relied on
            return False

    def restore(self) -> None:
        """Undo what else a call did."""
        if not self._is_as_at_the_start():
            self._put_all_back()
        self._random.restore()

    def _is_as_at_the_start(self) -> bool:
        try:
            return (
                vars(sys) == self._sys
                and self._lists == self._contents
                and sys.meta_path == self._finders
                and os.environ is self._environ
                and _encoded(self._environ) == self._encoded
                and [*map(_signal.getsignal, self._numbers)] == self._handlers
                and [read() for read in self._reads] == self._settings
            )
        except Exception:  # as above; or the working directory has been removed
            return False

    def _put_all_back(self) -> None:
        _put_back(vars(sys), self._sys)
        for items, saved in zip(self._lists, self._contents, strict=True):
            items[:] = saved
        self._restore_finders()
        self._restore_environment()
        self._restore_handlers()
        for write, value in zip(self._writes, self._settings, strict=True):
            with suppress(OSError):  # the working directory of the start may be gone for good
                write(value)

    def _restore_finders(self) -> None:
        # A finder that an installed package brings when it is first imported is part of that package, and stays.
        first, *others = self._finders
        present = [finder for finder in sys.meta_path if finder in others or self._is_shared(finder)]
        missing = [finder for finder in others if finder not in present]
        sys.meta_path[:] = [first, *(finder for finder in present if finder is not first), *missing]
        self._finders = [*sys.meta_path]

    def _restore_environment(self) -> None:
        vars(os)["environ"] = environ = self._environ
        for name in [*environ]:
            if name not in self._variables:
                del environ[name]
        for name, value in self._variables.items():
            if environ.get(name) != value:
                environ[name] = value

    def _restore_handlers(self) -> None:
        for number, saved in zip(self._numbers, self._handlers, strict=True):
            # None is a handler that was not set by Python, and cannot be.
            if _signal.getsignal(number) is not saved and saved is not None:
                _signal.signal(number, saved)


class RandomState:
    """Sees to it that no call finds the numbers of ``random`` predictable because of an earlier one.

    Reading the generator's state costs as much as a whole call. Instead, a freshly seeded generator is left with the
    second number of a pair of Gaussian ones in store: whatever sets its state replaces or removes that number.
    """

    def __init__(self) -> None:
        self._mark: object = self
        self._module: ModuleType | None = None
        self.restore()

    def restore(self) -> None:
        """Seed the generator afresh if its state was set since this was last called."""
        module = self._module or self._find()
        if module is not None and module._inst.gauss_next is not self._mark:
            self._seed(module)

    def _find(self) -> ModuleType | None:
        module = sys.modules.get("random")
        if hasattr(module, "_inst"):
            self._module = module
        return self._module

    def _seed(self, module: ModuleType) -> None:
        module._inst.seed()
        module._inst.gauss(0.0, 1.0)
        self._mark = module._inst.gauss_next


def _settings() -> list[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    locale = partial(_locale.setlocale, _locale.LC_ALL)
    return [
        (sys.getrecursionlimit, sys.setrecursionlimit),
        (sys.getswitchinterval, sys.setswitchinterval),
        (sys.gettrace, sys.settrace),
        (sys.getprofile, sys.setprofile),
        (gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
        (os.getcwd, os.chdir),
        (locale, locale),
        *((partial(_signal.getitimer, timer), partial(_set_timer, timer)) for timer in _TIMERS),
        (
            partial(_signal.pthread_sigmask, _signal.SIG_BLOCK, ()),
            partial(_signal.pthread_sigmask, _signal.SIG_SETMASK),
        ),
    ]


def _set_timer(timer: int, times: tuple[float, float]) -> None:
    _signal.setitimer(timer, *times)


def _encoded(environ: os._Environ[str]) -> dict[bytes, bytes]:
    data: dict[bytes, bytes] = vars(environ)["_data"]
    return data


def _put_back(namespace: dict[str, Any], saved: dict[str, Any]) -> None:
    # Never empty, not even for a moment: other threads run on these names.
    namespace.update(saved)
    for name in namespace.keys() - saved.keys():
        del namespace[name]
