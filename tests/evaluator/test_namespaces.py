"""Modules of the script's libraries are new in every call, at any depth, however they are imported."""

import importlib
import os
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evaluator.conftest import Script

COUNTER = """
    seen = []
    def count(x=None):
        seen.append(x)
        return len(seen)
"""


def test_module_globals_are_new_in_every_call(script: Script) -> None:
    script.write("handlers.py", COUNTER)
    assert [script.call("handlers.count") for _ in range(4)] == [1, 1, 1, 1]


def test_state_lasts_within_a_call(script: Script) -> None:
    script.write("lib.py", COUNTER)
    script.write(
        "handlers.py", "def f():\n    import lib\n    lib.count()\n    import lib as again\n    return again.count()"
    )
    assert script.twice("handlers.f") == (2, 2)


@pytest.mark.parametrize(
    "statement",
    [
        "import a.b.c; m = a.b.c",
        "from a.b import c as m",
        "from a.b.c import count; import sys; m = sys.modules['a.b.c']",
        "import importlib; m = importlib.import_module('a.b.c')",
        "m = __import__('a.b.c', fromlist=['count'])",
        "import a; m = a.again.c",
    ],
)
def test_libraries_of_libraries_are_new_at_any_depth(script: Script, statement: str) -> None:
    script.write("a/__init__.py", "from . import b as again\nfrom .b import c")
    script.write("a/b/__init__.py", "from ..b.c import count")
    script.write("a/b/c.py", COUNTER)
    script.write("handlers.py", f"{statement}\ndef f():\n    return m.count()")
    assert [script.call("handlers.f") for _ in range(3)] == [1, 1, 1]


def test_dotted_library_of_a_handler(script: Script) -> None:
    script.write("app/__init__.py", "")
    script.write("app/api/__init__.py", "from .. import settings")
    script.write("app/settings.py", "DEPTH = 3")
    script.write(
        "app/api/handlers.py",
        "from . import settings\nfrom ..settings import DEPTH\ndef create():\n    return DEPTH, __name__, __package__",
    )
    assert script.twice("app.api.handlers.create") == ((3, "app.api.handlers", "app.api"),) * 2


def test_folders_without_init_are_packages(script: Script) -> None:
    script.write("app/api/handlers.py", "from ..common import seen\ndef f():\n    seen.append(1)\n    return len(seen)")
    script.write("app/common.py", "seen = []")
    assert script.twice("app.api.handlers.f") == (1, 1)


def test_folder_without_init_does_not_hide_python_s_module(script: Script) -> None:
    (script.folder / "json").mkdir()
    script.write("handlers.py", "import json\ndef f():\n    return json.loads('[1]')")
    assert script.twice("handlers.f") == ([1], [1])


def test_submodule_becomes_an_attribute_of_its_package(script: Script) -> None:
    script.write("pkg/__init__.py", "")
    script.write("pkg/mod.py", "x = 1")
    script.write("handlers.py", "import pkg.mod\ndef f():\n    return pkg.mod.x, pkg.__path__, pkg.mod.__spec__.parent")
    first, second = script.twice("handlers.f")
    assert first == second == (1, [str(script.folder / "pkg")], "pkg")


def test_package_path_changed_by_a_call_is_followed_and_forgotten(script: Script) -> None:
    script.write("pkg/__init__.py", "import where\n__path__.insert(0, where.folder)")
    for name in ("one", "two"):
        script.write(f"{name}/impl.py", f"name = {name!r}")
    script.write(
        "handlers.py",
        "def f(folder):\n    import where\n    where.folder = folder\n    import pkg.impl\n    return pkg.impl.name",
    )
    script.write("where.py", "")
    folders = [str(script.folder / name) for name in ("one", "two", "one")]
    assert [script.call("handlers.f", folder) for folder in folders] == ["one", "two", "one"]


