"""What stands in for the other side of a part under test."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TypeVar

from workers.calls.tickets import Caller, Ticket
from workers.frames import Kind, Reply
from workers.front_end.service import Ends
from workers.front_end.supervisor import Child
from workers.nursery import Kill, Nursery, Request, Spawn
from workers.sockets import Router
from workers.store.instances import Instance, Owner

T = TypeVar("T")

PATIENCE = 20.0  # seconds until an event that has to come is missed


class Listener:
    """A caller that keeps what it was answered."""

    def __init__(self) -> None:
        self.flags = 0
        self.session = 1
        self.timeout = 0.0
        self.ends = Ends.SERVER
        self.owes = 0
        self.answers: list[tuple[int, bool, bytes]] = []

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        self.answers.append((ticket.seq, failed, payload))

    @property
    def seqs(self) -> list[int]:
        return [seq for seq, _, _ in self.answers]


def make_ticket(
    seq: int,
    target: str = "add",
    caller: Caller | None = None,
    timeout: float = 0.0,
    params: bytes = b"{}",
    kind: Kind = Kind.FUNCTION,
) -> Ticket:
    return Ticket(seq, caller or Listener(), kind, target, "", params, 0, timeout, b"%d" % seq)


def make_reply(seq: int, elapsed: int = 1000, payload: bytes = b"1") -> Reply:
    return Reply(seq, False, payload, elapsed)


def make_owner(count: int) -> Owner:
    """Return an owner of some objects."""
    owner = Owner(3)
    for number in range(count):
        owner.instances[Instance(f"1.{number}", "Thing", None, owner)] = None
    return owner


class FakeNursery(Nursery):
    """Gives birth to nothing, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.descriptors: list[list[int]] = []

    def send(self, request: Request, descriptors: Iterable[int] = ()) -> None:
        self.requests.append(request)
        self.descriptors.append([*descriptors])

    @property
    def spawned(self) -> list[str]:
        return [request.name for request in self.requests if isinstance(request, Spawn)]

    @property
    def kills(self) -> list[tuple[str, int]]:
        return [(request.name, request.signal) for request in self.requests if isinstance(request, Kill)]


def no_descriptors(child: Child) -> list[int]:
    return []


def wait_until(condition: Callable[[], T], what: str) -> T:
    """Return the first true value of a condition that no descriptor tells of, such as the end of another's process."""
    end = monotonic() + PATIENCE
    while not (value := condition()):
        assert monotonic() < end, f"this did not come: {what}"
        select.select((), (), (), 0.005)
    return value


def wait_readable(fd: int) -> None:
    assert select.select([fd], (), (), PATIENCE)[0], "nothing came to read"


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def kill_quietly(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def next_message(router: Router) -> tuple[bytes, bytes]:
    """Return the next message, as the loop of the front-end gets it."""
    while not router.has_input:
        wait_readable(router.fileno())
        router.wake()
    return next(router.receive())
