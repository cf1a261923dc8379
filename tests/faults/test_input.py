"""Hostile input and results that cannot be sent (faults, checks 23 to 26 and 37)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.corpus import answers_in, cases, expected_of, text_of, without_messages
from tests.faults.figures import Figures
from tests.wire.server import Serve, Server, running, write_plugin
from tests.wire.values import Raw

HANDLERS = """
import multiprocessing, os, sys
def echo(x): return x
def depth(x):
    level = 0
    while type(x) is list:
        x, level = x[0] if x else None, level + 1
    return level
def nested(depth):
    value = []
    for _ in range(depth - 1): value = [value]
    return value
def result(expression): return eval(expression)
def cyclic():
    value = {"a": []}
    value["a"].append(value)
    return value
def forks():
    pid = os.fork()
    if pid == 0:
        return "child"
    os.waitpid(pid, 0)
    return "parent"
def _square(x): return x * x
def pool():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(_square, range(5))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    setup = write_plugin(tmp_path_factory.mktemp("input"), HANDLERS)
    with running(setup, "--workers", "2", "--max-message", "16") as server:
        yield server


@pytest.fixture(scope="module")
def hit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for messages whose ids are anything; every answer to them is looked at by the test itself."""
    setup = write_plugin(tmp_path_factory.mktemp("hit"), HANDLERS)
    with running(setup, "--workers", "1") as server:
        server.keep_lines = True
        server.among_strangers = True
        yield server


def asked(server: Server, name: str, text: bytes) -> list[bytes]:
    """Send a message and a request of that name behind it, which must be served; return what else was answered."""
    server.lines.clear()
    server.send_raw(text)
    server.expect(name)
    server.send({"id": name, "method": "environment.open"})
    assert server.result(name) is None
    return [line for line in server.lines if name.encode() not in line]


@pytest.mark.parametrize("case", cases("messages.json"))
def test_each_malformed_message_has_its_one_answer_and_the_next_is_served(
    hit: Server, figures: Figures, case: dict[str, Any]
) -> None:
    """Check 23, over stdio: ids as they stand in the message, codes, and nothing else."""
    text = text_of(case)
    if not text.strip(b" \r\n"):
        return  # a blank line is skipped
    answers = answers_in(asked(hit, f"after {case['name']}", text))
    right = without_messages(answers) == expected_of(case["answer"]) and all(each.message for each in answers)
    figures.count(23, "malformed messages over stdio: the one answer, and the next is served", right, 1)


DEEP = {
    "brackets": b"[" * 100_000,
    "braces": b'{"a":' * 100_000,
    "in params": b'{"id":"deep","method":"function.call","params":' + b"[" * 100_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_100_000_brackets_are_refused_and_others_do_not_wait(serve: Serve, figures: Figures, name: str) -> None:
    """Check 24."""
    server = serve(HANDLERS)
    server.call("echo", 1)
    begin = time.monotonic()
    server.send_raw(DEEP[name])
    server.wait_for(lambda: bool(server.anonymous) or "deep" in str(server.latest(1)), 5, "the refusal")
    figures.at_most(24, "100,000 brackets: refused, in three places", time.monotonic() - begin, 0.01, room=50)
    assert server.call("echo", 1) == 1
    server.forgive()


def test_depth_128_passes_and_129_is_refused_both_ways(server: Server) -> None:
    """Check 24."""
    wire: Any = {"type": "list"}
    for _ in range(127):
        wire = {"type": "list", "items": [wire]}
    assert server.call("depth", Raw(wire)) == 128
    failure = server.failure(server.begin("depth", Raw({"type": "list", "items": [wire]})))
    assert failure.code == -32602
    assert "128" in failure.message
    value = server.call("nested", 128)
    for _ in range(127):
        (value,) = value
    assert value == []
    failure = server.failure(server.begin("nested", 129))
    assert failure.code == -32000
    assert "128" in failure.message


def test_cyclic_result_is_an_error(server: Server) -> None:
    """Check 24."""
    assert server.failure(server.begin("cyclic")).code == -32000
    assert server.failure(server.begin("nested", 50_000)).code == -32000


def test_line_of_100_mb_is_refused_without_being_held(serve: Serve, figures: Figures) -> None:
    """Check 25: one answer, and the next line is served."""
    server = serve(HANDLERS, "", "--workers", "1", "--max-message", "1")
    server.call("echo", 1)
    before = server.program.memory()
    begin = b'{"jsonrpc":"2.0","id":"long","method":"function.call","params":{"name":"echo","args":["'
    server.stdio.write(begin)
    highest = before
    for _ in range(100):
        server.stdio.write(b"x" * (1 << 20))
        highest = max(highest, server.program.memory())
    server.stdio.write(b'"]}}\n')
    assert server.call("echo", "next") == "next"
    server.wait_for(lambda: bool(server.anonymous) or server.answered("long"), 10, "the refusal")
    refusals = [*server.anonymous, *(answer for answer in server.latest(5) if answer["id"] == "long")]
    assert [refusal["error"]["code"] for refusal in refusals] == [-32007]
    growth = (highest - before) / (1 << 20)
    figures.at_most(25, "line of 100 MB with a cap of 1 MiB: growth meanwhile", growth, 8, "MiB")
    server.forgive()


def test_message_just_below_the_cap_passes(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--max-message", "1")
    text = "x" * ((1 << 20) - 300)
    assert server.call("echo", text) == text
    server.send_raw(b" " * (1 << 20) + b"{}")
    server.wait_for(lambda: len(server.anonymous) == 1, 10, "the refusal")
    advice = "the message is larger than 1 MiB; send less at once, or raise --max-message"
    assert server.anonymous[0]["error"] == {"code": -32007, "message": advice}


def test_16_mib_of_empty_lists_hold_nobody_up(server: Server, figures: Figures) -> None:
    """Check 25: nobody else waits for more than 100 ms; with room for other tests here."""
    known = len(server.anonymous)
    server.send_raw(b"[" + b"[]," * (5 << 20) + b"[]]")
    begin = time.monotonic()
    assert server.call("echo", 1) == 1
    figures.at_most(25, "16 MiB of empty lists: wait of the call behind", time.monotonic() - begin, 0.1, room=10)
    server.wait_for(lambda: len(server.anonymous) > known, 10, "the refusal")


def test_heavy_arguments_do_not_hold_up_others(server: Server) -> None:
    """Values are decoded in a worker, not in the front-end."""
    items = ",".join(['{"type":"int","value":1}'] * 300_000)
    server.expect("heavy")
    params = f'{{"name":"depth","args":[{{"type":"list","items":[{items}]}}]}}'
    server.send_raw(f'{{"jsonrpc":"2.0","id":"heavy","method":"function.call","params":{params}}}'.encode())
    times = []
    while not server.answered("heavy"):
        begin = time.monotonic()
        assert server.call("echo", 1) == 1
        times.append(time.monotonic() - begin)
    assert server.value("heavy") == 1
    assert not times or max(times) < 0.5


UNSENDABLE = ["float('nan')", "'\\ud800'", "object()", "[1, {2}]", "b''", "{'a': lambda: 0}", "2 ** 64", "{1: 1}"]


@pytest.mark.parametrize("expression", UNSENDABLE)
def test_result_that_cannot_be_sent_is_an_error_to_that_call_only(
    server: Server, expression: str, figures: Figures
) -> None:
    """Check 26."""
    others = [server.begin("echo", number) for number in range(20)]
    failure = server.failure(server.begin("result", expression))
    assert failure.code == -32000
    assert "result" in failure.message
    others += [server.begin("echo", number) for number in range(20)]
    assert [server.value(id) for id in others] == [*range(20), *range(20)]
    figures.count(26, "results that cannot be sent: an error to that call, 40 others served", 1, 1)


@pytest.mark.parametrize("mebibytes", [64, pytest.param(1024, marks=getattr(pytest.mark, FULL_SCALE))])
def test_result_that_is_too_large(serve: Serve, figures: Figures, mebibytes: int) -> None:
    """Check 26: refused, and to that call only."""
    server = serve(HANDLERS, "", "--workers", "2", "--max-message", "16")
    large = server.begin("result", f"'x' * ({mebibytes} << 20)")
    assert [server.call("echo", number) for number in range(20)] == list(range(20))
    failure = server.failure(large, 50)
    refused = failure.code == -32000 and f"{mebibytes} MiB" in failure.message and "--max-message" in failure.message
    figures.count(26, f"result of {mebibytes} MiB with a cap of 16: an error to that call", refused, 1)
    assert server.call("echo", 1) == 1
    assert server.program.memory() < 256 << 20


def test_handler_that_forks_is_answered_once(server: Server, figures: Figures) -> None:
    """Check 37: its child cannot reach the wire."""
    for _ in range(5):
        figures.count(37, "handlers that fork: answered once, by the parent", server.call("forks") == "parent", 1)
    assert [server.call("echo", number) for number in range(50)] == list(range(50))


def test_handler_that_uses_multiprocessing_is_answered_once(server: Server) -> None:
    """Check 37."""
    assert server.call("pool") == [0, 1, 4, 9, 16]
    assert [server.call("echo", number) for number in range(50)] == list(range(50))


def test_odd_bytes_between_good_messages_cost_one_answer_each(server: Server) -> None:
    known = len(server.anonymous)
    for odd in (b"\x00", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b"}{", b"\x1b[0m", b"Content-Length: 10"):
        server.send_raw(odd)
        assert server.call("echo", 1) == 1
    server.wait_for(lambda: len(server.anonymous) == known + 6, 5, "six refusals")
    assert {answer["error"]["code"] for answer in server.anonymous[known:]} == {-32700}
