"""Children are born, watched and buried; what they leave behind goes with them, and everything with the front-end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.workers.fakes import PATIENCE, is_alive, kill_quietly, wait_readable, wait_until
from workers.nursery import Kill, Nursery, NurseryLostError

ROOT = Path(__file__).parent.parent.parent


class Lines:
    """Lines of JSON from a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    def next(self) -> Any:
        return json.loads(self.next_text())

    def next_text(self) -> bytes:
        while b"\n" not in self._rest:
            wait_readable(self._fd)
            data = os.read(self._fd, 1 << 16)
            assert data, f"it ended with {self._rest!r}"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line


class Parent:
    """A process with a nursery; see :mod:`tests.workers.nursery_parent`."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder / "run"
        self.folder.mkdir()
        self.given, write_end = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.nursery_parent", str(self.folder), str(write_end), *flags],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[write_end],
        )  # fmt: skip
        os.close(write_end)
        assert self.process.stdout
        assert self.process.stderr
        self.notices = Lines(self.process.stdout.fileno())
        self.children = Lines(self.process.stderr.fileno())
        self.pids = [self.notices.next()[1]]
        self.nursery = self.pids[0]

    def ask(self, *request: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def spawn(self, name: str) -> int:
        self.ask("spawn", name)
        kind, born, pid = self.notices.next()
        assert (kind, born) == ("born", name)
        self.pids.append(pid)
        return int(pid)

    def await_death_of_all(self) -> None:
        wait_until(lambda: not any(map(is_alive, self.pids)), "the death of all")
        wait_until(lambda: not self.folder.exists(), "the end of the folder")

    def close(self) -> None:
        self.process.kill()
        for pid in self.pids:
            kill_quietly(pid)
        self.process.communicate()
        os.close(self.given)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Parent]:
    made = Parent(tmp_path)
    yield made
    made.close()


def test_a_child_lives_in_a_session_of_its_own_without_the_nurserys_own_descriptors(parent: Parent) -> None:
    parent.spawn("idle-1")
    parent.children.next()
    pid = parent.spawn("idle-2")
    told = parent.children.next()
    assert told["pid"] == pid
    assert told["leads"]
    assert told["default"] == [True, True]
    assert told["given"] == []
    assert [held for held in told["holds"] if "socket" in held or "pidfd" in held] == []


def test_a_child_has_no_descriptors_of_those_born_before_it(parent: Parent) -> None:
    held = []
    for number in range(3):
        parent.spawn(f"idle-{number}")
        held.append(len(parent.children.next()["holds"]))
    assert held == held[:1] * 3


def test_descriptors_go_to_the_child_and_no_further(parent: Parent) -> None:
    parent.spawn("write-1")
    assert parent.notices.next() == ["died", "write-1", 0]
    wait_readable(parent.given)
    assert os.read(parent.given, 10) == b"0"


@pytest.mark.parametrize(("act", "code"), [("leave", 3), ("crash", -signal.SIGABRT)])
def test_a_death_is_told_with_its_cause(parent: Parent, act: str, code: int) -> None:
    parent.spawn(act)
    assert parent.notices.next() == ["died", act, code]


def test_a_child_can_be_killed_by_its_name(parent: Parent) -> None:
    for name in ("idle-1", "idle-2"):
        parent.spawn(name)
        parent.children.next()
    parent.ask("kill", "idle-1", signal.SIGKILL)
    assert parent.notices.next() == ["died", "idle-1", -signal.SIGKILL]
    parent.ask("kill", "idle-1", signal.SIGKILL)
    parent.ask("kill", "nobody", signal.SIGKILL)
    parent.ask("kill", "idle-2", signal.SIGTERM)
    assert parent.notices.next() == ["died", "idle-2", -signal.SIGTERM]


def test_many_births_and_deaths_are_told_once_each(parent: Parent) -> None:
    for number in range(20):
        parent.ask("spawn", f"leave-{number}")
    notices = [parent.notices.next() for _ in range(40)]
    assert sorted(name for kind, name, _ in notices if kind == "born") == sorted(f"leave-{n}" for n in range(20))
    assert sorted(name for kind, name, _ in notices if kind == "died") == sorted(f"leave-{n}" for n in range(20))


def test_the_dead_take_with_them_what_they_have_started(parent: Parent) -> None:
    survivor = parent.spawn("idle")
    parent.children.next()
    parent.spawn("flee")
    fled = parent.children.next()["fled"]
    parent.pids += fled
    parent.ask("kill", "flee", signal.SIGKILL)
    assert parent.notices.next() == ["died", "flee", -signal.SIGKILL]
    wait_until(lambda: not any(map(is_alive, fled)), "the death of what had fled")
    assert is_alive(survivor)


def test_orphans_that_end_by_themselves_leave_no_zombies(parent: Parent) -> None:
    parent.spawn("forsake")
    pid = parent.children.next()["forsaken"]
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the burial of an orphan")


def test_signals_to_the_hosts_group_are_not_for_the_nursery(parent: Parent) -> None:
    child = parent.spawn("idle")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(parent.nursery, number)
    parent.spawn("leave")
    assert parent.notices.next() == ["died", "leave", 3]
    assert is_alive(child)
    assert os.getsid(parent.nursery) == parent.nursery


# The end


def test_everything_goes_at_the_end(parent: Parent) -> None:
    for name in ("idle", "flee"):
        parent.spawn(name)
        parent.pids += parent.children.next().get("fled", [])
    assert parent.process.stdin
    parent.process.stdin.close()
    parent.process.stdin = None
    assert parent.notices.next() == ["ended"]
    assert not any(map(is_alive, parent.pids))
    assert not parent.folder.exists()
    assert parent.process.wait(PATIENCE) == 0


def test_everything_goes_when_the_front_end_is_killed(parent: Parent) -> None:
    for name in ("idle-1", "idle-2", "flee"):
        parent.spawn(name)
        parent.pids += parent.children.next().get("fled", [])
    parent.process.kill()
    parent.await_death_of_all()


def test_everything_goes_when_the_front_end_is_killed_with_notices_unread(parent: Parent) -> None:
    parent.spawn("idle")
    os.kill(parent.process.pid, signal.SIGSTOP)
    os.kill(parent.pids[1], signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{parent.pids[1]}").exists(), "the burial of a child")
    parent.process.kill()
    parent.await_death_of_all()


def test_children_die_with_the_nursery(parent: Parent) -> None:
    child = parent.spawn("idle")
    parent.children.next()
    os.kill(parent.nursery, signal.SIGKILL)
    wait_until(lambda: not is_alive(child), "the death of a child without nursery")


def test_a_nursery_that_cannot_prepare_itself_says_why(tmp_path: Path) -> None:
    parent = Parent(tmp_path, "barren")
    assert parent.process.stderr
    assert b"nothing can be born here" in parent.process.communicate(timeout=PATIENCE)[1]
    parent.close()


# The front-end's handle


def test_the_death_of_the_nursery_is_told() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    handle = Nursery(ours, 0)
    assert handle.notices() == []
    theirs.close()
    with pytest.raises(NurseryLostError):
        handle.notices()
    with pytest.raises(NurseryLostError):
        handle.send(Kill("worker-1", 9))
    ours.close()


def test_requests_that_come_faster_than_they_are_taken_wait_and_none_is_lost() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    handle = Nursery(ours, 0)
    for number in range(2000):
        handle.send(Kill(f"task-{number}", 9))
    taken: list[bytes] = []
    while len(taken) < 2000:
        handle.flush()
        before = len(taken)
        with suppress(BlockingIOError):
            while True:
                taken.append(theirs.recv(4096))
        assert len(taken) > before, "nothing more came"
    assert all(b"task-%d" % number in each for number, each in enumerate(taken))
    ours.close()
    theirs.close()
