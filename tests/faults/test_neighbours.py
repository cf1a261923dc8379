"""Whoever else is on the machine: strays, other users, and the same user without an invitation (checks 36, 39, 40)."""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from scriptling.registry import Handler
from scriptling.tasks import Outcome, TaskSpec, encode_spec
from tests.faults.figures import Figures
from tests.wire.server import Serve, Server
from tests.wire.values import Raw
from workers import frames
from workers.frames import Ask, Want

HANDLERS = """
def add(a, b): return a + b
def call(f, value): return f(value)
def crowd(f, count):
    import threading
    outcomes, ready = [], threading.Barrier(count)
    def one():
        ready.wait()
        try: outcomes.append(f(1))
        except Exception as error: outcomes.append(str(error))
    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return outcomes
class Store:
    def __init__(self): self.value = 1
    def get(self): return self.value
"""
NOBODY = 65534
FEW_DESCRIPTORS = """
import os, resource, sys
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
os.execv(sys.argv[2], sys.argv[2:])
"""


def serves_everything(server: Server) -> None:
    assert server.call("add", 1, 2) == 3
    assert server.call("call", lambda value: value + 1, 1) == 2
    assert server.method(server.new("Store"), "get") == 1


def doors(server: Server) -> list[Path]:
    """The ways by which processes of this server reach one another, as the same user can find them."""
    folder = Path(f"/proc/{server.program.process.pid}/fd")
    links = {entry: os.readlink(entry) for entry in folder.iterdir()}  # noqa: PTH115 - none of them leads anywhere
    return [entry for entry, target in links.items() if target.endswith(("/calls (deleted)", "/relay (deleted)"))]


def private_folders(server: Server) -> list[Path]:
    """Folders of the server: that of its sockets, and that of its stores in memory."""
    folder = Path(f"/proc/{server.program.process.pid}/fd")
    held = {Path(os.readlink(entry)) for entry in folder.iterdir()}  # noqa: PTH115 - as above
    return [
        *server.program.folder.glob("scriptling-*"),
        *(path for path in held if path.name.startswith("scriptling-stores-")),
    ]


def test_threads_that_ask_all_at_once_leave_the_server_its_descriptors(serve: Serve) -> None:
    """Check 36, from inside: each thread that asks has a connection, which ZeroMQ takes or aborts."""
    limited = [sys.executable, "-c", FEW_DESCRIPTORS, "400"]
    server = serve(HANDLERS, "", "--workers", "2", wrapper=limited)
    crowds = [server.begin("crowd", lambda value: value + 1, 180) for _ in range(3)]
    for crowd in crowds:
        outcomes = server.value(crowd)
        assert len(outcomes) == 180
        refused = {outcome for outcome in outcomes if outcome != 2}
        assert refused == {"too many threads of this process have asked for something; let some end"}
    serves_everything(server)


def test_strays_find_nothing_to_connect_to_however_few_descriptors_are_left(serve: Serve, figures: Figures) -> None:
    """Check 36: 400 of them at each socket; ZeroMQ would abort on the first that it has no descriptor for."""
    server = serve(HANDLERS, "", "--workers", "2", wrapper=[sys.executable, "-c", FEW_DESCRIPTORS, "100"])
    serves_everything(server)
    paths = [
        line.split()[-1]
        for line in Path("/proc/net/unix").read_text().splitlines()
        if str(server.program.folder) in line
    ]
    assert {Path(path).name for path in paths} == {"calls", "relay"}
    refused = 0
    for path in {*paths}:
        for _ in range(400):
            with socket.socket(socket.AF_UNIX) as stray, suppress(FileNotFoundError):
                stray.connect(path)
                refused -= 1
            refused += 1
    serves_everything(server)
    figures.count(36, "strays at the sockets between processes, 100 descriptors: nothing to connect to", refused, 800)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_other_users_reach_nothing(serve: Serve, figures: Figures) -> None:
    """Check 39."""
    server = serve(HANDLERS, "", "--workers", "1")
    serves_everything(server)
    server.program.folder.chmod(0o755)
    folders = private_folders(server)
    assert len(folders) == 2
    child = os.fork()
    if not child:
        listed = len(folders) + 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            listed = sum(can_list(folder) for folder in [*folders, Path(f"/proc/{server.program.process.pid}/fd")])
        finally:
            os._exit(listed)
    listed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    figures.count(39, "folders and descriptors that another user is kept out of", 3 - listed, 3)


def can_list(folder: Path) -> bool:
    try:
        return bool(os.listdir(folder) or True)  # noqa: PTH208
    except PermissionError:
        return False


class Bomb:
    """Says so in a file if somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def malformed(bomb: bytes) -> list[list[bytes]]:
    """Messages that are no frames."""
    return [[bomb], [bomb, bomb], [b"\x92\xa8registered" + bomb], [b""], [b"\xc1" * 1000]]


def well_formed(bomb: bytes) -> Iterator[bytes]:
    """Frames as our own processes send them, but for the key; whatever call is running, one of them is asked for it."""
    task = TaskSpec("add", Handler("handlers.add", bomb), bomb)
    for key in ("", "0" * 32):
        yield frames.encode(frames.Log(key, 0, b"{}"))
        for seq in range(30):
            yield frames.encode(Ask(key, "worker-1", seq, Want.ADOPT, "Store", "", bomb))
            yield frames.encode(Ask(key, "worker-1", seq, Want.CALLBACK, "held", "", b'{"id":"held"}'))
            yield frames.encode(Ask(key, "worker-1", seq, Want.TASK, "", "task.start", encode_spec(task)))
    yield frames.encode(frames.Replies(0, [frames.Reply(seq, False, bomb, 1) for seq in range(30)]))
    yield frames.encode(frames.Ran(Outcome(False, bomb)))


def test_nothing_that_a_stranger_sends_is_unpickled(serve: Serve, figures: Figures, tmp_path: Path) -> None:
    """Check 40: not even one of the same user, who goes in by what belongs to the server."""
    server = serve(HANDLERS, "", "--workers", "1")
    serves_everything(server)
    bomb = pickle.dumps(Bomb(tmp_path / "unpickled"))
    ways = doors(server)
    assert len(ways) == 2
    held = server.begin("call", Raw({"type": "callback", "callback": {"id": "held"}}), 7)
    question = server.question()  # so that there is a call for which things may be asked
    messages = [*malformed(bomb), *([frame] for frame in well_formed(bomb))]
    for way in ways:
        for identity in (b"worker-1", b"setup-1:", b"store-1:key", b"x"):
            with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
                stranger.linger = 1000
                stranger.identity = identity
                stranger.connect(f"ipc://{way}")
                for message in messages:
                    stranger.send_multipart(message)
    server.reply(question, 8)
    assert server.value(held) == 8
    serves_everything(server)
    unpickled = (tmp_path / "unpickled").exists()
    sent = 8 * len(messages)
    figures.count(40, "messages of 8 strangers, with pickles: none unpickled", 0 if unpickled else sent, sent)
    assert server.questions == [question]
