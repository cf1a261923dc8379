"""The harm that is done, at fixed times of every period, so that one period is like another."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, islice
from operator import itemgetter
from random import Random
from typing import NamedTuple

import msgspec

from scriptling.errors import ErrorCode
from tests.faults import corpus, test_fuzz
from tests.faults.soak import stories
from tests.faults.soak.ledger import Call, Json, Ledger, ViolationError
from tests.faults.soak.talks import PATIENCE, Talk, request
from tests.faults.soak.watch import Watch
from tests.wire.host import whole
from tests.wire.network import Port, WebSocket, call, integer

_DAMAGED = 200  # messages in a row
_POSTED = 12  # requests in a row; some never end, and cost the time that the server gives them
_LEFT = 20  # calls of a host that leaves
LATE = 2.0  # seconds after its time at which a call has been cut, on a machine that has more to do than it can
_SLOW = 2.0  # seconds for which a host does not read
_RESULTS = 12  # that it does not read
_LARGE = 1_000_000  # characters of each
_WHOLE = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Trouble(NamedTuple):
    """Something done again and again.

    :ivar at: when in a period, as shares of it
    :ivar periods: in how many of them, from the first on
    """

    name: str
    at: Sequence[float]
    act: Callable[[], object]
    periods: float = math.inf


def evenly(seconds: float, period: float, begin: float = 0, end: float = 0.85) -> list[float]:
    """Return the shares of a period that lie so many seconds apart."""
    step = seconds / period
    return [begin + step * number for number in range(max(1, int((end - begin) / step)))]


class Schedule:
    """Does some troubles one after the other, each in its time, or as soon after it as the one before is done.

    :ivar done: how many times each was done
    """

    def __init__(self, watch: Watch, period: float, troubles: Sequence[Trouble]) -> None:
        self.done = {trouble.name: 0 for trouble in troubles}
        self._watch = watch
        self._period = period
        self._order = sorted(((at, trouble) for trouble in troubles for at in trouble.at), key=itemgetter(0))

    def run(self) -> None:
        """Go on until it is over."""
        begin = time.monotonic()
        for period in count():
            for at, trouble in self._order:
                if self._watch.over.wait(max(0, begin + (period + at) * self._period - time.monotonic())):
                    return
                if period < trouble.periods:
                    trouble.act()
                    self.done[trouble.name] += 1


@dataclass
class Killer:
    """Kills processes of one server, of which a conversation asks for them."""

    talk: Talk
    ledger: Ledger

    def worker(self) -> None:
        """Kill a worker in the middle of whatever it does."""
        answer = self.talk.ask(stories.pid())
        if "result" in answer:
            self.ledger.kill()
            _kill(answer["result"]["value"])

    def store(self) -> None:
        """Kill the object store."""
        self.ledger.store_killed = time.monotonic()
        _kill(self.talk.objects.store)

    def hang(self) -> None:
        """Make a call that has to be cut, and hold that it is when its time is over.

        :raises ViolationError: it was too early or too late
        """
        begun: list[float] = []
        asked = time.monotonic()
        answer = self.talk.ask(stories.hang(self.talk.wire(lambda: begun.append(time.monotonic()))))
        now = time.monotonic()
        if answer.get("error", {}).get("code") == ErrorCode.TIMED_OUT:
            took = now - (begun or [now])[0]  # it may be over before the thread of its callback is served here
            if now - asked < stories.HUNG or took > stories.HUNG + LATE:
                text = f"{now - asked:.2f} s after it was made, {took:.2f} s after it began"
                raise ViolationError(f"a call that may take {stories.HUNG} s was cut {text}")

    def chain(self) -> None:
        """Make calls within callbacks, deeper than there are workers."""
        self.talk.ask(self.talk.chain(8))


def _kill(pid: int) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Strays:
    """Sends what is no message of ours over a two-way conversation: the corpus, and damaged messages."""

    def __init__(self, talk: Talk, seed: int, every: int) -> None:
        self._talk = talk
        self._every = every
        self._damaged = test_fuzz.endless(seed)

    def corpus(self) -> None:
        """Send each malformed message, and hold that it has its one answer.

        :raises ViolationError: it has not
        """
        for case in islice(corpus.messages(), 0, None, self._every):
            self._talk.strange.clear()
            self._talk.send_raw(corpus.text_of(case))
            self._barrier()
            expected = [(json.loads(id, parse_int=whole), code) for id, code in corpus.expected_of(case["answer"])]
            ids = [None, *(id for id, _ in expected)]
            # Others have the ids of damaged messages, of which some are calls all the same, and may take their time.
            found = [
                (each["id"], each.get("error", {}).get("code", 0)) for each in self._talk.strange if each["id"] in ids
            ]
            if found != expected:
                raise ViolationError(f"{case['name']}: answered by {found}, not {expected}")

    def _barrier(self) -> None:
        self._talk.ask(Call("environment.open", "environment.open", {}, stories.equal(None)))

    def damaged(self) -> None:
        """Send damaged messages."""
        self._talk.strange.clear()
        lines = [next(self._damaged).text.decode(errors="replace").encode() for _ in range(_DAMAGED)]
        self._talk.send_raw(b"\n".join(lines))
        self._barrier()


class Visitors:
    """Clients of a port that come, misbehave, and go."""

    def __init__(self, port: Port, ledger: Ledger, watch: Watch, seed: int, every: int) -> None:
        self._port = port
        self._watch = watch
        self._every = every
        self._ledger = ledger
        self._chosen = Random(seed)
        self._damaged = test_fuzz.endless(seed)

    def corpus(self) -> None:
        """Post each malformed message, and hold that it has its one answer.

        :raises ViolationError: it has not
        """
        for case in islice(corpus.messages(), 0, None, self._every):
            answer = self._port.post(corpus.text_of(case))
            if answer.status == 503 and self._ledger.is_flooded:
                continue
            expected = corpus.expected_over_http(case)
            found = corpus.without_messages(corpus.answers_in([answer.body]))
            if answer.status not in {200, 204} or found != expected:
                raise ViolationError(f"{case['name']}: {answer.status} {answer.body[:500]!r}, not {expected}")

    def damaged(self) -> None:
        """Post damaged requests, heads as well as bodies.

        :raises ViolationError: an answer is not one of HTTP, or a fault of the server's
        """
        posts = test_fuzz.Posts(self._port)
        for _ in range(_POSTED):
            answer = posts.post(test_fuzz.posted(self._chosen, next(self._damaged).text)[0])
            if answer and not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 503")):
                raise ViolationError(f"a damaged request is answered by {answer[:500]!r}")
            if not answer.startswith(b"HTTP/1.1 20") or b"close" in answer:
                posts.renew()
        posts.close()

    def read_slowly(self) -> None:
        """Ask for more than any buffer holds, leave it for a while, and hold that it then comes, once and whole."""
        host = WebSocket(self._port, open_timeout=PATIENCE)
        demand = stories.equal({"type": "string", "value": "x" * _LARGE})
        large = stories.function("large", integer(_LARGE), kind="large result, read late", demand=demand)
        answers: list[Json] = []
        for _ in range(_RESULTS):
            host.send(request(large, self._ledger.owe(large, answers.append)))
        self._watch.over.wait(_SLOW)
        while len(answers) < _RESULTS:
            message = host.receive()
            if message is None:
                raise ViolationError(f"closed after {len(answers)} of {_RESULTS} large results")
            self._ledger.settle(msgspec.json.decode(message))
        host.end()

    def leave(self) -> None:
        """Leave in the middle of a head, of a body, and before the answer."""
        body = call("rest", {"type": "float", "value": 0.02})
        whole = _WHOLE % (len(body), body)
        for length in (30, len(whole) - 10, len(whole)):
            with socket.create_connection(self._port.address, timeout=PATIENCE) as connection:
                connection.sendall(whole[:length])

    def leave_websocket(self) -> None:
        """Leave with objects, with calls in flight, and with callbacks that were never answered."""
        host = WebSocket(self._port, open_timeout=PATIENCE)
        new = Call("", "object.new", {"class": "Thing", "args": [integer(1)]}, None)
        through = stories.function("through", {"type": "callback", "callback": {"id": "never"}})
        for number in range(_LEFT):
            for each in (new, through, stories.add(self._chosen)):
                host.send(request(each, f"left {number}"))
        host.end()
