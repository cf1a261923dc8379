"""A pool whose workers are played by a test."""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec

from scriptling.errors import ErrorCode, RpcError
from scriptling.settings import Settings
from tests.workers.fakes import FakeNursery, Listener, make_reply, make_ticket
from workers import frames
from workers.calls import claims
from workers.calls.dispatch import Dispatcher
from workers.calls.journal import Writer
from workers.calls.lanes import Lane
from workers.calls.pool import Pool
from workers.frames import Replies
from workers.front_end.supervisor import Child, Supervisor
from workers.nursery import Role

MS = 1_000_000
SECOND = 1000 * MS
START = 1000 * SECOND
NO_SENSE = RpcError(ErrorCode.WORKER_DIED, "no sense")
INIT = frames.encode(frames.Started())  # any frame: the pool only passes it on


class Process:
    """The other end of a worker's seat."""

    def __init__(self, child: Child, descriptors: list[int]) -> None:
        self.child = child
        self.claims, memory = (os.dup(descriptor) for descriptor in descriptors)
        self.journal = Writer(memory)
        os.close(memory)

    def claim(self) -> int:
        return claims.claim(self.claims) or 0

    def begin(self, now: int) -> int:
        seq = self.claim()
        self.journal.begin(seq, now)
        return seq

    def finish(self, seq: int) -> None:
        self.journal.add(msgspec.msgpack.encode(make_reply(seq)))

    def frame(self) -> Replies:
        received = frames.decode_from_child(self.journal.frame())
        assert isinstance(received, Replies)
        return received

    def close(self) -> None:
        os.close(self.claims)
        self.journal.close()


class Setting:
    """A pool whose workers are played by the test."""

    def __init__(self, workers: int = 1, **settings: Any) -> None:
        self.dispatcher = Dispatcher(10)
        self.nursery = FakeNursery()
        self.sent: list[tuple[str, frames.ToChild]] = []
        self.put_down: dict[str, str] = {}
        self.pool = Pool(Settings(workers=workers, **settings), self.dispatcher, self._send, self._put_down)
        self.supervisor = Supervisor(self.nursery, workers, self.pool.furnish)
        self.host = Listener()
        self.processes: list[Process] = []
        self.workers = [self.be_born() for _ in range(workers)]
        self.pool.open(INIT)
        self._last = 0

    def _send(self, name: str, frame: bytes) -> None:
        self.sent.append((name, frames.decode_for_child(frame)))

    def _put_down(self, name: str, why: str) -> None:
        self.put_down.setdefault(name, why)
        self.supervisor.kill(name, NO_SENSE, 0.0)

    def be_born(self) -> Process:
        child = self.supervisor.start(Role.WORKER, 0.0)
        process = Process(child, self.nursery.descriptors[-1])
        self.processes.append(process)
        self.supervisor.ready(child.name)
        self.pool.ready(child.name)
        return process

    def lane(self, process: Process) -> Lane:
        return self.dispatcher.lanes[process.child.name]

    def measure(self) -> None:
        """Let the handler be known as a quick one."""
        (process, *_) = self.workers
        (seq,) = self.submit(1, START)
        assert process.claim() == seq
        process.finish(seq)
        self.pool.receive(process.child.name, process.frame())
        self.host.answers.clear()

    def submit(self, count: int, now: int = START, timeout: float = 0.0) -> list[int]:
        seqs = []
        for _ in range(count):
            seqs.append(self.dispatcher.next_seq())
            self.dispatcher.submit(make_ticket(seqs[-1], "add", self.host, timeout))
        self.pool.hand_out(now)
        return seqs

    def look(self, now: int) -> None:
        self.pool.look(now, self.supervisor)

    def die(self, process: Process, code: int) -> None:
        self.pool.died(process.child, code)
        self.supervisor.died(process.child.name, 0.0)

    def sent_to(self, process: Process) -> list[frames.ToChild]:
        return [frame for name, frame in self.sent if name == process.child.name]

    def errors(self) -> dict[int, Any]:
        return {seq: json.loads(payload) for seq, failed, payload in self.host.answers if failed}

    def close(self) -> None:
        for process in self.processes:
            process.close()
            self.pool.died(process.child, 0)
