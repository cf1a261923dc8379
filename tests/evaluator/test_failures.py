"""What a host is told of an exception (protocol section 2)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import scriptling
from scriptling.errors import ErrorCode
from scriptling.evaluator import describe_exception, user_traceback
from scriptling.registry import Handler
from tests.evaluator.conftest import Script


@pytest.fixture
def told(script: Script, raised: Callable[..., BaseException]) -> Callable[[str], Any]:
    def call(body: str) -> Any:
        script.write("handlers.py", f"def f():\n    {body}")
        return describe_exception(raised("handlers.f"))

    return call


@pytest.mark.parametrize(
    ("body", "message", "name"),
    [
        ("raise ValueError('bad thing')", "bad thing", "ValueError"),
        ("raise ValueError", "ValueError", "ValueError"),
        ("raise KeyError('k')", "'k'", "KeyError"),
        ("import sys; sys.exit(3)", "the handler called sys.exit(3)", "SystemExit"),
        ("import sys; sys.exit()", "the handler called sys.exit()", "SystemExit"),
        ("import sys; sys.exit('stop')", "the handler called sys.exit('stop')", "SystemExit"),
        ("raise KeyboardInterrupt", "the handler was interrupted: KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit", "GeneratorExit"),
        ("raise ExceptionGroup('two', [ValueError(1), TypeError(2)])", "two (2 sub-exceptions)", "ExceptionGroup"),
        (r"raise ValueError('half \ud800')", r"half \ud800", "ValueError"),
        ("class E(Exception):\n        def __str__(self): raise OSError\n    raise E", "E", "E"),
    ],
)
def test_message_and_type(told: Callable[[str], Any], body: str, message: str, name: str) -> None:
    error = told(body)
    assert (error.code, error.message) == (ErrorCode.HANDLER_ERROR, message)
    assert error.data["type"] == name
    assert error.data["traceback"].startswith("Traceback (most recent call last):\n") or name == "ExceptionGroup"
    msgspec.json.encode([error.message, error.data])


def test_traceback_starts_in_the_user_s_code(script: Script) -> None:
    script.write("handlers.py", "def f(again):\n    again()")
    own: dict[str, Any] = {}
    text = "def worker(evaluate):\n    evaluate(lambda: 1 / 0)"
    exec(compile(text, str(Path(scriptling.__file__).parents[1] / "workers" / "made_up.py"), "exec"), own)
    script.evaluator.begin()
    with pytest.raises(ZeroDivisionError) as caught:
        own["worker"](script.evaluator.function(Handler("handlers.f")))
    script.evaluator.end()
    assert caught.value.__traceback__ is not None
    caught.value.__traceback__ = caught.value.__traceback__.tb_next  # this function's frame
    lines = user_traceback(caught.value).splitlines()
    assert "handlers.py" in lines[1]
    assert "made_up.py" in lines[-2], "what user code calls is shown, whoever wrote it"


def test_frames_of_imports_are_left_out(script: Script, raised: Callable[..., BaseException]) -> None:
    script.write("a.py", "import b")
    script.write("b.py", "def f(): pass\nraise ValueError('at import')")
    for _ in range(2):
        text = user_traceback(raised("a.f"))
        assert "scriptling/evaluator" not in text
        assert "importlib" not in text
        assert text.index("a.py") < text.index("b.py")


def test_causes_are_shown_and_trimmed_too(script: Script, raised: Callable[..., BaseException]) -> None:
    script.write("bad.py", "1 / 0")
    script.write(
        "handlers.py",
        "def f():\n    try:\n        import bad\n    except ZeroDivisionError as e:\n"
        "        raise ValueError('x') from e",
    )
    for _ in range(2):
        text = user_traceback(raised("handlers.f"))
        assert "1 / 0" in text
        assert "direct cause" in text
        assert "scriptling/evaluator" not in text


def test_exception_without_user_frames_has_no_frames() -> None:
    assert user_traceback(TypeError("f() takes no arguments")) == "TypeError: f() takes no arguments\n"


def test_deep_recursion_gives_a_short_traceback(told: Callable[[str], Any]) -> None:
    error = told("f()")
    assert error.data["type"] == "RecursionError"
    assert len(error.data["traceback"]) < 5000


def test_data_can_be_turned_off() -> None:
    assert describe_exception(ValueError("x"), show_traceback=False).data is None
