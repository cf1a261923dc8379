"""Handlers as references, as functions of Python and installed packages, and by value."""

import math
import os
from collections.abc import Callable

import cloudpickle
import pytest

from scriptling.evaluator import HandlerNotFound
from scriptling.registry import Handler
from tests.evaluator.conftest import Script


def by_value(function: Callable[..., object], name: str = "by value") -> Handler:
    return Handler(name, cloudpickle.dumps(function))


def test_function_of_a_library(script: Script) -> None:
    script.write("handlers.py", "def add(a, b=2):\n    return a + b")
    assert script.call("handlers.add", 1) == 3
    assert script.call("handlers.add", "a", b="b") == "ab"


def test_functions_of_python_and_installed_packages(script: Script) -> None:
    assert script.twice("math.sqrt", 9.0) == (3.0, 3.0)
    assert script.twice("os.path.basename", "/a/b") == ("b", "b")
    assert script.twice("msgspec.json.encode", [1]) == (b"[1]", b"[1]")
    assert script.twice("colorsys.rgb_to_hsv", 1, 1, 1) == ((0.0, 0.0, 1),) * 2


def test_classes_and_callables_are_handlers(script: Script) -> None:
    script.write(
        "handlers.py",
        "import functools\nclass A:\n    pass\ndouble = functools.partial(int.__mul__, 2)\nsame = lambda x: x",
    )
    assert type(script.call("handlers.A")).__name__ == "A"
    assert script.call("handlers.double", 4) == 8
    assert script.call("handlers.same", 4) == 4


def test_decorated_function(script: Script) -> None:
    script.write(
        "handlers.py",
        """
        import functools
        def twice(function):
            calls = []
            @functools.wraps(function)
            def wrapper(*args):
                calls.append(1)
                return function(*args) * 2, len(calls)
            return wrapper
        @twice
        def f(x):
            return x
        """,
    )
    assert script.twice("handlers.f", 2) == ((4, 1), (4, 1))


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("handlers.ad", 'no handler handlers.ad: the library handlers has no "ad"; did you mean "add"?'),
        ("handlers.zzzz", 'no handler handlers.zzzz: the library handlers has no "zzzz" (available: add, multiply)'),
        ("handlrs.add", 'no handler handlrs.add: there is no library "handlrs"; did you mean "handlers"?'),
        ("pkg.mood.f", 'no handler pkg.mood.f: there is no library "pkg.mood"; did you mean "mod"?'),
        ("handlers.add.x", 'no handler handlers.add.x: there is no library "handlers.add" (available: none)'),
        ("math.sqr", 'no handler math.sqr: the library math has no "sqr"; did you mean "sqrt"?'),
        ("add", "'add' is no handler: write \"library.function\""),
        ("handlers.", "'handlers.' is no handler: write \"library.function\""),
        (".handlers.add", "'.handlers.add' is no handler: write \"library.function\""),
        ("", "'' is no handler: write \"library.function\""),
        ("pkg.mod.number", "the handler pkg.mod.number cannot be called: it is of type int"),
    ],
)
def test_misspelt_reference_names_the_nearest(
    script: Script, raised: Callable[..., BaseException], reference: str, sentence: str
) -> None:
    script.write("handlers.py", "def add(a, b):\n    return a + b\ndef multiply(a, b):\n    return a * b")
    script.write("pkg/__init__.py", "")
    script.write("pkg/mod.py", "number = 5")
    for _ in range(2):
        error = raised(reference)
        assert type(error) is HandlerNotFound
        assert str(error) == sentence


def test_failing_import_inside_a_library_is_not_a_missing_library(
    script: Script, raised: Callable[..., BaseException]
) -> None:
    script.write("handlers.py", "import no_such_thing\ndef f(): pass")
    for _ in range(2):
        assert type(raised("handlers.f")) is ModuleNotFoundError


def test_lambda_by_value(script: Script) -> None:
    script.start()
    handler = by_value(lambda x: x * 2)
    assert [script.call(handler, 3) for _ in range(2)] == [6, 6]


def namespace_of_a_script(text: str) -> dict[str, object]:
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(text, namespace)
    return namespace


def test_globals_of_functions_by_value_are_new_in_every_call(script: Script) -> None:
    names = namespace_of_a_script(
        "seen = []\ntotal = 0\ndef f():\n    global total\n    total += 1\n    seen.append(1)\n"
        "    return total, len(seen)"
    )
    handler = Handler("f", cloudpickle.dumps(names["f"]))
    assert [script.call(handler) for _ in range(3)] == [(1, 1)] * 3


def test_classes_that_travel_by_value_are_new_in_every_call(script: Script) -> None:
    names = namespace_of_a_script("class A:\n    pass\ndef f():\n    A.n = getattr(A, 'n', 0) + 1\n    return A.n")
    handler = Handler("f", cloudpickle.dumps(names["f"]))
    assert [script.call(handler) for _ in range(3)] == [1, 1, 1]


def test_libraries_that_functions_by_value_use_are_new_in_every_call(script: Script) -> None:
    script.write("lib.py", "seen = []\ndef count():\n    seen.append(1)\n    return len(seen)")
    script.start()
    evaluator = script.evaluator
    evaluator.begin()
    names = namespace_of_a_script("import lib\nfrom lib import count\ndef f():\n    return lib.count() + count()")
    handler = Handler("f", cloudpickle.dumps(names["f"]))
    del names
    evaluator.end()
    assert [script.call(handler) for _ in range(3)] == [3, 3, 3]


def test_decorated_function_by_value(script: Script) -> None:
    names = namespace_of_a_script(
        """
import functools
def counted(function):
    calls = []
    @functools.wraps(function)
    def wrapper(x):
        calls.append(x)
        return function(x), len(calls)
    return wrapper
@counted
def f(x):
    return x + 1
"""
    )
    handler = Handler("f", cloudpickle.dumps(names["f"]))
    assert [script.call(handler, 1) for _ in range(2)] == [(2, 1)] * 2


def test_object_store_resolves_classes_without_calls(script: Script) -> None:
    script.write("lib.py", "state = []")
    script.write(
        "handlers.py",
        "class Thing:\n    def add(self):\n        import lib\n        lib.state.append(1)\n"
        "        return len(lib.state)",
    )
    script.start()
    thing = script.evaluator.function(Handler("handlers.Thing"))()
    assert [thing.add(), thing.add()] == [1, 2]


def test_functions_of_python_stay_what_they_are(script: Script) -> None:
    script.evaluator.begin()
    assert script.evaluator.function(Handler("math.sqrt")) is math.sqrt
    assert script.evaluator.function(Handler("os.getcwd")) is os.getcwd
    script.evaluator.end()
