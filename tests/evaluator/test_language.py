"""What Python's own library needs to know of a module works in handlers' modules."""

from collections.abc import Callable

import pytest

from scriptling.evaluator import user_traceback
from tests.evaluator.conftest import Script

CASES = {
    "dataclass": """
        from __future__ import annotations
        import dataclasses, typing
        @dataclasses.dataclass(slots=True)
        class Point:
            x: int
            y: typing.ClassVar[int] = 2
            z: list[int] = dataclasses.field(default_factory=list)
        def f():
            return dataclasses.asdict(Point(1))
    """,
    "enum": """
        import enum
        class Colour(enum.Enum):
            RED = enum.auto()
        @enum.global_enum
        class Flag(enum.IntFlag):
            ONE = 1
        def f():
            return Colour.RED.name, Colour(1) is Colour.RED, int(ONE)
    """,
    "named tuple": """
        import collections, typing
        class P(typing.NamedTuple):
            x: int = 1
        Q = collections.namedtuple("Q", "a b")
        def f():
            return P().x, Q(1, 2)._asdict(), Q.__module__
    """,
    "typing": """
        from __future__ import annotations
        import typing
        class A:
            b: B
        class B(typing.TypedDict):
            x: int
        def f():
            return typing.get_type_hints(A)["b"] is B
    """,
    "pickle": """
        import pickle, copy, copyreg
        class A:
            def __init__(self): self.x = 1
            class Inner: pass
        def g(): return 5
        def f():
            again = pickle.loads(pickle.dumps([A(), A.Inner(), g, A]))
            return type(again[0]) is A, again[0].x, again[2](), again[3] is A, copy.deepcopy(again[0]).x
    """,
    "pickle of a class in another library": """
        import pickle
        from pkg.sub import Thing
        def f():
            data = pickle.dumps(Thing())
            import sys
            del sys.modules["pkg.sub"], sys.modules["pkg"]
            return type(pickle.loads(data)).__module__
    """,
    "getsource": """
        import inspect
        class A:
            def m(self): return 1
        def f():
            return inspect.getsource(A), inspect.getsource(f).strip().startswith("def f"), inspect.getmodule(A).__name__
    """,
    "singledispatch": """
        import functools
        @functools.singledispatch
        def g(x): return "any"
        @g.register
        def _(x: int): return "int"
        def f():
            return g(1), g("")
    """,
    "abstract": """
        import abc
        class A(abc.ABC):
            @abc.abstractmethod
            def m(self): ...
        A.register(int)
        def f():
            return isinstance(1, A)
    """,
    "module attributes": """
        import sys
        def f():
            m = sys.modules[__name__]
            same = m.__dict__ is globals()
            return __name__, __package__, __spec__.name, __file__.endswith("handlers.py"), same, __doc__
    """,
    "lazy attribute": """
        def __getattr__(name):
            if name == "late":
                return lambda: "late"
            raise AttributeError(name)
        def f():
            import handlers
            return handlers.late()
    """,
    "doctest": """
        import doctest
        def g():
            '''
            >>> g()
            3
            '''
            return 3
        def f():
            import handlers
            return doctest.testmod(handlers).attempted
    """,
    "logging and warnings": """
        import logging, warnings
        logger = logging.getLogger(__name__)
        def f():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                warnings.warn("x")
            return caught[0].filename.endswith("handlers.py")
    """,
    "asyncio": """
        import asyncio
        async def g(): return 4
        def f():
            return asyncio.run(g())
    """,
}


@pytest.mark.parametrize("case", CASES)
def test_works_in_every_call(script: Script, case: str) -> None:
    script.write("handlers.py", CASES[case])
    script.write("pkg/__init__.py", "")
    script.write("pkg/sub.py", "class Thing: pass")
    first, second = script.twice("handlers.f")
    assert first == second
    assert first is not False
    assert not isinstance(first, tuple) or False not in first


def test_runs_a_library_as_a_program(script: Script) -> None:
    script.write("prog.py", "value = __name__")
    script.write(
        "handlers.py", "import runpy\ndef f():\n    return runpy.run_module('prog', run_name='__main__')['value']"
    )
    assert script.twice("handlers.f") == ("__main__", "__main__")


def test_traceback_shows_source_lines(script: Script, raised: Callable[..., BaseException]) -> None:
    script.write("lib.py", "def fail():\n    raise KeyError('no')  # here")
    script.write("handlers.py", "import lib\ndef f():\n    lib.fail()  # and here")
    for _ in range(2):
        text = user_traceback(raised("handlers.f"))
        assert "lib.fail()  # and here" in text
        assert "raise KeyError('no')  # here" in text


def test_traceback_shows_the_lines_of_an_edited_file(script: Script, raised: Callable[..., BaseException]) -> None:
    path = script.write("handlers.py", "def f():\n    raise ValueError('one')  # first")
    script.start(reload=True)
    assert "# first" in user_traceback(raised("handlers.f"))
    path.write_text("x = 1\ndef f():\n    raise ValueError('two')  # second edition")
    assert "# second edition" in user_traceback(raised("handlers.f"))
