"""The load generator and what goes with it: requests, checks, rounds, the command line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import load, options, wire
from benchmarks.model import RATE, Absence, Case, Outcome, PeerFailed, Unavailable, Workload
from benchmarks.pace import Pace
from benchmarks.paced import drive_paced
from benchmarks.runner import Plan, run
from benchmarks.server import Command
from benchmarks.stage import Stage

STOCK = wire.Stock([wire.function_tail("add", 3, 4)])


def answer(line: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"result":7}\n' % json.loads(line)["id"]


class Peer:
    """Answers requests from a thread, at most ``depth`` of which may ever be there at once."""

    def __init__(self, replies: Any = answer) -> None:
        (self._input, to), (back, self._output) = os.pipe(), os.pipe()
        self.pipes = load.Pipes(to, back)
        self.deepest = 0
        self._replies = replies
        for fd in self.pipes:
            os.set_blocking(fd, False)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        rest = b""
        while data := os.read(self._input, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            self.deepest = max(self.deepest, len(lines))
            for line in lines:
                os.write(self._output, self._replies(line))
        os.close(self._output)
        os.close(self._input)

    def close(self) -> None:
        os.close(self.pipes.to)
        os.set_blocking(self.pipes.back, True)
        while os.read(self.pipes.back, 1 << 16):
            pass
        os.close(self.pipes.back)
        self._thread.join()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def test_requests_have_ids_of_their_own_and_end_where_it_says() -> None:
    requests = STOCK.take(30)
    lines = requests.text[: requests.ends[-1]].splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(wire.FIRST_ID, wire.FIRST_ID + 30))
    assert json.loads(lines[0])["params"]["args"] == [{"type": "int", "value": 3}, {"type": "int", "value": 4}]


def test_requests_take_turns() -> None:
    requests = wire.Stock([wire.function_tail("a"), wire.function_tail("b")]).take(4)
    names = [json.loads(line)["params"]["name"] for line in requests.text[: requests.ends[-1]].splitlines()]
    assert names == ["a", "b", "a", "b"]


def test_a_batch_is_a_line() -> None:
    requests = wire.BatchStock([wire.function_tail("a")], 3).take(2)
    first, second = requests.text[: requests.ends[-1]].splitlines()
    assert len(json.loads(first)) == 3
    assert first == second


@pytest.mark.parametrize("depth", [1, 7, load.UNLIMITED])
def test_no_more_are_in_flight_than_allowed(peer: Peer, depth: int) -> None:
    seen = load.drive(peer.pipes, STOCK.take(100), depth)
    load.check(seen, 100, 7)
    assert 0 < peer.deepest <= depth


def test_every_answer_has_its_time(peer: Peer) -> None:
    requests = STOCK.take(50)
    seen = load.drive(peer.pipes, requests, 8)
    found = dict(load.latencies(seen, requests))
    assert sorted(found) == list(range(50))
    assert all(0 < taken <= seen.elapsed for taken in found.values())


def test_paced_load_sends_everything(peer: Peer) -> None:
    requests = STOCK.take(40)
    seen = drive_paced(peer.pipes, requests, 4000)
    load.check(seen, 40, 7)
    assert seen.elapsed >= 39 / 4000


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (b'{"id":%d,"error":{"code":1,"message":"no"}}\n', "it answered: no"),
        (b'{"id":%d,"result":8}\n', "8 and not 7"),
        (b'{"id":9%d,"result":7}\n', "was not sent"),
    ],
)
def test_wrong_answers_measure_nothing(reply: bytes, complaint: str) -> None:
    peer = Peer(lambda line: reply % json.loads(line)["id"])
    try:
        with pytest.raises(PeerFailed, match=complaint):
            load.check(load.drive(peer.pipes, STOCK.take(5), 2), 5, 7)
    finally:
        peer.close()


def test_a_silent_server_is_given_up() -> None:
    peer = Peer(lambda line: b"")
    try:
        with pytest.raises(PeerFailed, match=r"no answer for 0.01 s, 0 of 5 were there"):
            load.drive(peer.pipes, STOCK.take(5), 2, patience=0.01)
    finally:
        peer.close()


def test_rounds_fill_their_time_within_bounds() -> None:
    asked: list[int] = []

    def work(count: int) -> float:
        asked.append(count)
        return count / 1000

    pace = Pace(work, least=2, most=400)
    assert pace.rate(0.2) == pytest.approx(1000)
    assert asked[-1] == 200
    assert pace.rate(5.0) == pytest.approx(1000)
    assert asked[-1] == 400


def alternating(order: list[str]) -> Workload:
    def contestant(name: str) -> Any:
        def measure(seconds: float) -> dict[str, float]:
            order.append(name)
            if name == "broken":
                raise PeerFailed("it broke")
            return {"rate": 100.0}

        return measure

    def missing() -> Any:
        raise Unavailable("not installed")

    def cases(stage: Stage) -> Iterator[Case]:
        offers = {name: lambda name=name: contestant(name) for name in ("a", "b", "broken")}
        yield Case("c", stage.gather("c", {**offers, "missing": missing}), (RATE,))

    return Workload("w", "", cases)


def run_alternating(order: list[str]) -> Outcome:
    return run([alternating(order)], Plan(3, 0.01, ()), lambda _: None)


def test_contestants_alternate_and_take_the_first_place_in_turn() -> None:
    order: list[str] = []
    outcome = run_alternating(order)
    assert [name for name in order if name != "broken"] == ["a", "b", "b", "a", "a", "b"]
    assert [(result.contestant, result.values) for result in outcome.results] == [
        ("a", [100.0] * 3),
        ("b", [100.0] * 3),
    ]


def test_whoever_is_missing_or_breaks_is_named_with_the_reason() -> None:
    absences = run_alternating([]).absences
    assert absences == [Absence("w", "c", "broken", "it broke", True), Absence("w", "c", "missing", "not installed")]


def test_a_peer_is_a_name_and_a_command() -> None:
    command = Command.parse("go='/opt/server' --json-rpc {setup}")
    assert command == Command("go", ("/opt/server", "--json-rpc", "{setup}"))
    assert not command.has_workers


@pytest.mark.parametrize("text", ["", "name", "name=", "=command"])
def test_anything_else_is_no_peer(text: str) -> None:
    with pytest.raises(ValueError, match="a peer is given as"):
        Command.parse(text)


def test_unknown_workloads_are_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        options.parse(["--only", "subtract"])
    assert "no workload 'subtract' (there are: add, " in capsys.readouterr().err


def test_rounds_are_counted() -> None:
    assert options.parse(["--rounds", "7"]).rounds == 7
    assert options.parse(["--quick"]).rounds < options.parse([]).rounds