def test_star_import_and_all(script: Script) -> None:
    script.write("lib.py", "__all__ = ['a']\na, b = [], 2")
    script.write("handlers.py", "from lib import *\ndef f():\n    a.append(1)\n    return len(a), 'b' in globals()")
    assert script.twice("handlers.f") == ((1, False), (1, False))


def test_module_that_fails_leaves_nothing_behind(script: Script, raised: Callable[..., BaseException]) -> None:
    script.write("lib.py", "import sys\nsys.flag = True\nraise ValueError('no')")
    script.write(
        "handlers.py",
        "def f():\n    try:\n        import lib\n    except ValueError:\n        import sys\n"
        "        return 'lib' in sys.modules\n",
    )
    assert script.twice("handlers.f") == (False, False)
    assert str(raised("lib.f")) == str(raised("lib.f")) == "no"


def test_import_cycles_work_and_say_so_where_they_do_not(script: Script, raised: Callable[..., BaseException]) -> None:
    script.write("a.py", "import b\nx = 1\ndef f():\n    return b.y")
    script.write("b.py", "import a\ny = 2")
    script.write("c.py", "from d import y\nx = 1")
    script.write("d.py", "from c import x\ny = 2")
    assert script.twice("a.f") == (2, 2)
    for _ in range(2):
        assert "circular import" in str(raised("c.f"))


def test_module_may_replace_itself(script: Script) -> None:
    script.write("odd.py", "import sys, types\nnew = types.SimpleNamespace(x=[])\nsys.modules[__name__] = new")
    script.write("handlers.py", "import odd\ndef f():\n    odd.x.append(1)\n    return odd.x")
    assert script.twice("handlers.f") == ([1], [1])


def test_importlib_reload_executes_again(script: Script) -> None:
    script.write("lib.py", "n = globals().get('n', 0) + 1")
    script.write("handlers.py", "import importlib, lib\ndef f():\n    return importlib.reload(lib).n")
    assert script.twice("handlers.f") == (2, 2)


def test_module_dropped_from_sys_modules_is_imported_again(script: Script) -> None:
    script.write("lib.py", COUNTER)
    script.write(
        "handlers.py",
        "import sys, lib\ndef f():\n    lib.count()\n    del sys.modules['lib']\n    import lib as again\n"
        "    return again.count()",
    )
    assert script.twice("handlers.f") == (1, 1)


def test_threads_of_a_call_import_whole_modules(script: Script) -> None:
    script.write("slow.py", "import threading\nthreading.Event().wait(0.05)\nvalue = 7")
    script.write(
        "handlers.py",
        """
        import threading
        def work(out):
            import slow
            out.append(slow.value)
        def f():
            out = []
            threads = [threading.Thread(target=work, args=(out,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return out
        """,
    )
    assert script.twice("handlers.f") == ([7] * 4, [7] * 4)


def test_bytecode_without_source_is_a_library_too(script: Script) -> None:
    source = script.write("only.py", COUNTER)
    py_compile.compile(str(source), cfile=str(script.folder / "only.pyc"))
    source.unlink()
    assert script.twice("only.count") == (1, 1)


def test_data_beside_a_package_is_found(script: Script) -> None:
    script.write("pkg/__init__.py", "")
    script.write("pkg/data.txt", "hello")
    script.write(
        "handlers.py",
        "import importlib.resources as r, pkgutil, pkg\ndef f():\n"
        "    return r.files('pkg').joinpath('data.txt').read_text(), pkgutil.get_data('pkg', 'data.txt')",
    )
    assert script.twice("handlers.f") == (("hello", b"hello"),) * 2


def test_earlier_folders_come_first(script: Script, tmp_path: Path) -> None:
    from scriptling.evaluator import Evaluator  # noqa: PLC0415
    from scriptling.registry import Handler  # noqa: PLC0415

    for name in ("first", "second"):
        script.write(f"{name}/lib.py", f"def f():\n    return {name!r}")
    evaluator = Evaluator([tmp_path / "missing", tmp_path / "first", tmp_path / "second"])
    evaluator.install()
    evaluator.begin()
    assert evaluator.function(Handler("lib.f"))() == "first"
    evaluator.end()


