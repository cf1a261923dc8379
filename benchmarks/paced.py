"""A load of so many calls a second, whatever is answered: what callers that know nothing of each other do."""

from __future__ import annotations

import os
import select
import time

from benchmarks.load import PATIENCE, Pipes, Run, write
from benchmarks.model import PeerFailed
from benchmarks.wire import Requests


def drive_paced(pipes: Pipes, requests: Requests, rate: float) -> Run:
    """Send one request every ``1 / rate`` seconds and wait for all answers.

    What a late answer delays is measured from when its request was written, not from when it was due.

    :param rate: requests per second
    :raises PeerFailed: the server has gone, takes too long, or reads nothing
    """
    text, ends = memoryview(requests.text), requests.ends
    poller = select.poll()
    poller.register(pipes.back, select.POLLIN)
    reads: list[tuple[float, bytes]] = []
    writes: list[tuple[float, int]] = []
    clock = time.perf_counter
    sent = answered = position = 0
    began = heard = clock()
    while answered < len(ends):
        now = clock()
        due = min(len(ends), int((now - began) * rate) + 1)
        if due > sent:
            position += write(pipes.to, text[position : ends[due - 1]])
            writes.append((clock(), position))
            while sent < len(ends) and ends[sent] <= position:
                sent += 1
        wait = max(0.0, began + sent / rate - clock()) if sent < len(ends) else 1.0
        if poller.poll(wait * 1000):
            data = os.read(pipes.back, 1 << 18)
            heard = clock()
            reads.append((heard, data))
            answered += data.count(b"\n")
            if not data:
                raise PeerFailed(f"it ended after {answered} answers")
        elif clock() - heard > PATIENCE:
            raise PeerFailed(f"no answer for {PATIENCE:g} s")
    return Run(began, clock() - began, reads, writes)
