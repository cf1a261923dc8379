"""The load generator: one process, two pipes that never block; what can be done outside of a timed part is done there.

Requests are encoded ahead; answers are counted by their line ends and kept, to be looked at when the clock has stopped.
What this costs by itself is measured like a peer: against a process that only splits lines (``line echo``).
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from benchmarks.model import PeerFailed
from benchmarks.wire import FIRST_ID, Requests

UNLIMITED = 1 << 40  # calls in flight
PATIENCE = 20.0  # seconds without any answer
_READ = 1 << 18
_WRITE = 1 << 20
_SAMPLE = 50  # answers at either end of a run that are decoded


class Pipes(NamedTuple):
    """File descriptors of a running server, both non-blocking: what it reads from, and what it writes to."""

    to: int
    back: int


class Run(NamedTuple):
    """What one run has seen; times are of ``time.perf_counter``.

    :ivar began: when the first byte was about to be written
    :ivar elapsed: seconds from there to the last answer
    :ivar reads: time and bytes of every read
    :ivar writes: time and the number of bytes written so far, after every write
    """

    began: float
    elapsed: float
    reads: list[tuple[float, bytes]]
    writes: list[tuple[float, int]]


def drive(pipes: Pipes, requests: Requests, depth: int, patience: float = PATIENCE) -> Run:
    """Send all requests, at most ``depth`` in flight, and wait for as many answers.

    :param patience: seconds for which no answer may come
    :raises PeerFailed: the server has gone, or takes too long
    """
    text, ends = memoryview(requests.text), requests.ends
    total, answered, position, last = len(ends), 0, 0, len(ends) - 1
    reading, both = _pollers(pipes)
    reads: list[tuple[float, bytes]] = []
    writes: list[tuple[float, int]] = []
    clock = time.perf_counter
    began = clock()
    while answered < total:
        goal = ends[min(last, answered + depth - 1)]
        if position < goal:
            position += write(pipes.to, text[position : min(goal, position + _WRITE)])
            writes.append((clock(), position))
        if not (reading if position == goal else both).poll(patience * 1000):
            raise PeerFailed(f"no answer for {patience:g} s, {answered} of {total} were there")
        data = _read(pipes.back, answered, total)
        if data:
            reads.append((clock(), data))
            answered += data.count(b"\n")
    return Run(began, clock() - began, reads, writes)


def _pollers(pipes: Pipes) -> tuple[select.poll, select.poll]:
    reading, both = select.poll(), select.poll()
    for poller in (reading, both):
        poller.register(pipes.back, select.POLLIN)
    both.register(pipes.to, select.POLLOUT)
    return reading, both


def write(fd: int, data: memoryview) -> int:
    """Write what a pipe takes, which may be nothing; return how many bytes.

    :raises PeerFailed: nobody reads any more
    """
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        raise PeerFailed("it closed its input") from None


def _read(fd: int, answered: int, total: int) -> bytes | None:
    try:
        data = os.read(fd, _READ)
    except BlockingIOError:
        return None
    if not data:
        raise PeerFailed(f"it ended after {answered} of {total} answers")
    return data


def answers(run: Run) -> list[bytes]:
    """Return all answers of a run, as lines."""
    return b"".join(data for _, data in run.reads).splitlines()


def check(run: Run, total: int, expected: Any = None) -> None:
    """Look at what came: a run whose answers are wrong measured nothing.

    :param expected: the result of every call; None for any
    :raises PeerFailed: an answer is an error, is not one of a request's, or has another result
    """
    lines = answers(run)
    if len(lines) != total:
        raise PeerFailed(f"{len(lines)} answers to {total} requests")
    for line in lines if total <= 2 * _SAMPLE else lines[:_SAMPLE] + lines[-_SAMPLE:]:
        for answer in _single(line):
            _check_one(answer, total, expected)


def _single(line: bytes) -> Iterator[Any]:
    answer = msgspec.json.decode(line)
    if isinstance(answer, list):
        yield from answer
    else:
        yield answer


def _check_one(answer: Any, total: int, expected: Any) -> None:
    if "error" in answer:
        raise PeerFailed(f"it answered: {answer['error'].get('message')}")
    if not FIRST_ID <= answer["id"] < FIRST_ID + max(total, 1000):
        raise PeerFailed(f"it answered a request that was not sent: {answer['id']}")
    if expected is not None and answer.get("result") != expected:
        raise PeerFailed(f"it answered {str(answer.get('result'))[:100]} and not {str(expected)[:100]}")


def latencies(run: Run, requests: Requests) -> Iterator[tuple[int, float]]:
    """Yield the index of each request with the seconds from its last byte written to its answer's last byte read."""
    sent: list[float] = []
    for when, position in run.writes:
        while len(sent) < len(requests.ends) and requests.ends[len(sent)] <= position:
            sent.append(when)
    decode = msgspec.json.Decoder(_Answer).decode
    rest = b""
    for when, data in run.reads:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            index = decode(line).id - FIRST_ID
            yield index, when - sent[index]


class _Answer(msgspec.Struct):
    id: int
