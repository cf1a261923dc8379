"""A fresh evaluator for each call: nothing of one call is seen by the next (specification, Notes; design, Evaluator).

One worker, so that every call has the same process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.server import Serve, Server, running, write_plugin

HANDLERS = """
import builtins, json, locale, os, random, signal, sys
import helper

count = 0
things = []

def change_globals():
    global count
    count += 1
    things.append(count)
    helper.state["seen"] = helper.state.get("seen", 0) + 1
    return [count, things, helper.state["seen"]]

def change(what):
    exec(what, {"__builtins__": builtins, "helper": helper, **globals()})

def look(expression):
    return eval(expression, {"helper": helper, **globals()})

def pid():
    return os.getpid()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("isolation")
    setup = write_plugin(folder, HANDLERS)
    (folder / "helper.py").write_text("state = {}\n")
    with running(setup, "--workers", "1") as server:
        yield server


def test_module_globals_are_new_in_every_call(server: Server) -> None:
    assert [server.call("change_globals") for _ in range(3)] == [[1, [1], 1]] * 3


CHANGES = {
    "a builtin replaced": ("builtins.len = lambda x: 42", "len([])", 0),
    "a builtin added": ("builtins.extra = 1", "hasattr(builtins, 'extra')", False),
    "a builtin deleted": ("del builtins.abs", "abs(-1)", 1),
    "the environment": ("os.environ['SEEN'] = 'x'", "'SEEN' in os.environ", False),
    "the environment, deleted": ("del os.environ['PATH']", "'PATH' in os.environ", True),
    "the working directory": ("os.chdir('/')", "os.getcwd() == '/'", False),
    "sys.path": ("sys.path.insert(0, '/nowhere')", "'/nowhere' in sys.path", False),
    "sys.path, replaced": ("sys.path = []", "len(sys.path) > 0", True),
    "sys.modules, added": ("sys.modules['seen'] = json", "'seen' in sys.modules", False),
    "sys.modules, deleted": ("sys.modules.pop('json')", "'json' in sys.modules", True),
    "sys.modules, replaced": ("sys.modules['json'] = 5", "type(sys.modules['json']).__name__", "module"),
    "the random state": ("random.seed(1); random.random()", "random.random() == 0.8474337369372327", False),
    "signal handlers": ("signal.signal(signal.SIGUSR1, lambda *a: None)", "str(signal.getsignal(10)) ", None),
    "the recursion limit": ("sys.setrecursionlimit(5000)", "sys.getrecursionlimit() == 5000", False),
    "the library's functions": ("helper.added = 1", "hasattr(helper, 'added')", False),
    "sys.argv": ("sys.argv.append('seen')", "'seen' in sys.argv", False),
    "sys.stdout": ("sys.stdout = None", "sys.stdout is None", False),
    "the locale": ("locale.setlocale(locale.LC_ALL, 'C')", "locale.setlocale(locale.LC_CTYPE)", None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_call_begins_as_the_first_did(server: Server, name: str) -> None:
    what, expression, expected = CHANGES[name]
    before = server.call("look", expression)
    server.call("change", what)
    assert server.call("look", expression) == before
    if expected is not None:
        assert before == expected


def test_calls_share_a_process_or_all_of_this_would_show_nothing(server: Server) -> None:
    pids = Counter(server.call("pid") for _ in range(20))  # on a crowded machine a second worker may be lent
    assert pids.most_common(1)[0][1] >= 10


def test_state_of_random_differs_between_calls(server: Server) -> None:
    assert len({server.call("look", "random.random()") for _ in range(10)}) == 10


def test_failed_call_leaves_nothing_behind_either(server: Server) -> None:
    server.failure(server.begin("change", "os.chdir('/'); os.environ['SEEN'] = '1'; 1/0"))
    assert server.call("look", "['SEEN' in os.environ, os.getcwd() == '/']") == [False, False]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("sys.exit(3)", "sys.exit(3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("sys.exit('text')", "text"),
    ],
)
def test_attempt_to_end_is_an_error_of_that_call_alone(server: Server, what: str, words: str) -> None:
    """Check 3 of the faults."""
    pid = server.call("pid")
    failure = server.failure(server.begin("change", what))
    assert failure.code == -32000
    assert words in failure.message
    assert server.call("pid") == pid


def test_yield_now_is_there_in_handlers(server: Server) -> None:
    assert server.call("look", "yield_now()") is None


def test_calls_of_several_workers_do_not_meet(serve: Serve) -> None:
    server = serve("state = []\ndef f(x):\n    state.append(x)\n    return state", "", "--workers", "2")
    ids = [server.begin("f", number) for number in range(200)]
    assert [server.value(id) for id in ids] == [[number] for number in range(200)]


HANDLER_KINDS: dict[str, tuple[str, Any]] = {
    "lambda": ("plugin.register_function('f', lambda x: x + base)", 11),
    "function": ("def own(x): return x + base\nplugin.register_function('f', own)", 11),
    "decorated": ("@plugin.register_function\ndef f(x): return x + base", 11),
    "decorated by name": ("@plugin.register_function('f')\ndef own(x): return x + base", 11),
    "coroutine": ("@plugin.register_function\nasync def f(x): return x + base", 11),
    "imported": ("import handlers\nplugin.register_function('f', handlers.imported)", 101),
}


@pytest.mark.parametrize("kind", HANDLER_KINDS)
def test_handlers_may_be_functions_of_the_setup_script(serve: Serve, kind: str) -> None:
    source, expected = HANDLER_KINDS[kind]
    setup = f"import scriptling.runtime.plugin as plugin\nplugin.serve('t')\nbase = 10\n{source}"
    server = serve("def imported(x): return x + 100", setup)
    assert [server.call("f", 1) for _ in range(3)] == [expected] * 3


def test_class_of_the_setup_script_may_be_registered(serve: Serve) -> None:
    setup = """
        import scriptling.runtime.plugin as plugin
        plugin.serve("t")
        @plugin.register_class
        class Counter:
            def __init__(self, start): self.count = start
            def inc(self):
                self.count += 1
                return self.count
        """
    server = serve("", setup)
    counter = server.new("Counter", 4)
    assert [server.method(counter, "inc"), server.method(counter, "inc")] == [5, 6]


def test_function_s_own_timeout_is_kept(serve: Serve) -> None:
    setup = "import scriptling.runtime.plugin as p\np.serve('t')\np.register_function('f', 'handlers.f', timeout=0.2)"
    server = serve("def f():\n    while True: pass", setup)
    failure = server.failure(server.begin("f"), 5)
    assert "f did not return within 0.2 s" in failure.message


def test_editing_a_library_takes_effect_where_reload_is_on(serve: Serve, tmp_path: Path) -> None:
    server = serve("def f(): return 'before'", "", "--reload")
    assert server.call("f") == "before"
    (tmp_path / "handlers.py").write_text("def f(): return 'after the edit'")
    assert server.call("f") == "after the edit"
