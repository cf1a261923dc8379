"""The command line as a person meets it: a process, its streams and its exit status."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from scriptling.options import OPTIONS
from scriptling.usage import help_text
from scriptling.version import __version__

PROGRAM = [sys.executable, "-m", "scriptling"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SCRIPTLING_")}


def run(*arguments: str, folder: Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder and wait for it."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=folder,
        env=ENVIRONMENT | {"HOME": str(folder), **environment},
        check=False,
    )


# --- help and version ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_goes_to_stdout(flag: str, tmp_path: Path) -> None:
    done = run(flag, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == help_text(coloured=False)


def test_help_has_every_flag_with_its_variable_in_groups_with_examples() -> None:
    text = help_text(coloured=False)
    for option in OPTIONS:
        assert f"{option.flag} " in text or f"{option.flag}\n" in text
        assert f"[{option.environment}]" in text or not option.environment
    assert "\nExamples\n" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert help_text(coloured=True) != text


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version_goes_to_stdout(flag: str, tmp_path: Path) -> None:
    done = run(flag, folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"scriptling {__version__} (Python 3.")


def test_help_into_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "-h"], stdout=write, stderr=subprocess.PIPE, timeout=30, env=ENVIRONMENT, check=False, cwd=tmp_path
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_flags_page_has_every_flag_and_variable_and_no_other() -> None:
    page = (Path(__file__).parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:`-\w`, )?`(--[\w-]+)[^`]*` \| (?:`(\w+)` )?\|", page, re.MULTILINE)
    assert sorted(rows) == sorted((option.flag, option.environment) for option in OPTIONS)


def test_every_flag_of_the_help_is_followed_by_blanks() -> None:
    for option in OPTIONS:
        assert re.search(rf"{option.flag} {re.escape(option.metavar)}".rstrip() + r"(  |\n)", help_text(False))


def test_a_flag_for_servers_behind_the_script_is_the_scripts_own_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("import sys; print(sys.argv)")
    done = run("s.py", "--json-rpc", folder=tmp_path)
    assert (done.stdout, done.returncode) == ("['s.py', '--json-rpc']\n", 0)
    assert done.stderr.endswith("to serve it, write: scriptling --json-rpc s.py\n")


# --- usage errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "0", "--json-rpc", "s.py"],
        ["--wokers"],
        ["missing.py"],
        ["--json-rpc"],
        ["--server", "1", "s.py"],
    ],
)
def test_a_usage_error_is_a_sentence_on_stderr_and_status_2(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("")
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("scriptling: ")
    assert done.stderr.endswith("\nTry 'scriptling --help'.\n")
    assert done.stderr.count("\n") == 2


def test_a_script_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "s.py").symlink_to("/proc/self/mem")
    done = run("s.py", folder=tmp_path)
    assert done.returncode == 2
    assert "cannot read s.py: Input/output error" in done.stderr


# --- scripts ------------------------------------------------------------------------------------------------------


def test_a_file_runs_as_main_with_its_arguments_and_its_own_folder_first(tmp_path: Path) -> None:
    app, lib = tmp_path / "app", tmp_path / "lib"
    app.mkdir()
    lib.mkdir()
    (app / "first.py").write_text("where = 'app'")
    (lib / "first.py").write_text("where = 'lib'")
    (lib / "second.py").write_text("where = 'lib'")
    (app / "s.py").write_text(
        "import sys, os, first, second, __main__\n"
        "print(__name__, os.path.relpath(__file__), sys.argv, first.where, second.where, __main__.sys is sys)\n"
        "print(sys.path[:2] == [os.path.abspath('app'), os.path.abspath('lib')], os.getcwd() in sys.path)\n"
    )
    done = run("-L", "lib", "app/s.py", "a", "-L", folder=tmp_path)
    assert done.stderr == ""
    assert done.stdout == "__main__ app/s.py ['app/s.py', 'a', '-L'] app lib True\nTrue False\n"


def test_code_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "near.py").write_text("value = 7")
    done = run("-c", "import sys, near; print(sys.argv, near.value)", "a", folder=tmp_path)
    assert done.stdout == "['-c', 'a'] 7\n"


@pytest.mark.parametrize(("arguments", "argv"), [(["-", "a"], "['-', 'a']"), ([], "['-']")])
def test_a_script_on_stdin_named_or_piped(arguments: list[str], argv: str, tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path, stdin="import sys\nprint(sys.argv)\n")
    assert (done.returncode, done.stdout) == (0, argv + "\n")


def test_the_future_of_this_program_is_not_the_scripts(tmp_path: Path) -> None:
    done = run("-c", "def f(x: 1 + 1): pass\nprint(f.__annotations__)", folder=tmp_path)
    assert done.stdout == "{'x': 2}\n"


def test_classes_of_a_script_can_be_pickled(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(
        "import pickle\nclass A: pass\nassert type(pickle.loads(pickle.dumps(A()))) is A\nprint('ok')\n"
    )
    assert run("s.py", folder=tmp_path).stdout == "ok\n"


def test_runtime_outside_of_a_server(tmp_path: Path) -> None:
    script = (
        "import scriptling.runtime as runtime, scriptling.runtime.plugin as plugin_srv\n"
        "plugin_srv.serve('x')\n"
        "plugin_srv.register_function('f', 'handlers.f')\n"
        "runtime.start_server()\n"
        "yield_now()\n"
        "print(runtime.server_running())\n"
    )
    done = run("-", folder=tmp_path, stdin=script)
    assert (done.stdout, done.stderr, done.returncode) == ("False\n", "", 0)


@pytest.mark.parametrize(
    ("code", "status"), [("0", 0), ("3", 3), ("'sorry'", 1), ("None", 0), ("", 0), ("True", 1), ("256 + 7", 7)]
)
def test_sys_exit_passes_through(code: str, status: int, tmp_path: Path) -> None:
    done = run("-c", f"import sys; sys.exit({code})", folder=tmp_path)
    assert done.returncode == status
    assert done.stderr == ("sorry\n" if code == "'sorry'" else "")


def test_an_exception_shows_the_scripts_frames_only_and_ends_with_1(tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("def f():\n    raise ValueError('no')\nf()\n")
    done = run("s.py", folder=tmp_path)
    plain = subprocess.run(
        [sys.executable, "s.py"], capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False, env=ENVIRONMENT
    )
    assert done.returncode == plain.returncode == 1
    assert done.stderr == plain.stderr


def test_a_syntax_error_shows_its_line_and_none_of_our_frames(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("x = (\n")
    done = run("s.py", folder=tmp_path)
    assert done.returncode == 1
    assert "'(' was never closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_scripts_own_excepthook_is_asked(tmp_path: Path) -> None:
    script = "import sys\nsys.excepthook = lambda kind, value, tb: print(kind.__name__, tb.tb_lineno)\n1 / 0\n"
    done = run("-", folder=tmp_path, stdin=script)
    assert (done.returncode, done.stdout, done.stderr) == (1, "ZeroDivisionError 3\n", "")


def test_sigint_ends_a_script_as_in_python(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(
        "import signal\ntry:\n    print('ready', flush=True)\n    signal.pause()\nfinally:\n    print('cleaned up')\n"
    )
    with subprocess.Popen(
        [*PROGRAM, "s.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert out == "cleaned up\n"
    assert process.returncode == -signal.SIGINT
    assert err.endswith("KeyboardInterrupt\n")
    assert "cli.py" not in err


def test_stdin_that_is_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m scriptling -c 'print(1)' <&-"],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        env=ENVIRONMENT,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


# --- setup scripts ------------------------------------------------------------------------------------------------

SERVES = "import scriptling.runtime.plugin as p\np.serve('x')\n"


@pytest.mark.parametrize(
    ("script", "status", "sentence"),
    [
        ("1 / 0\n", 3, "ZeroDivisionError"),
        ("x = (\n", 3, "'(' was never closed"),
        ("print('nothing')\n", 3, "nothing to serve"),
        (SERVES + "p.register_function('f', 'handlres.f')\n", 3, "handlres"),
        (SERVES + "p.register_function('f', 'handlers.ff')\n", 3, "handlers.f"),
        (SERVES + "p.register_class('handlers.Missing')\n", 3, "Missing"),
        ("import sys; sys.exit(5)\n", 5, ""),
    ],
)
def test_a_setup_script_that_fails_ends_the_server_and_says_why(
    script: str, status: int, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "handlers.py").write_text("def f(): pass\n")
    (tmp_path / "setup.py").write_text(script)
    done = run("--json-rpc", "setup.py", folder=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert sentence in done.stderr
    assert "scriptling/" not in done.stderr
    assert "workers/" not in done.stderr


# --- plugins of a folder -------------------------------------------------------------------------------------------

TINY_PLUGIN = f"""#!{sys.executable}
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    result = None
    if request["method"] == "scriptling.handshake":
        schema = {{"functions": [{{"name": "greet"}}], "classes": [], "constants": []}}
        library = {{"name": "hello", "version": "1", "description": ""}}
        result = {{"protocol": "1.0", "transport": "json", "library": library, "capabilities": [], "schema": schema}}
    elif request["method"] == "function.call":
        result = {{"type": "string", "value": "hi"}}
    if "id" in request:
        print(json.dumps({{"jsonrpc": "2.0", "id": request["id"], "result": result}}), flush=True)