# Names that Python has too


@pytest.mark.parametrize("name", ["queue", "calendar", "json", "random", "types", "string", "time", "this"])
def test_library_hides_python_s_module_from_the_script_only(script: Script, name: str) -> None:
    script.write(f"{name}.py", COUNTER)
    script.write(
        "handlers.py",
        f"import {name}\ndef f():\n    import decimal, http.client, dataclasses\n    return {name}.count()",
    )
    before = sys.modules.get(name)
    assert script.twice(f"{name}.count") == (1, 1)
    assert script.twice("handlers.f") == (1, 1)
    imported = __import__(name, globals())
    assert not hasattr(imported, "count")
    assert before is None or imported is before


def test_python_s_code_gets_python_s_module_in_a_call(script: Script) -> None:
    script.write("calendar.py", "def f():\n    import time\n    return time.strptime('2024-02-29', '%Y-%m-%d').tm_yday")
    sys.modules.pop("_strptime", None)
    sys.modules.pop("calendar", None)
    assert script.twice("calendar.f") == (60, 60)


def test_scriptling_itself_cannot_be_hidden(script: Script) -> None:
    script.write("scriptling.py", "def f():\n    return 1")
    script.write("handlers.py", "import scriptling.runtime as r\ndef f():\n    return r.server_running()")
    assert script.twice("handlers.f") == (False, False)


def test_program_s_own_files_in_a_library_folder_are_not_executed_again(script: Script) -> None:
    import scriptling.evaluator as own  # noqa: PLC0415

    script.folder = Path(own.__file__).parents[2]
    script.start()
    assert importlib.import_module("scriptling.evaluator") is own


# Editing


def test_edit_takes_effect_with_reload(script: Script) -> None:
    path = script.write("handlers.py", "import lib\ndef f():\n    return 1, lib.x")
    lib = script.write("lib.py", "x = 1")
    script.start(reload=True)
    assert script.twice("handlers.f") == ((1, 1), (1, 1))
    path.write_text("import lib\ndef f():\n    return 2, lib.x")
    lib.write_text("x = 2")
    assert script.twice("handlers.f") == ((2, 2), (2, 2))


def test_file_made_and_removed_takes_effect_with_reload(script: Script, raised: Callable[..., BaseException]) -> None:
    script.write("handlers.py", "def f():\n    import lib\n    return lib.x")
    script.start(reload=True)
    assert isinstance(raised("handlers.f"), ModuleNotFoundError)
    path = script.write("lib.py", "x = 1")
    assert script.twice("handlers.f") == (1, 1)
    path.unlink()
    assert isinstance(raised("handlers.f"), ModuleNotFoundError)
    script.write("lib/__init__.py", "x = 3")
    assert script.twice("handlers.f") == (3, 3)


def test_broken_edit_is_an_error_until_it_is_mended(script: Script, raised: Callable[..., BaseException]) -> None:
    path = script.write("handlers.py", "def f():\n    return 1")
    script.start(reload=True)
    assert script.call("handlers.f") == 1
    path.write_text("def f(:")
    assert isinstance(raised("handlers.f"), SyntaxError)
    path.write_text("def f():\n    return 22")
    assert script.call("handlers.f") == 22


def test_edit_is_not_seen_without_reload(script: Script) -> None:
    path = script.write("handlers.py", "def f():\n    return 1")
    assert script.call("handlers.f") == 1
    path.write_text("def f():\n    return 22")
    assert script.call("handlers.f") == 1


def test_cached_bytecode_of_the_same_second_and_size_is_not_believed(script: Script) -> None:
    path = script.write("handlers.py", "def f():\n    return 1")
    py_compile.compile(str(path))
    stamp = path.stat()
    path.write_text("def f():\n    return 2")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert script.call("handlers.f") == 2
