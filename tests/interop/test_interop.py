"""Our client with peers in C and in a shell, which share nothing with it but the protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import nothing_stays_loaded  # noqa: F401 - holds here, too

HERE = Path(__file__).parent
SHELL = HERE.parents[1] / "examples" / "shell" / "plugin.sh"


def needs(*programs: str) -> None:
    """Skip a test where a program is missing, but never where everything is checked."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"this machine has no {', '.join(missing)}")
    assert not missing


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("gcc")
    path = tmp_path_factory.mktemp("native") / "native"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
    compiled = subprocess.run(
        ["gcc", *flags, "-o", path, HERE / "plugin.c"], capture_output=True, text=True, check=False
    )
    assert compiled.returncode == 0, compiled.stderr
    return path


@pytest.fixture
def native(executable: Path) -> ModuleType:
    return import_module(plugin.load("native", executable, scriptling=True))


def test_c_library_is_described(native: ModuleType) -> None:
    assert (native.__doc__, native.__version__, native.VERSION) == ("A plugin in C", "0.9", "c-1")
    assert native.__all__ == ["Counter", "VERSION", "add", "apply", "echo", "fail"]
    assert native.add.__doc__ == "Return a + b"


def test_c_functions_and_values(native: ModuleType) -> None:
    assert native.add(3, 4) == 7
    assert native.add(2**62, -1) == 2**62 - 1
    for value in (None, True, -5, 2.5, 'quo"te\\ü😀\n', [1, [], {}], {"b": {"a": [None]}}):
        assert native.echo(value) == value


def test_c_errors(native: ModuleType) -> None:
    with pytest.raises(plugin.PluginCallError, match=r"^it did not work$"):
        native.fail()
    with pytest.raises(plugin.PluginCallError, match="available: add, apply, echo, fail"):
        plugin.call_function("native", "nothing")


def test_c_callbacks(native: ModuleType) -> None:
    assert native.apply(lambda x: x * 2, [1, 2, 3]) == [2, 4, 6]
    with pytest.raises(plugin.PluginCallError, match="by zero"):
        native.apply(lambda x: x // 0, [1])


def test_c_is_called_from_inside_a_callback(native: ModuleType) -> None:
    def down(depth: int) -> Any:
        return native.apply(down, [depth - 1])[0] + 1 if depth else native.add(1, 1)

    assert down(30) == 32


def test_c_objects(native: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    counter, other = native.Counter(2), native.Counter(10)
    assert (counter.inc(3), counter.inc(), other.inc()) == (5, 6, 11)
    counter.value = 9
    assert counter.value == 9
    with other:
        pass
    plugin.release(counter)
    del counter, other
    plugin.unload("native")
    assert "was not released" not in capfd.readouterr().err


def test_c_batch_answered_one_by_one(native: ModuleType) -> None:
    calls: list[dict[str, Any]] = [{"name": "add", "args": [index, 1]} for index in range(5)]
    assert plugin.batch_call(native.__name__, calls) == [1, 2, 3, 4, 5]


def test_shell_plugin() -> None:
    needs("bash", "jq")
    shell = import_module(plugin.load("shell", SHELL, scriptling=True))
    assert shell.greet("you") == "Hello, you!"
    assert shell.shout('straße "x"') == 'STRAßE "X"'
    assert shell.greet.__doc__ == "Greet somebody"
    with pytest.raises(plugin.PluginCallError, match="unknown function whisper"):
        plugin.call_function("shell", "whisper")


def test_shell_peer_without_the_plugin_protocol() -> None:
    needs("bash")
    plugin.load("plain", HERE / "plain.sh")
    assert [plugin.call_function("plain", "anything", turn) for turn in range(3)] == [1, 2, 3]
