"""Every example runs, and prints what its page or the specification says that it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.network import on_a_port

EXAMPLES = Path(__file__).parent.parent / "examples"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SCRIPTLING_")} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
}

PRINTED = {
    "calculator": "1.0.0\n7\n12\n",
    "classes": "Hello, world\nGoodbye, world\n2\n",
    "callbacks": "[2, 4, 6]\nerror: 3 is too large\n",
    "stateful": "1.0.0\nHello, Ada (1)\nHello, Grace (1)\n",
    "shared_state": "Hello, Ada (1)\nHello, Ada (2)\n102\n['Ada', 'Alan', 'Grace']\n",
    "decorators": "100.0\n100.0\n60.0\n42\n12\n",
    "single_file": "12\n",
    "async_client": "HELLO\n['A', 'B', 'C']\n['Katze', 'Hund']\n6\ntoo late\n",
    "by_name": (
        "weather(city, unit): Tell the temperature in a city.\n"
        "search(text): Find a text, if it takes for ever.\n"
        "convert(file): Convert a file by a C library with a fault in it.\n"
        "21 degrees celsius in Oslo\n"
        "PluginCallError: weather() got an unexpected keyword argument 'town'\n"
        "PluginCallError: unknown function wether (available: convert, search, weather)\n"
        "PluginTimeout: search did not return within 1 s; its worker was killed\n"
        "PluginCrashed: the process that ran convert was killed by signal 11 (SIGSEGV)\n"
        "21 degrees kelvin in Rome\n"
    ),
    "background": "4\n['one two three', 3]\n45\nZeroDivisionError: division by zero\n",
    "periodic": "{'sales': 2, 'total': 15}\n{'sales': 4, 'total': 30}\n",
    "jsonrpc": "7\n3.0\n-32602 there is no mean of nothing\n",
    "web": (
        "200 Good day, Ada\n"
        '201 {"words":3,"longest":"counts"}\n'
        "200 <!doctype html><title>Words</title><p>It works.\n"
        '404 {"missing":"/nowhere"}\n'
        "QUIETLY\n"
    ),
}
SHELL = "Hello, Ada!\nQUIETLY\n"
REMOTE = "['here!', 'there!']\n['cba', 'zyx']\n"

# Runs a client, but loads its plugins from a URL.
ELSEWHERE = """
import runpy, scriptling.plugin as plugin
load = plugin.load
plugin.load = lambda name, path, scriptling, args=None: load(name, {url!r}, scriptling)
runpy.run_path({client!r}, run_name="__main__")
"""


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder and wait for it."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=50,
        cwd=folder,
        env=ENVIRONMENT,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_every_example_has_its_expectation() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/client.py")} == {*PRINTED, "remote", "shell"}


def test_every_example_is_in_the_table() -> None:
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {path.parent.name for path in EXAMPLES.glob("*/*.py")} == {*re.findall(r"^\| \[(\w+)\]", table, re.M)}


@pytest.mark.parametrize("name", PRINTED)
def test_example_in_a_scriptling_script(name: str, tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "scriptling", str(EXAMPLES / name / "client.py"), folder=tmp_path)
    assert (done.stdout, done.returncode) == (PRINTED[name], 0), done.stderr


def elsewhere(name: str, scheme: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the client of an example against its server on a port."""
    setup = next(path for path in (EXAMPLES / name).glob("*.py") if "plugin_srv.serve(" in path.read_text())
    with on_a_port(setup, environment=ENVIRONMENT) as port:
        url = f"{scheme}://{port.address[0]}:{port.address[1]}/json-rpc"
        code = ELSEWHERE.format(url=url, client=str(EXAMPLES / name / "client.py"))
        return run(sys.executable, "-c", code, folder=folder)


# The periodic one is about two lives of a server, and one on a port stays up; two have no plugin to load.
NOT_ELSEWHERE = {"async_client", "periodic", "jsonrpc", "web"}


@pytest.mark.parametrize("name", sorted({*PRINTED} - NOT_ELSEWHERE - {"callbacks"}))
def test_example_over_http_prints_the_same(name: str, tmp_path: Path) -> None:
    done = elsewhere(name, "http", tmp_path)
    assert (done.stdout, done.returncode) == (PRINTED[name], 0), done.stderr


@pytest.mark.parametrize("name", sorted({*PRINTED} - NOT_ELSEWHERE))
def test_example_over_a_websocket_prints_the_same(name: str, tmp_path: Path) -> None:
    done = elsewhere(name, "ws", tmp_path)
    assert (done.stdout, done.returncode) == (PRINTED[name], 0), done.stderr


def test_example_of_two_servers(tmp_path: Path) -> None:
    setup, client = (EXAMPLES / "remote" / name for name in ("setup.py", "client.py"))
    with on_a_port(setup, environment=ENVIRONMENT) as one, on_a_port(setup, environment=ENVIRONMENT) as other:
        urls = [f"ws://{port.address[0]}:{port.address[1]}/json-rpc" for port in (one, other)]
        done = run(sys.executable, "-m", "scriptling", str(client), *urls, folder=tmp_path)
    assert (done.stdout, done.returncode) == (REMOTE, 0), done.stderr


@pytest.mark.skipif(not (os.environ.get("CI") or shutil.which("jq")), reason="this machine has no jq")
def test_example_of_a_shell_script(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "scriptling", str(EXAMPLES / "shell" / "client.py"), folder=tmp_path)
    assert (done.stdout, done.returncode) == (SHELL, 0), done.stderr


def test_example_with_callbacks_over_http_says_why_not(tmp_path: Path) -> None:
    assert "callbacks are not supported over http json-rpc transport" in elsewhere("callbacks", "http", tmp_path).stderr


def test_example_in_plain_python(tmp_path: Path) -> None:
    done = run(sys.executable, str(EXAMPLES / "calculator" / "client.py"), folder=tmp_path)
    assert (done.stdout, done.returncode) == (PRINTED["calculator"], 0), done.stderr


def test_clean_up_of_the_stateful_example_is_seen_on_stderr(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "scriptling", str(EXAMPLES / "stateful" / "client.py"), folder=tmp_path)
    assert "stateful: cleaned up" in done.stderr


def test_executable_setup_script_in_a_plugin_dir(tmp_path: Path) -> None:
    (tmp_path / "shapes").symlink_to(EXAMPLES / "single_file" / "shapes.py")
    code = "import plugin.shapes; print(plugin.shapes.area(3, 4))"
    done = run(sys.executable, "-m", "scriptling", "--plugin-dir", ".", "-c", code, folder=tmp_path)
    assert (done.stdout, done.returncode) == ("12\n", 0), done.stderr
