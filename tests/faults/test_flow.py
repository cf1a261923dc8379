"""Much at once, and hosts that do not read (faults, checks 20 to 22; issue: 10,000 in flight, fast beside slow)."""

from __future__ import annotations

import json
import os
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures
from tests.wire.gates import PASS, Gate
from tests.wire.host import Json
from tests.wire.program import describe, resident, wait_until
from tests.wire.server import Serve, Server, running, write_plugin
from tests.wire.values import Raw

HANDLERS = (
    PASS
    + """
import sys, time
def add(a, b): return a + b
def large(size): return "x" * size
def rest(seconds): time.sleep(seconds)
def shout(): sys.stderr.write("x" * 100_000 + "\\n")
def wait(path): _pass_gate(path)
def ask_once(f, path):
    f()
    open(path, "x").close()
def mark_and_return(marks, size, padding):
    with open(marks, "a") as file: file.write("x")
    return "x" * size
class Counter:
    def __init__(self): self.count = 0
    def inc(self):
        self.count += 1
        return self.count
"""
)
MEBIBYTE = 1 << 20


@pytest.mark.parametrize("calls", [10_000, pytest.param(100_000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_burst_of_calls_is_answered_exactly_once_each(serve: Serve, figures: Figures, calls: int) -> None:
    """Check 21, and 10,000 in flight at once from one host; in bounded memory."""
    server = serve(HANDLERS, "", "--workers", "2")
    before = server.program.memory()
    ids = server.begin_many([("add", [number, 1]) for number in range(calls)])
    right = sum(server.answer(id, 60)["result"]["value"] == number + 1 for number, id in enumerate(ids))
    figures.count(21, f"burst of {calls:,} calls over stdio: answered", right, calls)
    growth = (server.program.peak_memory() - before) / MEBIBYTE
    figures.at_most(21, f"burst of {calls:,} calls over stdio: growth of the front-end meanwhile", growth, 128, "MiB")


def test_burst_of_method_calls_runs_in_order(serve: Serve) -> None:
    server = serve(HANDLERS)
    counter = server.new("Counter")
    ids = [server.begin_method(counter, "inc") for _ in range(3_000)]
    assert [server.value(id) for id in ids] == list(range(1, 3_001))


def test_slow_call_does_not_delay_fast_ones_beside_it(serve: Serve) -> None:
    """99 of 100 fast calls take less than 50 ms each while a call of 1 s runs; with room for other tests here."""
    server = serve(HANDLERS, "", "--workers", "2")
    server.call("add", 1, 1)
    slow = server.begin("rest", 1.0)
    times = []
    while not server.answered(slow):
        begin = time.monotonic()
        assert server.call("add", 1, 2) == 3
        times.append(time.monotonic() - begin)
    assert len(times) > 100
    assert sorted(times)[int(len(times) * 0.99)] < 0.1


def test_slow_call_in_the_middle_of_a_batch_of_fast_ones(serve: Serve, gate: Gate) -> None:
    """What lies behind it on the same worker is taken back and run elsewhere."""
    server = serve(HANDLERS, "", "--workers", "2")
    server.begin_many([("add", [number, 1]) for number in range(500)])
    messages = [("add", [number, 1]) for number in range(200)]
    ids = server.begin_many([*messages, ("wait", [str(gate)]), *messages])
    for id in ids[:200] + ids[201:]:
        server.result(id, 10)
    assert not server.answered(ids[200])
    gate.open()
    assert server.value(ids[200]) is None


@pytest.mark.parametrize("size", [500_000, 4 * MEBIBYTE])
def test_large_results_of_many_calls_at_once(serve: Serve, size: int) -> None:
    server = serve(HANDLERS, "", "--workers", "2")
    ids = [server.begin("large", size) for _ in range(24)]
    assert {len(server.value(id)) for id in ids} == {size}


class Silent:
    """A host that reads only when it is asked to, and waits for what handlers leave in a folder."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.marks = folder / "marks"
        self.marks.touch()
        server.program.listen()
        server.request("environment.open")
        server.stdio.receive()  # it is ready

    def begin_to_ask(self, handlers: int) -> list[Json]:
        """Have handlers ask something, and return their questions, which is all that is read."""
        by_hand = Raw({"type": "callback", "callback": {"id": "by hand"}})
        for number in range(handlers):
            self.server.begin("ask_once", by_hand, self.mark(f"answered {number}"))
        return [json.loads(self.server.stdio.receive() or b"") for _ in range(handlers)]

    def mark(self, name: str) -> str:
        return str(self.marks.with_name(name))

    def fill(self, calls: int, size: int) -> list[int]:
        """Have so many calls return large values; they leave a mark each."""
        messages = [("mark_and_return", [str(self.marks), size, "x" * 1_000])] * calls
        return self.server.begin_many(messages)

    def wait_for_marks(self, least: int) -> None:
        """Wait until so many calls have run, which fill what there is between us."""
        wait_until(lambda: self.made >= least, 30, lambda: f"only {self.made} of {least} calls have run")

    def wait_for_rest(self) -> None:
        """Wait until nothing has gone on for a while, because nobody reads."""
        quiet, last = 0, (0, 0)
        end = time.monotonic() + 30
        while quiet < 20:
            assert time.monotonic() < end, f"does not come to rest: {last}"
            now = (self.made, self.server.program.memory() // MEBIBYTE)
            quiet, last = (quiet + 1 if now == last else 0), now
            threading.Event().wait(0.02)

    @property
    def made(self) -> int:
        return self.marks.stat().st_size

    def answer(self, questions: list[Json]) -> int:
        """Answer questions, and return how many handlers go on for that, while nobody reads what they return."""
        for question in questions:
            self.server.reply(question, None)
        paths = [self.marks.with_name(f"answered {number}") for number in range(len(questions))]
        wait_until(lambda: all(path.exists() for path in paths), 20, lambda: "handlers wait for answers that were sent")
        return len(paths)


@pytest.mark.parametrize("asking", [0, 4])
def test_host_that_sends_and_does_not_read(figures: Figures, tmp_path: Path, asking: int) -> None:
    """Check 20: memory stays bounded although all of it would be 600 MB, and afterwards all are answered.

    Handlers that wait for callbacks do not change that, and go on when they are answered.
    """
    setup = write_plugin(tmp_path, HANDLERS)
    with running(setup, "--workers", "2", listen=False) as server:
        host = Silent(server, tmp_path)
        questions = host.begin_to_ask(asking)
        ids: list[int] = []
        writer = threading.Thread(target=lambda: ids.extend(host.fill(2_000, 300_000)))
        writer.start()
        host.wait_for_marks(60)  # 18 MB: stdout has been full for long
        host.wait_for_rest()
        assert host.made < 1_000  # nor is the rest held elsewhere
        if questions:
            what = "callbacks answered while answers of 600 MB wait for the host: their handlers go on"
            figures.count(20, what, host.answer(questions), asking)
        server.start()
        writer.join(20)
        for id in ids:
            assert len(server.answer(id, 40)["result"]["value"]) == 300_000
        highest = server.program.peak_memory()
    what = "host that sends and does not read, 600 MB of results: memory of the front-end"
    figures.at_most(20, what, highest / MEBIBYTE, 256, "MiB")


def test_stdin_is_read_while_stdout_is_full(figures: Figures, tmp_path: Path) -> None:
    """Check 20: reading stdin never waits for stdout; callbacks are answered and calls run while nobody reads."""
    setup = write_plugin(tmp_path, HANDLERS)
    with running(setup, "--workers", "2", listen=False) as server:
        host = Silent(server, tmp_path)
        questions = host.begin_to_ask(4)
        host.fill(20, MEBIBYTE)
        host.wait_for_marks(20)
        what = "callbacks answered while answers of 20 MB wait for the host: their handlers go on"
        figures.count(20, what, host.answer(questions), 4)
        host.fill(100, 1)
        host.wait_for_marks(120)
        server.start()


def test_stderr_that_nobody_reads(figures: Figures, tmp_path: Path) -> None:
    """Check 22: calls go on."""
    setup = write_plugin(tmp_path, HANDLERS)
    with running(setup, "--workers", "2", listen=False) as server:
        server.start()
        answered = sum(server.call("shout") is None for _ in range(60))
        figures.count(22, "calls that write 100 KB each to a stderr that nobody reads: answered", answered, 60)
        assert server.call("add", 1, 2) == 3
        server.end()
        assert server.program.exit_code(10) == 0
        server.check()


def test_a_batch_of_many_requests(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "2")
    messages = [server.new_request("function.call", server.call_params("add", [n, 1], {})) for n in range(5_000)]
    answers = server.batch(messages)
    assert [answer["result"]["value"] for answer in answers] == list(range(1, 5_001))


def test_batch_beyond_the_limit_is_refused_as_one(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--max-batch", "10")
    message = {"jsonrpc": "2.0", "id": "many", "method": "environment.open"}
    server.send([message] * 11)
    server.wait_for(lambda: len(server.anonymous) == 1, 20, "the refusal")
    assert "10" in server.anonymous[0]["error"]["message"]
    assert server.call("add", 1, 2) == 3


def test_stopped_reader_of_stdout_does_not_stop_the_reading_of_stdin(serve: Serve) -> None:
    """A host with one thread that writes everything before it reads must not lock up with us."""
    server = serve(HANDLERS, "", "--workers", "2")
    text = b"".join(json.dumps(server.new_request("environment.open")).encode() + b"\n" for _ in range(20_000))
    server.stdio.write(text)
    server.check(30)


def has_at_most(pid: int, most: int) -> bool:
    return descriptors(pid) <= most


def described(pid: int, before: int) -> str:
    return f"{describe(pid)} has {descriptors(pid)} descriptors, and had {before}"


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


LONG = [getattr(pytest.mark, FULL_SCALE), pytest.mark.timeout(180)]


@pytest.mark.parametrize("calls", [3_000, pytest.param(100_000, marks=LONG)])
def test_errors_and_deaths_leave_no_descriptor_zombie_or_memory_behind(
    figures: Figures, tmp_path: Path, calls: int
) -> None:
    """Check 35: 10 % errors, 1 % deaths."""
    handlers = """
        import os
        def born_from(): return os.getppid()
        def work(kind):
            if kind == "dies": os._exit(1)
            if kind == "raises": raise ValueError("bad")
            return kind
        """
    setup = write_plugin(tmp_path, handlers)

    def kind(number: int) -> str:
        return "dies" if number % 100 == 7 else "raises" if number % 10 == 3 else "fine"

    with running(setup, "--workers", "2") as server:

        def run(number: int) -> None:
            kinds = [kind(each) for each in range(number)]
            ids = server.begin_many([("work", [each]) for each in kinds])
            for each, id in zip(kinds, ids, strict=True):
                answer = server.answer(id, 60)
                assert ("error" in answer) == (each != "fine")

        run(1_000)
        processes = {"front-end": server.program.process.pid, "nursery": server.call("born_from")}
        before = {name: (descriptors(pid), resident(pid)) for name, pid in processes.items()}
        run(calls)
        assert server.call("work", "fine") == "fine"
        what = f"{calls:,} calls, 10 % errors, 1 % deaths:"
        for name, pid in processes.items():
            assert server.call("born_from") == processes["nursery"]
            known, memory = before[name]
            wait_until(partial(has_at_most, pid, known + 6), 10, partial(described, pid, known))
            more = max(0, descriptors(pid) - known)  # some may be of a worker on its way
            figures.at_most(35, f"{what} descriptors of the {name} more than after call 1,000", more, 6, "")
            growth = (resident(pid) - memory) / MEBIBYTE
            figures.at_most(35, f"{what} growth of the {name} since then", growth, 32, "MiB")
        wait_until(lambda: not server.program.zombies(), 5, lambda: f"left are {server.program.zombies()}")
        figures.at_most(35, f"{what} zombies", len(server.program.zombies()), 0, "")
