"""What a host and a log are told of an exception in a handler."""

from __future__ import annotations

import importlib
from pathlib import Path
from traceback import FrameSummary, TracebackException

from scriptling.errors import ErrorCode, RpcError

_PACKAGE = Path(__file__).parents[1]
_EVALUATOR = f"{_PACKAGE}/evaluator/"
_IMPORTING = (_EVALUATOR, "<frozen importlib", importlib.__file__)
_OWN = (f"{_PACKAGE}/", f"{_PACKAGE.parent}/workers/", *_IMPORTING)


def describe_exception(error: BaseException, show_traceback: bool = True) -> RpcError:
    """Return the error that a caller gets for what a handler, constructor or method raised (protocol section 2).

    :param show_traceback: whether ``data`` tells the exception's type and traceback
    """
    data = {"type": type(error).__name__, "traceback": user_traceback(error)} if show_traceback else None
    return RpcError(ErrorCode.HANDLER_ERROR, _message(error), data)


def user_traceback(error: BaseException) -> str:
    """Return the traceback as Python prints it, from the first frame of the user's code on."""
    try:
        summary = TracebackException.from_exception(error)
        _trim(summary, set())
        lines = summary.format() if summary.stack else summary.format_exception_only()
        return _printable("".join(lines))
    except Exception:  # one of the user's that cannot even be shown
        return type(error).__name__


def _trim(summary: TracebackException, seen: set[int]) -> None:
    if id(summary) in seen:
        return
    seen.add(id(summary))
    frames = [frame for frame in summary.stack if not frame.filename.startswith(_IMPORTING)]
    summary.stack[:] = frames[_first_of_user(frames) :]
    for other in (summary.__cause__, summary.__context__, *(summary.exceptions or ())):
        if other is not None:
            _trim(other, seen)


def _first_of_user(frames: list[FrameSummary]) -> int:
    users = (index for index, frame in enumerate(frames) if not frame.filename.startswith(_OWN))
    return next(users, len(frames))


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(error.code)
        return f"the handler called sys.exit({code})"
    if isinstance(error, KeyboardInterrupt):
        return "the handler was interrupted: KeyboardInterrupt"
    try:
        text = _printable(str(error))
    except Exception:  # __str__ is the user's
        text = ""
    return text or type(error).__name__


def _printable(text: str) -> str:
    # Lone surrogates cannot be written as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
