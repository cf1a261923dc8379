"""Bad input on the command line of a server: one clear sentence on stderr, and exit code 2 (cli.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.program import Program

CASES = {
    "script that does not exist": (["--json-rpc", "nosuch.py"], ["nosuch.py"]),
    "no script": (["--json-rpc"], ["--json-rpc"]),
    "script on stdin": (["--json-rpc", "-"], ["stdin"]),
    "folder": (["--json-rpc", "."], ["folder"]),
    "no workers": (["--json-rpc", "--workers", "0", "setup.py"], ["--workers", "'0'"]),
    "workers that are no number": (["--json-rpc", "--workers", "many", "setup.py"], ["--workers", "'many'"]),
    "negative workers": (["--json-rpc", "--workers=-1", "setup.py"], ["--workers", "'-1'"]),
    "a port in a stdio server": (["--json-rpc", ":8000", "setup.py"], [":8000"]),
    "address and port": (["--json-rpc", "localhost:8000"], ["localhost:8000"]),
    "interactive": (["--json-rpc", "-i", "setup.py"], ["--interactive", "--json-rpc"]),
    "misspelt flag": (["--json-rpcc", "setup.py"], ["--json-rpcc", "--json-rpc"]),
    "timeout that is no number": (["--json-rpc", "--call-timeout", "soon", "setup.py"], ["--call-timeout", "'soon'"]),
    "library folder that does not exist": (["--json-rpc", "-L", "nosuch", "setup.py"], ["--libpath", "nosuch"]),
    "bad log level": (["--json-rpc", "--log-level", "loud", "setup.py"], ["--log-level", "'loud'"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_command_line_is_one_sentence_and_exit_2(tmp_path: Path, name: str) -> None:
    arguments, words = CASES[name]
    (tmp_path / "setup.py").write_text("raise SystemError('it must not run')")
    program = Program(arguments, tmp_path)
    try:
        program.listen()
        assert program.exit_code() == 2
        stderr = program.all_stderr()
        assert program.process.stdout is not None
        assert program.process.stdout.read() == b""
        program.check_nothing_is_left()
    finally:
        program.destroy()
        program.close()
    for word in words:
        assert word in stderr
    assert "Traceback" not in stderr
    assert "it must not run" not in stderr
    assert len(stderr.strip().splitlines()) <= 2


def test_bad_value_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    program = Program(["--json-rpc", "setup.py"], tmp_path, {"SCRIPTLING_WORKERS": "none"})
    try:
        program.listen()
        assert program.exit_code() == 2
        assert "SCRIPTLING_WORKERS" in program.all_stderr()
    finally:
        program.destroy()
        program.close()
