"""The harm that is done, at fixed times of every period, so that one period is like another."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, NamedTuple

from tests.faults import test_fuzz, test_input
from tests.faults.soak import stories
from tests.faults.soak.ledger import Call, Ledger, ViolationError
from tests.faults.soak.talks import PATIENCE, Talk, request
from tests.faults.soak.watch import Watch
from tests.faults.test_corpus_on_a_port import ANSWERS, codes
from tests.wire.network import Port, WebSocket, call, integer

_DAMAGED = 200  # messages in a row
_POSTED = 12  # requests in a row; some never end, and cost the time that the server gives them
_LEFT = 20  # calls of a host that leaves
_QUIET = 1.0  # seconds without an answer to a damaged message, until there are none left
_WHOLE = b"POST /json-rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Trouble(NamedTuple):
    """Something done again and again.

    :ivar at: when in a period, as shares of it
    """

    name: str
    at: Sequence[float]
    act: Callable[[], object]


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
        self._order = sorted((at, trouble) for trouble in troubles for at in trouble.at)

    def run(self) -> None:
        """Go on until it is over."""
        begin = time.monotonic()
        while not self._watch.over.is_set():
            for at, trouble in self._order:
                if self._watch.over.wait(max(0, begin + at * self._period - time.monotonic())):
                    return
                trouble.act()
                self.done[trouble.name] += 1
            begin += self._period


@dataclass
class Killer:
    """Kills processes of one server, of which a conversation asks for them."""

    talk: Talk
    ledger: Ledger

    def worker(self) -> None:
        """Kill a worker in the middle of whatever it does."""
        answer = self.talk.ask(stories.pid())
        if "result" in answer:
            self.ledger.kills += 1
            _kill(answer["result"]["value"])

    def store(self) -> None:
        """Kill the object store."""
        self.ledger.store_killed = time.monotonic()
        _kill(self.talk.objects.store)

    def hang(self) -> None:
        """Make a call that has to be cut."""
        self.talk.ask(stories.hang())

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
        self._wait_until_quiet()
        for case in islice(corpus(), 0, None, self._every):
            self._talk.codes.clear()
            self._talk.send_raw(test_input.text_of(case))
            self._barrier()
            expected = [code for _, code in test_input.expected_of(case["answer"])]
            if self._talk.codes != expected:
                raise ViolationError(f"{case['name']}: answered by {self._talk.codes}, not {expected}")

    def _barrier(self) -> None:
        self._talk.ask(Call("environment.open", "environment.open", {}, stories.equal(None)))

    def _wait_until_quiet(self) -> None:
        """Wait for the last answer to a damaged message that is a call all the same."""
        for _ in range(int(PATIENCE / _QUIET)):
            self._talk.codes.clear()
            time.sleep(_QUIET)
            if not self._talk.codes:
                return
        raise ViolationError("damaged messages are answered for ever")

    def damaged(self) -> None:
        """Send damaged messages."""
        lines = [next(self._damaged).decode(errors="replace").encode() for _ in range(_DAMAGED)]
        self._talk.send_raw(b"\n".join(lines))
        self._barrier()


def corpus() -> Iterator[dict[str, Any]]:
    """Yield the malformed messages of which there is something to send."""
    for parameter in test_input.cases("messages.json"):
        case: dict[str, Any] = parameter.values[0]
        if test_input.text_of(case).strip(b" \r\n"):
            yield case


class Visitors:
    """Clients of a port that come, misbehave, and go."""

    def __init__(self, port: Port, ledger: Ledger, seed: int, every: int) -> None:
        self._port = port
        self._every = every
        self._ledger = ledger
        self._chosen = Random(seed)
        self._damaged = test_fuzz.endless(seed)

    def corpus(self) -> None:
        """Post each malformed message, and hold that it has its one answer.

        :raises ViolationError: it has not
        """
        for case in islice(corpus(), 0, None, self._every):
            answer = self._port.post(test_input.text_of(case))
            if answer.status == 503 and self._ledger.is_flooded:
                continue
            expected = [code for _, code in test_input.expected_of(case["answer"])]
            expected = [-32600] if case["name"] in ANSWERS else expected
            if answer.status not in {200, 204} or codes([answer.body]) != expected:
                raise ViolationError(f"{case['name']}: {answer.status} {answer.body[:500]!r}, not {expected}")

    def damaged(self) -> None:
        """Post damaged requests, heads as well as bodies.

        :raises ViolationError: an answer is not one of HTTP, or a fault of the server's
        """
        posts = test_fuzz.Posts(self._port)
        for _ in range(_POSTED):
            answer = posts.post(test_fuzz.posted(self._chosen, next(self._damaged)))
            if answer and not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 503")):
                raise ViolationError(f"a damaged request is answered by {answer[:500]!r}")
            if not answer.startswith(b"HTTP/1.1 20") or b"close" in answer:
                posts.renew()
        posts.close()

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
