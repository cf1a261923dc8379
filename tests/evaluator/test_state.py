"""Whatever a call does to the process, the next one finds it as at the start."""

import builtins
import gc
import locale
import os
import random
import signal
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.evaluator.conftest import Script

PROBES: dict[str, tuple[str, Callable[[], Any]]] = {
    "builtin replaced": ("import builtins; builtins.len = lambda x: -1", lambda: len("abc")),
    "builtin added": ("import builtins; builtins.extra = 1", lambda: hasattr(builtins, "extra")),
    "builtin deleted": ("import builtins; del builtins.sorted", lambda: hasattr(builtins, "sorted")),
    "all builtins cleared": ("import builtins; vars(builtins).clear()", lambda: len(vars(builtins))),
    "import replaced": ("import builtins; builtins.__import__ = None", lambda: builtins.__import__),
    "builtin that refuses comparison": (
        "import builtins\nclass Bad:\n    def __eq__(self, other): raise ValueError\nbuiltins.len = Bad()",
        lambda: len("abc"),
    ),
    "module added": (
        "import sys, types; sys.modules['fake'] = types.ModuleType('fake')",
        lambda: "fake" in sys.modules,
    ),
    "module added below a real one": ("import sys; sys.modules['json.fake'] = 1", lambda: "json.fake" in sys.modules),
    "module replaced": (
        "import sys, types; sys.modules['json'] = types.ModuleType('json')",
        lambda: sys.modules["json"],
    ),
    "module is None": ("import sys; sys.modules['json'] = None", lambda: sys.modules["json"]),
    "module mocked before its first import": (
        "import sys, types; sys.modules['tabnanny'] = types.ModuleType('tabnanny')",
        lambda: "tabnanny" in sys.modules,
    ),
    "module deleted": ("import sys; del sys.modules['json']", lambda: sys.modules.get("json")),
    "module deleted and imported again": (
        "import sys; del sys.modules['json']; import json",
        lambda: sys.modules["json"],
    ),
    "sys.modules replaced": ("import sys; sys.modules = {}", lambda: len(sys.modules)),
    "library under another name": (
        "import sys; sys.modules['alias'] = sys.modules['handlers']",
        lambda: "alias" in sys.modules,
    ),
    "sys.path": ("import sys; sys.path.insert(0, '/nowhere')", lambda: [*sys.path]),
    "sys.path replaced": ("import sys; sys.path = ['/nowhere']", lambda: [*sys.path]),
    "sys.argv": ("import sys; sys.argv.append('x')", lambda: [*sys.argv]),
    "sys.meta_path": ("import sys; sys.meta_path.clear()", lambda: [*sys.meta_path]),
    "stdout": ("import sys, io; sys.stdout = io.StringIO()", lambda: sys.stdout),
    "stdin": ("import sys, io; sys.stdin = io.StringIO()", lambda: sys.stdin),
    "stderr deleted": ("import sys; del sys.stderr", lambda: sys.stderr),
    "excepthook": ("import sys; sys.excepthook = print", lambda: sys.excepthook),
    "sys attribute": ("import sys; sys.mine = 1", lambda: hasattr(sys, "mine")),
    "variable added": ("import os; os.environ['MINE'] = '1'", lambda: os.getenv("MINE")),
    "variable removed": ("import os; del os.environ['PATH']", lambda: os.getenv("PATH")),
    "environ cleared": ("import os; os.environ.clear()", lambda: os.getenv("PATH")),
    "environ replaced": ("import os; os.environ = {}", lambda: os.environ),
    "working directory": ("import os; os.chdir('/')", Path.cwd),
    "working directory removed": (
        "import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
        Path.cwd,
    ),
    "locale": ("import locale; locale.setlocale(locale.LC_ALL, 'C')", lambda: locale.setlocale(locale.LC_ALL)),
    "signal handler": (
        "import signal; signal.signal(signal.SIGUSR1, lambda *a: None)",
        lambda: signal.getsignal(signal.SIGUSR1),
    ),
    "interrupt ignored": (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
        lambda: signal.getsignal(signal.SIGINT),
    ),
    "real-time signal": ("import signal; signal.signal(50, signal.SIG_IGN)", lambda: signal.getsignal(50)),
    "profiling timer": (
        "import signal; signal.signal(signal.SIGPROF, print); signal.setitimer(signal.ITIMER_PROF, 9)",
        lambda: signal.getitimer(signal.ITIMER_PROF),
    ),
    "recursion limit": ("import sys; sys.setrecursionlimit(5000)", sys.getrecursionlimit),
    "switch interval": ("import sys; sys.setswitchinterval(0.5)", sys.getswitchinterval),
    "trace function": ("import sys; sys.settrace(lambda *a: None)", sys.gettrace),
    "profile function": ("import sys; sys.setprofile(lambda *a: None)", sys.getprofile),
    "garbage collector": ("import gc; gc.disable()", gc.isenabled),
}


