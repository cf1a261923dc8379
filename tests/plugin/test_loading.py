"""``load``, ``unload``, ``list`` and ``describe``: identities, names, and programs that use them (section 6)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

import scriptling.plugin as plugin
from tests.plugin.conftest import FAKE_ARGS, WritePeer


def load(name: str, args: Sequence[str] = FAKE_ARGS) -> str:
    return plugin.load(name, sys.executable, scriptling=True, args=args)


def run(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, which must end by itself."""
    # Newer Pythons warn of every fork of a program with threads, which is what these tests are about.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    command = [sys.executable, *warnings, "-c", program, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


PROGRAM = f"""
import os, sys
import scriptling.plugin as plugin
plugin.load("calculator", sys.executable, scriptling=True, args={FAKE_ARGS!r})
import plugin.calculator
"""


def test_program_of_the_specification_runs_in_plain_python() -> None:
    ran = run(
        PROGRAM
        + """
print(plugin.calculator.VERSION, plugin.calculator.add(3, 4))
print(plugin.load("calculator", sys.executable, scriptling=True, args=sys.argv[1:]), plugin.list())
from plugin.calculator import add
import plugin.calculator as calculator
print(add(1, 1), calculator.add(2, 2))
""",
        *FAKE_ARGS,
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["1.0.0 7", "plugin.calculator ['plugin.calculator']", "2 4"]


def test_plugins_are_ended_at_the_exit_of_the_program() -> None:
    ran = run(PROGRAM + "print(plugin.call_function('calculator', 'pid'))")
    assert (ran.returncode, ran.stderr) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(ran.stdout), 0)


def test_plugins_are_ended_when_the_program_fails() -> None:
    ran = run(PROGRAM + "print(plugin.call_function('calculator', 'pid'), flush=True)\nraise SystemExit(7)")
    assert ran.returncode == 7
    with pytest.raises(ProcessLookupError):
        os.kill(int(ran.stdout), 0)


def test_forked_child_that_exits_leaves_the_parents_plugin_alone() -> None:
    ran = run(
        PROGRAM
        + """
counter = plugin.calculator.Counter(5)
child = os.fork()
if child == 0:
    try:
        counter.inc()
    except plugin.PluginError as error:
        print("child:", str(error).partition(") ")[2], flush=True)
    del counter
    plugin.load("calculator", sys.executable, scriptling=True, args=sys.argv[1:])
    print("child:", plugin.calculator.add(1, 2), flush=True)
    sys.exit(0)
os.waitpid(child, 0)
print("parent:", counter.inc(), plugin.calculator.add(3, 4))
""",
        *FAKE_ARGS,
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "child: belongs to the process that forked this one; load it again to use it here",
        "child: 3",
        "parent: 6 7",
    ]