"""


def executable(path: Path, text: str) -> None:
    """Write a program."""
    path.write_text(text)
    path.chmod(0o755)


def test_every_executable_of_a_plugin_dir_is_loaded_under_the_name_it_declares(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    (plugins / "folder").mkdir(parents=True)
    executable(plugins / "any name", TINY_PLUGIN)
    executable(plugins / ".hidden", "not a program")
    (plugins / "notes.txt").write_text("not executable")
    code = "import plugin.hello, scriptling.plugin as p; print(plugin.hello.greet(), p.list())"
    done = run("--plugin-dir", "plugins", "-c", code, folder=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith("hi ")
    assert done.stdout.count("plugin.hello") == 1


def test_a_plugin_that_fails_is_a_warning(tmp_path: Path) -> None:
    executable(tmp_path / "broken", "#!/bin/sh\necho out of order >&2\nexit 7\n")
    executable(tmp_path / "fine", TINY_PLUGIN)
    done = run("--plugin-dir", ".", "-c", "import plugin.hello; print(plugin.hello.greet())", folder=tmp_path)
    assert (done.stdout, done.returncode) == ("hi\n", 0)
    assert re.search(r"WARN  .*broken is not loaded: .*7", done.stderr)
    assert "out of order" in done.stderr


# --- interactive --------------------------------------------------------------------------------------------------


def test_interactive_reads_from_a_pipe_too(tmp_path: Path) -> None:
    done = run("-i", folder=tmp_path, stdin="x = 20 + 1\nprint(x * 2)\n")
    assert done.returncode == 0
    assert "42" in done.stdout
    assert f"Scriptling {__version__}" in done.stderr


def test_interactive_after_a_script_that_failed_has_its_names(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("x = 42\nraise ValueError('no')\n")
    done = run("-i", "s.py", folder=tmp_path, stdin="print(x)\nimport sys\nsys.exit(5)\n")
    assert "42" in done.stdout
    assert "ValueError: no" in done.stderr
    assert "script.py" not in done.stderr
    assert done.returncode == 5


def on_terminal(*arguments: str, typed: bytes, folder: Path) -> tuple[int, str]:
    """Run the program on a terminal of its own, type, and return its status and all that it showed."""
    ours, its = pty.openpty()
    environment = ENVIRONMENT | {"HOME": str(folder), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdin=its, stdout=its, stderr=its, cwd=folder, env=environment, start_new_session=True
    ) as process:
        os.close(its)
        os.write(ours, typed)
        shown = b"".join(pieces(ours))
    os.close(ours)
    return process.returncode, shown.decode().replace("\r\n", "\n")


def pieces(terminal: int) -> Iterator[bytes]:
    """Yield what is shown on a terminal until nobody has it open any more, which Linux tells with an error."""
    with suppress(OSError):
        while piece := os.read(terminal, 4096):
            yield piece


def test_interactive_completes_names_and_keeps_its_history(tmp_path: Path) -> None:
    pytest.importorskip("readline")
    status, shown = on_terminal("-i", typed=b"wonderful = 6 * 7\nprint(wonderf\t)\nexit()\n", folder=tmp_path)
    assert status == 0
    assert "42" in shown
    assert "print(wonderful)" in (tmp_path / ".scriptling_history").read_text()


def test_nothing_to_run_on_a_terminal_shows_the_help_in_colour(tmp_path: Path) -> None:
    status, shown = on_terminal(typed=b"", folder=tmp_path)
    assert status == 0
    assert shown == help_text(coloured=True)