@pytest.mark.parametrize("case", PROBES)
def test_is_as_at_the_start(script: Script, case: str) -> None:
    import json  # noqa: F401, PLC0415 - some cases are about a module that is there

    body, probe = PROBES[case]
    script.write("handlers.py", "def f():\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    script.write("other.py", "def f():\n    return 1")
    script.start()  # puts its own builtins, paths and finder in place
    before = probe()
    script.call("handlers.f")
    assert probe() == before
    script.call("other.f")
    assert probe() == before


def test_alarm_set_in_a_call_does_not_go_off_in_the_next(script: Script) -> None:
    script.write("handlers.py", "import signal\ndef f():\n    signal.setitimer(signal.ITIMER_REAL, 1000)")
    script.call("handlers.f")
    assert signal.getitimer(signal.ITIMER_REAL)[0] < 900


@pytest.mark.parametrize("body", ["random.seed(42)", "random.setstate(random.Random(42).getstate())"])
def test_random_is_not_predictable_after_a_call_that_seeded_it(script: Script, body: str) -> None:
    script.write(
        "handlers.py",
        f"import random\ndef seed():\n    {body}\n    return random.random()\ndef f():\n    return random.random()",
    )
    seeded = {random.Random(42).random()}
    values = []
    for _ in range(3):
        assert script.call("handlers.seed") in seeded
        values += [script.call("handlers.f"), script.call("handlers.f")]
    assert len({*values}) == 6


def test_random_is_new_in_every_call_whatever_it_was_used_for(script: Script) -> None:
    script.write(
        "handlers.py", "import random\ndef f():\n    return random.gauss(0, 1), random.gauss(0, 1), random.random()"
    )
    values = [number for _ in range(4) for number in script.call("handlers.f")]
    assert len({*values}) == 12


def test_modules_from_outside_stay(script: Script) -> None:
    script.write(
        "handlers.py",
        "import xml.dom.pulldom as m\ndef f():\n    m.mark = getattr(m, 'mark', 0) + 1\n    return m.mark",
    )
    sys.modules.pop("xml.dom.pulldom", None)
    assert script.twice("handlers.f") == (1, 2)


def test_modules_from_outside_stay_when_importlib_brought_them(script: Script) -> None:
    script.write(
        "handlers.py", "import importlib\ndef f():\n    return id(importlib.import_module('xml.sax.saxutils'))"
    )
    sys.modules.pop("xml.sax.saxutils", None)
    first, second = script.twice("handlers.f")
    assert first == second


def test_what_an_installed_package_puts_into_place_when_imported_stays(script: Script, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    script.folder = tmp_path / "script"
    script.write(
        "../site/pack.py",
        """
        import sys, types
        class Finder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return None
        sys.meta_path.append(Finder)
        sys.modules["pack.extra"] = types.ModuleType("pack.extra")
        """,
    )
    script.write(
        "handlers.py",
        "def f():\n    import sys, pack\n    return pack.Finder in sys.meta_path, id(sys.modules['pack.extra'])",
    )
    sys.path.append(str(installed))
    try:
        first, second = script.twice("handlers.f")
    finally:
        sys.modules.pop("pack", None)
        sys.modules.pop("pack.extra", None)
    assert first == second
    assert first[0]


def test_plugin_that_a_handler_has_loaded_stays_importable(script: Script) -> None:
    script.write(
        "handlers.py",
        """
        def load():
            from types import ModuleType
            from scriptling.plugin import modules
            modules.install(ModuleType("plugin.made_up"))
        def use():
            import plugin.made_up
            return plugin.made_up.__name__
        """,
    )
    try:
        script.call("handlers.load")
        assert script.twice("handlers.use") == ("plugin.made_up", "plugin.made_up")
    finally:
        sys.modules.pop("plugin.made_up", None)
        sys.modules.pop("plugin", None)


def test_module_found_because_a_call_changed_sys_path_goes(script: Script) -> None:
    for name in ("one", "two"):
        script.write(f"{name}/impl.py", f"name = {name!r}")
    script.write(
        "handlers.py",
        "import sys\ndef f(folder):\n    sys.path.insert(0, folder)\n    import impl\n    return impl.name",
    )
    folders = [str(script.folder / name) for name in ("one", "two", "one")]
    assert [script.call("handlers.f", folder) for folder in folders] == ["one", "two", "one"]


def test_call_that_raises_is_undone_too(script: Script, raised: Callable[..., BaseException]) -> None:
    script.write("handlers.py", "import os\ndef f():\n    os.environ['MINE'] = '1'\n    raise SystemExit(3)")
    assert isinstance(raised("handlers.f"), SystemExit)
    assert "MINE" not in os.environ


def test_memory_of_a_long_call_is_freed_when_it_ends(script: Script) -> None:
    script.write(
        "handlers.py",
        "import threading\nclass Big: pass\nkept = Big()\ndef f(out):\n    out(kept)\n"
        "    threading.Event().wait(0.002)",
    )
    references: list[weakref.ref[ModuleType]] = []
    gc.disable()
    try:
        # The collector's own state is part of the snapshot.
        script.call("handlers.f", lambda kept: references.append(weakref.ref(kept)))
    finally:
        gc.enable()
    assert references[0]() is None


def test_yield_now_is_there_in_every_call(script: Script) -> None:
    script.write("handlers.py", "import builtins\ndef f():\n    yield_now()\n    del builtins.yield_now\n    return 1")
    assert script.twice("handlers.f") == (1, 1)


def test_state_survives_a_fork(script: Script) -> None:
    script.write("handlers.py", "import random\ndef f():\n    return random.random()")
    script.call("handlers.f")
    numbers = set()
    for _ in range(2):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, repr(script.call("handlers.f")).encode())
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as stream:  # noqa: PTH123 - a descriptor
            numbers.add(stream.read())
        os.waitpid(child, 0)
    assert len(numbers) == 2