def test_fork_within_a_callback_ends_the_call_in_the_child_only() -> None:
    ran = run(
        PROGRAM
        + """
def callback(x):
    return os.fork()
try:
    (child,) = plugin.call_function("calculator", "apply", callback, [1])
except plugin.PluginError:
    print("child left", flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", child > 0)
"""
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["child left", "parent True"]


def test_plugin_sees_the_end_of_the_program_though_a_forked_child_lives_on() -> None:
    ran = run(
        PROGRAM
        + """
pid = plugin.call_function("calculator", "pid")
reader, writer = os.pipe()
if os.fork() == 0:
    os.close(1), os.close(2)
    os.read(reader, 1)
    os._exit(0)
plugin.unload("calculator", timeout=5)
try:
    os.kill(pid, 0)
except ProcessLookupError:
    print("ended")
os.write(writer, b"x")
"""
    )
    assert (ran.stdout, ran.stderr) == ("ended\n", "")


def test_import_is_light() -> None:
    ran = run("import sys, scriptling.plugin; print(*sys.modules)")
    loaded = set(ran.stdout.split())
    assert not loaded & {"http.client", "ssl", "asyncio", "logging", "subprocess", "json", "zmq", "cloudpickle"}


def test_same_identity_under_the_same_name_is_no_new_plugin(local_fake: str) -> None:
    pid = plugin.call_function(local_fake, "pid")
    assert load("plugin.fake") == "plugin.fake"
    assert plugin.call_function(local_fake, "pid") == pid


def test_same_identity_under_another_name_is_refused(local_fake: str) -> None:
    with pytest.raises(
        plugin.PluginLoadError, match=r"is loaded as plugin.fake already, and cannot be as plugin.other"
    ):
        load("other")


def test_other_identity_under_the_same_name_is_refused(local_fake: str) -> None:
    with pytest.raises(plugin.PluginLoadError, match=r"plugin.fake is loaded from .* already"):
        load("fake", [*FAKE_ARGS, "another"])
    with pytest.raises(plugin.PluginLoadError, match="scriptling=True already"):
        plugin.load("fake", sys.executable, args=FAKE_ARGS)


def test_args_are_part_of_the_identity(fake: str) -> None:
    assert load("other", [*FAKE_ARGS, "another"]) == "plugin.other"
    assert plugin.list() == ["plugin.fake", "plugin.other"]
    assert plugin.call_function("other", "pid") != plugin.call_function(fake, "pid")


def test_name_is_a_context_manager_that_unloads() -> None:
    with plugin.load("fake", sys.executable, scriptling=True, args=FAKE_ARGS) as name:
        assert isinstance(name, str)
        assert plugin.call_function(name, "add", 1, 2) == 3
    assert plugin.list() == []


def test_unload_within_the_block_is_fine() -> None:
    with plugin.load("fake", sys.executable, scriptling=True, args=FAKE_ARGS) as name:
        plugin.unload(name)


def test_unload_removes_the_library_and_the_name_is_free(fake: str) -> None:
    module = sys.modules["plugin.fake"]
    plugin.unload("fake")
    assert "plugin.fake" not in sys.modules
    assert not hasattr(sys.modules["plugin"], "fake")
    with pytest.raises(plugin.PluginError, match=r"plugin.fake is not loaded any more"):
        module.add(1, 2)
    with pytest.raises(plugin.PluginError, match=r"plugin.fake is not loaded \(loaded: none\)"):
        plugin.unload("fake")
    assert load("fake", [*FAKE_ARGS, "another"]) == "plugin.fake"


def test_loads_of_one_plugin_at_once_start_it_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(load, ["fake"] * 4)) == {"plugin.fake"}
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("plugin 'fake'")]) == 1


@pytest.mark.parametrize("name", ["", "plugin.", "a b", "a..b", "a."])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(plugin.PluginLoadError, match="is no name for a plugin"):
        load(name)


def test_name_that_would_hide_a_function_of_the_client() -> None:
    with pytest.raises(plugin.PluginLoadError, match=r"plugin.list would hide scriptling.plugin.list"):
        load("list")


def test_dotted_name() -> None:
    load("tools.text")
    assert sys.modules["plugin.tools.text"].add(1, 2) == 3
    assert sys.modules["plugin"].tools.text is sys.modules["plugin.tools.text"]
    plugin.unload("tools.text")


def test_headers_and_args_go_with_what_takes_them() -> None:
    with pytest.raises(plugin.PluginLoadError, match="headers are sent to URLs only"):
        plugin.load("x", sys.executable, headers={"A": "b"})
    with pytest.raises(plugin.PluginLoadError, match="takes no args"):
        plugin.load("x", "http://127.0.0.1:1", args=["--json-rpc"])
    with pytest.raises(plugin.PluginLoadError, match="neither"):
        plugin.load("x", "ftp://127.0.0.1")
    with pytest.raises(plugin.PluginLoadError, match="args must be a list"):
        plugin.load("x", sys.executable, args="--json-rpc")


