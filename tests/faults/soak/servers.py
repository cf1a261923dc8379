"""The two servers, and what is done to each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.soak import samples, stories
from tests.faults.soak.handlers import HANDLERS, SETUP_PID, SETUP_SCRIPT
from tests.faults.soak.ledger import IN_A_FLOOD, Call, Demand, Ledger, ViolationError
from tests.faults.soak.posts import Poster, flood
from tests.faults.soak.samples import Period, Sample
from tests.faults.soak.talks import PATIENCE, Talk
from tests.faults.soak.troubles import Killer, Schedule, Strays, Trouble, Visitors, evenly
from tests.faults.soak.watch import Watch
from tests.wire.network import Port, WebSocket, integer, on_a_port
from tests.wire.program import Program, wait_until
from tests.wire.server import running, write_plugin

_STDIO_WORKERS, _HTTP_WORKERS = 3, 2
_PROCESSES = 4  # beside the workers: front-end, nursery, setup and object store
_FLAGS = ("--max-requests", "5000", "--max-rss", "64", "--call-timeout", "20")
_HTTP_FLAGS = ("--max-queue", "200", "--object-ttl", "15", "--request-timeout", "5")
_WINDOW = 150  # calls in flight in each conversation
_POSTERS = 4
_LOADED = 0.88  # share of a period; then there is a rest, so that what is left can be counted
_LOOKS = 6
_SETTLED = 40.0  # seconds until nothing is left of what was lent, leased or lost
_COUNTING = "kv incr"


@dataclass(frozen=True)
class Plan:
    """How long, and how much.

    :ivar period: seconds; the first is to warm up
    :ivar periods: how many of them
    :ivar flood: calls at once
    :ivar every: every how many malformed messages are sent
    :ivar leases: whether to wait until objects that were left to their leases have gone
    """

    period: float = 60.0
    periods: int = 30
    flood: int = 10_000
    every: int = 1
    leases: bool = True

    @property
    def looks(self) -> Sequence[float]:
        """When samples are taken, in seconds from the beginning of a period; with the last one a rest begins."""
        return [self.period * _LOADED / _LOOKS * number for number in range(_LOOKS + 1)]

    @property
    def rest(self) -> float:
        """When the last sample of a period is taken, just before the next one begins."""
        return self.period * 0.99

    @property
    def half(self) -> int:
        """In how many periods object stores are killed; after that they show whether they grow."""
        return self.periods // 2


@dataclass
class Soaked:
    """One server while it is soaked.

    :ivar workers: how many it is to have
    :ivar folder: where its setup script is
    :ivar is_alone: whether there is but one host, so that no object may be left when that has come to its end
    :ivar talks: its conversations; the first is the one that questions are asked in
    """

    name: str
    workers: int
    folder: Path
    program: Program
    ledger: Ledger
    talks: Sequence[Talk]
    posters: Sequence[Poster] = ()
    schedules: Sequence[Schedule] = ()
    is_alone: bool = False
    periods: list[Period] = field(default_factory=list)

    def look(self) -> Sample:
        """Take a sample, and hold that the server lives and answers.

        :raises ViolationError: it does not
        """
        if self.program.process.poll() is not None:
            raise ViolationError(f"the server over {self.name} has ended by itself: {self.program.process.returncode}")
        if late := self.ledger.overdue(PATIENCE):
            raise ViolationError(f"{self.name}: {late}")
        objects = [*(talk.objects for talk in self.talks), *(poster.objects for poster in self.posters)]
        store = max(objects, key=lambda each: each.told).store
        setup = int((self.folder / SETUP_PID).read_text())
        return samples.take(self.program.process.pid, setup, store, self.ledger.steady)

    def begin(self) -> Sample:
        """Begin to talk, with one life of an object; return how the server is then, before there is any load."""
        for talk in self.talks:
            talk.start()
        self.live()
        wanted = self.workers + _PROCESSES
        wait_until(lambda: self.look().processes == wanted, PATIENCE, lambda: f"{self.look().processes} processes")
        return self.look()

    def live(self) -> None:
        """Tell one life of an object, in which the object store says which process it is now."""
        story = self.talks[0].objects.life(Random(0))
        call = next(story)
        with suppress(StopIteration):
            while True:
                call = story.send(self.talks[0].ask(call))

    def load(self, watch: Watch) -> None:
        """Begin all that is done to it."""
        for talk in self.talks:
            talk.begin_all()
        for act in [*(poster.run for poster in self.posters), *(schedule.run for schedule in self.schedules)]:
            watch.start(self.name, act)

    def settle(self, before: Sample) -> Sample:
        """Wait until everything is answered, and no more processes are there than before; return how it is then.

        :raises ViolationError: an answer was counted that did not happen, or one that happened was not
        """
        wait_until(lambda: all(talk.is_idle for talk in self.talks), PATIENCE, lambda: f"{len(self.ledger)} are owed")
        wait_until(lambda: not len(self.ledger), PATIENCE, lambda: f"{len(self.ledger)} are owed")
        counted = self.talks[0].ask(stories.function("counted"))["result"]["value"]
        least = self.ledger.right[_COUNTING]
        if not least <= counted <= least + self.ledger.excused[_COUNTING]:
            raise ViolationError(f"{self.name}: {counted} counted by {least} calls that said so")
        if self.is_alone:
            _wait_for_one_object(self.talks[0])
        wait_until(
            lambda: self.look().processes <= before.processes,
            _SETTLED,
            lambda: f"{self.name}: {self.look().processes} processes and not {before.processes} as before",
        )
        self.live()
        return self.look()

    def close(self) -> None:
        """Send nothing more."""
        for talk in self.talks:
            talk.close()


@contextmanager
def over_stdio(folder: Path, watch: Watch, plan: Plan) -> Iterator[Soaked]:
    """Run a server over stdio, and give it a host."""
    setup = write_plugin(folder, HANDLERS, SETUP_SCRIPT)
    with running(setup, "--workers", str(_STDIO_WORKERS), *_FLAGS, listen=False) as server:
        server.program.listen()
        ledger = Ledger()
        talk = Talk(server.stdio, ledger, watch, seed=1, window=_WINDOW)
        killer, strays = Killer(talk, ledger), Strays(talk, 2, plan.every)
        pour = partial(_pour, talk, plan.flood)
        harm = [
            Trouble("worker killed from outside", evenly(1, plan.period), killer.worker),
            Trouble("object store killed", [0.5], killer.store, plan.half),
            Trouble("call that times out", evenly(2, plan.period), killer.hang),
            Trouble("chain of calls in callbacks, 8 deep", evenly(5, plan.period), killer.chain),
        ]
        noise = [
            Trouble("corpus of malformed messages", [0.0], strays.corpus),
            Trouble(f"flood of {plan.flood:,} calls", [0.2, 0.55], pour),
            Trouble("200 damaged messages", evenly(3, plan.period, 0.35), strays.damaged),
        ]
        schedules = [Schedule(watch, plan.period, troubles) for troubles in (harm, noise)]
        yield Soaked(
            "stdio", _STDIO_WORKERS, folder, server.program, ledger, [talk], schedules=schedules, is_alone=True
        )
        server.end()
        if code := server.program.exit_code(30):
            raise ViolationError(f"the server over stdio ended with exit status {code}")
        talk.join()


def _pour(talk: Talk, calls: int) -> None:
    talk.flood([stories.add(Random(0))._replace(kind=IN_A_FLOOD)] * calls)


@contextmanager
def over_http(folder: Path, watch: Watch, plan: Plan) -> Iterator[Soaked]:
    """Run a server on a port, and give it clients that post, a host over a WebSocket, and visitors."""
    setup = write_plugin(folder, HANDLERS, SETUP_SCRIPT)
    with on_a_port(setup, "--workers", str(_HTTP_WORKERS), *_FLAGS, *_HTTP_FLAGS) as port:
        ledger = Ledger()
        talk = Talk(WebSocket(port), ledger, watch, seed=3, window=_WINDOW, strays=False)
        other = Talk(WebSocket(port), ledger, watch, seed=4, window=0)
        posters = [Poster(port, ledger, watch, seed) for seed in range(5, 5 + _POSTERS)]
        schedules = [Schedule(watch, plan.period, troubles) for troubles in _of_a_port(port, talk, other, watch, plan)]
        yield Soaked("HTTP", _HTTP_WORKERS, folder, port.program, ledger, [talk, other], posters, schedules)
        for each in (talk, other):
            each.transport.end()
            each.join()
        if plan.leases:
            _wait_for_no_objects(port)


def _of_a_port(port: Port, talk: Talk, other: Talk, watch: Watch, plan: Plan) -> Iterator[list[Trouble]]:
    ledger = talk.ledger
    killer, strays, visitors = (
        Killer(talk, ledger),
        Strays(other, 6, plan.every),
        Visitors(port, ledger, watch, 7, plan.every),
    )
    yield [
        Trouble("worker killed from outside", evenly(1, plan.period), killer.worker),
        Trouble("object store killed", [0.5], killer.store, plan.half),
        Trouble("call that times out", evenly(2, plan.period), killer.hang),
        Trouble("chain of calls in callbacks, 8 deep", evenly(5, plan.period), killer.chain),
    ]
    yield [
        Trouble("corpus of malformed messages", [0.0], visitors.corpus),
        Trouble(f"flood of {plan.flood:,} calls", [0.3, 0.65], partial(flood, port, ledger, watch, plan.flood)),
        Trouble("200 damaged messages", evenly(3, plan.period), strays.damaged),
        Trouble("three clients that leave in the middle", evenly(1, plan.period), visitors.leave),
        Trouble("WebSocket that leaves objects, calls and callbacks", evenly(2, plan.period), visitors.leave_websocket),
    ]
    yield [Trouble("12 damaged requests", evenly(6, plan.period), visitors.damaged)]
    yield [Trouble("host that does not read 12 MB for 2 s", evenly(20, plan.period), visitors.read_slowly)]


def _wait_for_one_object(talk: Talk) -> None:
    """Wait until a new object is the only one: all others have been destroyed, or were lost with their store."""
    made = talk.ask(Call("object.new", "object.new", {"class": "Thing", "args": [integer(1)]}, Demand()))["result"][
        "id"
    ]
    asks = Call("living", "object.call_method", {"object_id": made, "method": "living"}, Demand())

    def living() -> int:
        number: int = talk.ask(asks)["result"]["value"]
        return number

    wait_until(lambda: living() == 1, _SETTLED, lambda: f"{living()} objects are left over stdio")


def _wait_for_no_objects(port: Port) -> None:
    """Wait until everything has gone that was left to leases, or with its owner."""

    def metrics() -> str:
        return port.request("GET", "/metrics").body.decode()

    wait_until(lambda: "\nscriptling_objects 0.0\n" in metrics(), _SETTLED, lambda: f"objects are left:\n{metrics()}")
