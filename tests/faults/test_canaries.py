"""Secrets that a server is given are seen by nobody who was not given them (faults, check 41)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.figures import Figures
from tests.wire.fixtures import Listen
from tests.wire.network import Port, text
from tests.wire.server import Serve, Server

TOKEN = "canary-token-51c7"
ARGUMENT = "canary-argument-88e2"
ENVIRONMENT = "canary-environment-07bd"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}
HANDLERS = """
import os
def add(a, b): return a + b
def keep(x): return None
def raises(x): raise ValueError("it does not say with what")
def dies(x): os._exit(1)
def times_out(x):
    while True: pass
class Thing:
    def __init__(self, x): self.x = x
    def fails(self, x): raise KeyError("no")
"""
FLAGS = ("--workers", "2", "--log-level", "trace", "--call-timeout", "0.5")
WRONG = (
    b'{"id":"wrong-1","method":"function.call","params":{"name":"nothing","args":[{"type":"string","value":"%s"}]}}',
    b'{"id":"wrong-2","method":"function.call","params":{"name":"add","args":[{"type":"%s"}]}}',
    b'{"id":"wrong-3","method":"function.call","params":{"name":"add","args":"%s"}}',
    b'{"id":"wrong-4","method":"object.call_method","params":{"object_id":"1.2","method":"x","args":["%s"]}}',
)
CUT = b'{"id":5,"method":"function.call","params":{"name":"add","args":[{"type":"string","value":"%s"'


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def processes_with(canary: str, pids: list[int], *names: str) -> list[str]:
    """The files of processes in ``/proc`` that a canary stands in."""
    paths = [Path(f"/proc/{pid}/{name}") for pid in pids for name in names]
    return [str(path) for path in paths if canary.encode() in path.read_bytes()]


def memory_files(pid: int) -> list[Path]:
    return [path for path in Path("/dev/shm").glob(f"scriptling-stores-{pid}-*/**/*") if path.is_file()]


def found_outside(program_folder: Path, folder: Path, pids: list[int], stderr: str, canary: str) -> list[str]:
    """Every place but memory where a canary is to be seen."""
    places = [*files(program_folder, folder), *(path for pid in pids for path in memory_files(pid))]
    found = [str(path) for path in places if canary.encode() in path.read_bytes()]
    return found + processes_with(canary, pids, "cmdline", "environ") + (["stderr"] if canary in stderr else [])


def call_badly(port: Port) -> str:
    """Make calls of every outcome with the canary among their arguments; return what others are answered meanwhile."""
    for name in ("keep", "raises", "dies", "times_out", "nothing"):
        port.call(name, text(ARGUMENT), headers=KNOWN)
    for wrong in (*WRONG, CUT):
        port.post(wrong % ARGUMENT.encode(), KNOWN)
    others = [port.call("add", text("a"), headers=KNOWN), port.call("raises", text("other"), headers=KNOWN)]
    others += [port.request("GET", path, headers=KNOWN) for path in ("/metrics", "/health", "/nothing")]
    return "".join(f"{answer.headers}{answer.body.decode()}" for answer in others)


@pytest.mark.parametrize("by", ["flag", "environment", "file"])
def test_tokens_and_arguments_leave_no_trace(listen: Listen, figures: Figures, tmp_path: Path, by: str) -> None:
    """In logs at their most talkative, answers of others, arguments, environments, files, and core dumps of deaths."""
    secrets = tmp_path / "secrets"
    if by == "file":
        secrets.write_text(f"{TOKEN}\n")
    flags = {"flag": ("--bearer-token", TOKEN), "environment": (), "file": ("--bearer-token-file", str(secrets))}[by]
    environment = {"SCRIPTLING_BEARER_TOKEN": TOKEN} if by == "environment" else None
    port = listen(HANDLERS, *FLAGS, *flags, environment=environment)
    assert port.url
    if by == "file":
        secrets.unlink()
    others = call_badly(port)
    port.post(b"{}", {"Authorization": f"Bearer {TOKEN}x"})
    for canary in (TOKEN, ARGUMENT):
        seen = found_outside(port.program.folder, tmp_path, port.program.pids(), port.program.stderr, canary)
        seen += ["answers"] if canary in others else []
        assert seen == []
        figures.count(41, "runs in which no trace of a secret was found", 1, 1)


def fail_badly(server: Server) -> str:
    for name in ("keep", "raises", "dies", "times_out", "nothing"):
        server.answer(server.begin(name, ARGUMENT))
    thing = server.new("Thing", ARGUMENT)
    server.answer(server.begin_method(thing, "fails", ARGUMENT))
    for number, wrong in enumerate(WRONG, 1):
        server.expect(f"wrong-{number}")
        server.send_raw(wrong % ARGUMENT.encode())
    server.send_raw(CUT % ARGUMENT.encode())
    others = [server.answer(server.begin("raises", "other")), server.answer(server.begin_method(thing, "fails", 1))]
    return str(others)


def test_arguments_and_environment_leave_no_trace_over_stdio(serve: Serve, figures: Figures, tmp_path: Path) -> None:
    """The environment is the handlers' to use, so that it stands in their processes' environment, and nowhere else."""
    server = serve(HANDLERS, "", *FLAGS, environment={"MY_SECRET": ENVIRONMENT})
    others = fail_badly(server)
    folder, pids, stderr = server.program.folder, server.program.pids(), server.program.stderr
    seen = found_outside(folder, tmp_path, pids, stderr, ARGUMENT) + ([others] if ARGUMENT in others else [])
    spread = [path for path in found_outside(folder, tmp_path, pids, stderr, ENVIRONMENT) if "environ" not in path]
    assert (seen, spread) == ([], [])
    figures.count(41, "runs in which no trace of a secret was found", 2, 2)


def test_stale_canaries_would_be_found(tmp_path: Path) -> None:
    """The search itself works: a canary in a file, and one in a process's environment."""
    (tmp_path / "file").write_text(ARGUMENT)
    path = os.environ["PATH"]
    assert found_outside(tmp_path, tmp_path, [os.getpid()], "", ARGUMENT)[0].endswith("file")
    assert processes_with(path, [os.getpid()], "environ")