def test_bare_name_is_looked_up_on_path_and_beside_the_interpreter(
    write_peer: WritePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_peer("shake_hands()\nreceive()")
    monkeypatch.setenv("PATH", str(path.parent))
    plugin.load("on_path", path.name, scriptling=True)
    assert plugin.describe("on_path")["path"] == str(path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", str(path.parent / "python"))
    plugin.unload("on_path")
    plugin.load("beside", path.name, scriptling=True)


def test_relative_path(write_peer: WritePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_peer("shake_hands()\nreceive()")
    monkeypatch.chdir(path.parent)
    plugin.load("relative", f"./{path.name}", scriptling=True)
    assert plugin.load("relative", path, scriptling=True) == "plugin.relative"


def test_handshake_tells_who_we_are(write_peer: WritePeer, tmp_path: Path) -> None:
    path = write_peer(f"open({str(tmp_path / 'said')!r}, 'w').write(json.dumps(shake_hands()))\nreceive()")
    plugin.unload(plugin.load("mini", path, scriptling=True))
    said = (tmp_path / "said").read_text()
    assert '"protocol": "1.0", "host": "scriptling"' in said
    assert '"transports": ["json"], "capabilities": ["remote_objects", "big_integers"]' in said


def test_big_integers_go_to_a_peer_that_takes_them(write_peer: WritePeer) -> None:
    path = write_peer(
        """
        shake_hands(capabilities=["big_integers"])
        request = receive()
        answer(request, request["params"]["args"][0])
        receive()
        """
    )
    assert plugin.call_function(plugin.load("big", path, scriptling=True), "echo", 2**100) == 2**100


def test_describe(local_fake: str) -> None:
    described = plugin.describe("fake")
    assert described["name"] == "plugin.fake"
    assert described["path"] == sys.executable
    assert described["args"] == FAKE_ARGS
    assert (described["transport"], described["scriptling"], described["alive"]) == ("stdio", True, True)
    assert (described["version"], described["description"]) == ("3.1", "A plugin for tests.")
    assert [function["name"] for function in described["functions"]] == ["add", "echo", "odd", "twice"]
    assert described["classes"][0]["properties"][0] == {"name": "value", "description": "The count.", "settable": True}
    assert described["constants"] == {"VERSION": "1.0.0", "TABLE": {"a": []}}


def test_folder_of_plugins_loads_each_under_its_declared_name(
    write_peer: WritePeer, caplog: pytest.LogCaptureFixture
) -> None:
    good = write_peer("shake_hands(name='declared')\nreceive()")
    bad = write_peer("sys.exit(1)")
    (good.parent / "notes.txt").write_text("no executable")
    plugin.load_folder(str(good.parent))
    assert plugin.list() == ["plugin.declared"]
    (record,) = caplog.records
    assert f"{bad} is not loaded" in record.getMessage()
    plugin.load_folder(str(good.parent))
    assert plugin.list() == ["plugin.declared"]


def test_a_script_in_a_folder_of_plugins_that_may_not_be_executed_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shapes.py").write_text("#!/usr/bin/env python3\n")
    (tmp_path / "notes.txt").write_text("no script")
    plugin.load_folder(str(tmp_path))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path / 'shapes.py'} is not loaded: it may not be executed")


def test_a_time_limit_for_loading_has_to_be_a_number(fake: str) -> None:
    with pytest.raises(TypeError, match="timeout is a number of seconds, not a str: '5'"):
        plugin.load("other", fake, scriptling=True, timeout="5")  # type: ignore[arg-type]
    assert "plugin.other" not in plugin.list()


def test_closing_takes_no_longer_than_the_plugin_needs(fake: str) -> None:
    begun = time.monotonic()
    plugin.unload(fake)
    assert time.monotonic() - begun < 5


def test_import_of_what_is_not_loaded_says_what_to_do(fake: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'plugin.nothing': it is not loaded; scriptling"):
        import_module("plugin.nothing")
    plugin.unload(fake)
    with pytest.raises(
        ModuleNotFoundError, match=r'scriptling.plugin.load\("fake", \.\.\., scriptling=True\) makes it importable'
    ):
        import_module("plugin.fake")


def test_import_with_nothing_loaded_says_what_to_do(tmp_path: Path) -> None:
    for command in (["-m", "scriptling", "-c", "import plugin.x"], ["-c", "import scriptling.plugin, plugin.x"]):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=50
        )
        assert "No module named 'plugin': no plugin is loaded; scriptling.plugin.load(" in done.stderr
