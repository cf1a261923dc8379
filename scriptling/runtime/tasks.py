"""Background tasks: what scripts call as ``scriptling.runtime.background``, and the promise that they get for one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from scriptling.runtime import context
from scriptling.runtime.patience import checked_timeout
from scriptling.runtime.registering import check_handler_type, check_name, make_handler
from scriptling.tasks import Outcome, TaskError, TaskSpec, decode_outcome, encode_spec, pack_arguments, result_of

__all__ = ["Promise", "TaskError", "background"]


class Promise:
    """The result of a task, as soon as there is one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._id = ""
        self._outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"<promise of task {self.name!r}>"

    def get(self, timeout: float | None = None) -> Any:
        """Return a copy of what the task has returned; wait for it.

        :param timeout: seconds to wait at most; 0 does not wait, None waits for ever
        :raises TaskError: the task has raised something, or its process was killed
        :raises TimeoutError: it has not ended in time
        """
        return result_of(self._wait("get", timeout))

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the task has ended, however.

        :raises TimeoutError: it has not ended in time
        """
        self._wait("wait", timeout)

    def _wait(self, method: str, timeout: float | None) -> Outcome:
        patience = checked_timeout(f"{method}()", timeout)
        if self._outcome is None:
            if not self._id:
                raise RuntimeError(
                    f"the task {self.name!r} begins when the server has started: call start_server(wait=False) first"
                )
            try:
                self._outcome = decode_outcome(context.bridge()("task", self._id, "task.wait", b"", patience))
            except TimeoutError:
                raise TimeoutError(f"the task {self.name!r} has not ended within {timeout:g} s") from None
        return self._outcome

    def _start(self, spec: TaskSpec) -> None:
        self._id = context.bridge()("task", spec.name, "task.start", encode_spec(spec), None).decode()


def background(name: str, handler: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Promise:
    """Run a function beside everything else, in a process of its own; see :func:`scriptling.runtime.background`."""
    return start(name, handler, args, kwargs, sys._getframe(1).f_globals)


def start(
    name: str,
    handler: str | Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    namespace: dict[str, Any],
) -> Promise:
    """Start a task, or have it started with the server.

    :param namespace: where a function without a library is looked up
    """
    call = f"background({name!r})"
    check_name("background()", name)
    check_handler_type(call, handler)
    arguments = pack_arguments(call, args, kwargs)
    promise = Promise(name)

    def begin() -> None:
        function = _find(call, handler, namespace)
        promise._start(TaskSpec(name, make_handler(call, function), arguments))

    server = context.current()
    if server is None:
        begin()
    else:
        server.when_started(begin)
    return promise


def _find(call: str, handler: str | Callable[..., Any], namespace: dict[str, Any]) -> str | Callable[..., Any]:
    """Return the function of this script, if that is what is meant."""
    if not isinstance(handler, str) or not handler.isidentifier():
        return handler
    function = namespace.get(handler)
    if function is None:
        raise NameError(f'{call}: this script has no function {handler!r}; name it, or write "library.function"')
    check_handler_type(call, function)
    return function  # type: ignore[no-any-return]
