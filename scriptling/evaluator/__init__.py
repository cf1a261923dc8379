"""Runs handlers as if each call had an interpreter of its own, at a cost of microseconds.

One :class:`Evaluator` per process. Around each call a worker says :meth:`~Evaluator.begin` and :meth:`~Evaluator.end`;
in between :meth:`~Evaluator.function` gives it the handler, out of modules that were executed for this call only.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any

from scriptling import references
from scriptling.builtins import install_builtins
from scriptling.evaluator.libraries import Libraries
from scriptling.evaluator.state import ProcessState
from scriptling.evaluator.table import ModuleTable
from scriptling.registry import Handler

if TYPE_CHECKING:
    from pathlib import Path

    from scriptling.errors import RpcError

__all__ = ["Evaluator", "HandlerNotFound", "describe_exception", "user_traceback"]

# ns. A call this long may have left a lot of memory in reference cycles, and does not notice their collection.
_LONG = 1_000_000


class HandlerNotFound(Exception):  # noqa: N818 - it says what is the matter
    """There is no such library or function; the text names the nearest that there is."""


class Evaluator:
    """Fresh namespaces for handlers.

    :param library_path: folders that ``import`` looks in before Python's own, in this order
    :param reload: whether a library file that has changed is compiled again, at the price of one ``stat`` per module
        and call
    """

    def __init__(self, library_path: Sequence[str | Path], reload: bool = False) -> None:
        self._folders = [os.path.abspath(folder) for folder in library_path]  # noqa: PTH100 - no pathlib at start
        self._libraries = Libraries(self._folders, reload)
        self._targets: dict[str, tuple[str, str]] = {}
        self._tracked: dict[Any, Any] = {}
        self._begun = 0

    def install(self) -> None:
        """Take over ``import`` in this process, and remember its state as what every call starts from.

        To be called once, in the process that runs handlers, after its own imports. It also puts the Scriptling
        builtins in place and the library folders in front of ``sys.path``.
        """
        install_builtins()
        sys.path[:] = [*self._folders, *(folder for folder in sys.path if folder not in self._folders)]
        self._table = ModuleTable(self._libraries)
        builtins.__import__ = self._table.importing()
        sys.meta_path.insert(0, self._libraries)
        self._state = ProcessState(self._table.is_shared)

    def begin(self) -> None:
        """Begin a call. The one before must have been ended."""
        self._libraries.begin()
        self._begun = perf_counter_ns()

    def end(self) -> None:
        """End a call: what it did to the process is undone, its modules are forgotten.

        Everything that needs them, the encoding of the result included, has to be done by now; references that are
        still held keep them in memory.
        """
        self.repair()
        self.tidy()

    def repair(self) -> None:
        """Do the first part of :meth:`end`: give the builtins back to whoever tells what came of the call."""
        self._state.restore_builtins()

    def tidy(self) -> None:
        """Do the other part of :meth:`end`, for which nobody has to wait."""
        self._table.restore()  # which looks at sys.path as the call left it
        self._state.restore()
        if self._tracked:
            self._tracked.clear()
        if perf_counter_ns() - self._begun > _LONG:
            gc.collect(1)

    def function(self, handler: Handler) -> Callable[..., Any]:
        """Return the function or class of a handler, out of modules executed for this call.

        :raises HandlerNotFound: no such library, no such name in it, or what it names cannot be called
        :raises BaseException: whatever the handler's modules raise while they are executed
        """
        if handler.pickled:
            return self._unpickle(handler.pickled)
        reference = handler.reference
        library, name = self._targets.get(reference) or self._parse(reference)
        module = sys.modules.get(library)
        if module is None:
            module = self._import(reference, library)
        try:
            found = getattr(module, name)
        except AttributeError:
            raise HandlerNotFound(references.unknown_name(reference, library, name, vars(module))) from None
        if not callable(found):
            raise HandlerNotFound(f"the handler {reference} cannot be called: it is of type {type(found).__name__}")
        return found  # type: ignore[no-any-return]

    def _parse(self, reference: str) -> tuple[str, str]:
        target = references.split(reference)
        if target is None:
            raise HandlerNotFound(references.malformed(reference))
        self._targets[reference] = target
        return target

    def _import(self, reference: str, library: str) -> ModuleType:
        libraries = self._libraries
        if library in libraries.known and libraries.is_quiet():
            module = libraries.load(library)
            if module is not None:
                return module
        try:
            return importlib.import_module(library)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{library}.".startswith(f"{error.name}."):
                raise  # the library is there; something that it imports is not
            raise HandlerNotFound(references.unknown_library(reference, error.name, self._around(error.name))) from None

    def _around(self, library: str) -> Sequence[str]:
        parent = library.rpartition(".")[0]
        return list(getattr(sys.modules.get(parent), "__path__", ())) if parent else self._folders

    def _unpickle(self, pickled: bytes) -> Callable[..., Any]:
        import pickle  # noqa: PLC0415 - only functions that travelled by value need these

        from cloudpickle import cloudpickle  # noqa: PLC0415

        # It gives a class that comes twice the same object, if the first is still there.
        self._tracked = getattr(cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_ID", {})
        function: Callable[..., Any] = pickle.loads(pickled)
        return function


def describe_exception(error: BaseException, show_traceback: bool = True) -> RpcError:
    """Return the error that a caller gets for what a handler raised; see :mod:`scriptling.evaluator.failures`."""
    from scriptling.evaluator import failures  # noqa: PLC0415 - the traceback module is slow to import

    return failures.describe_exception(error, show_traceback)


def user_traceback(error: BaseException) -> str:
    """Return an exception's traceback without frames of this program; see :mod:`scriptling.evaluator.failures`."""
    from scriptling.evaluator import failures  # noqa: PLC0415 - as above

    return failures.user_traceback(error)
