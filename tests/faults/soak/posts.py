"""Hosts over HTTP: requests of one message or a batch, one after the other on a connection that is kept."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection
from random import Random
from secrets import token_urlsafe

import msgspec

from tests.faults.soak.ledger import IN_A_FLOOD, Call, Json, Ledger, ViolationError
from tests.faults.soak.stories import Objects, Story, add, common, deal
from tests.faults.soak.talks import request
from tests.faults.soak.watch import Watch
from tests.wire.network import JSON, Answer, Port, ask

_BATCHED = 0.1  # share of requests that are batches
_BATCH = 40
_MOMENT = 0.1  # seconds until somebody who rests looks again
_CROWD = 300  # clients of a flood, more than --max-queue


class Poster:
    """One client; others have connections of their own.

    :ivar objects: the objects that it makes; some are left to their lease
    """

    def __init__(self, port: Port, ledger: Ledger, watch: Watch, seed: int) -> None:
        self.objects = Objects(abandoned=0.3)
        self._ledger = ledger
        self._watch = watch
        self._chosen = Random(seed)
        self._stories = deal(common(self.objects), self._chosen)
        self._port = port
        self._headers = {**JSON, "Scriptling-Session": token_urlsafe()}
        self._answered = time.monotonic()

    def run(self) -> None:
        """Post until it is over."""
        with closing(self._port.connect()) as connection:
            while not self._watch.over.is_set():
                if self._watch.resting.is_set():
                    self._watch.over.wait(_MOMENT)
                elif self._chosen.random() < _BATCHED:
                    calls = [add(self._chosen)._replace(kind="call in a batch") for _ in range(_BATCH)]
                    self.post(connection, calls, as_batch=True)
                else:
                    self._tell(connection, next(self._stories))

    def _tell(self, connection: HTTPConnection, story: Story) -> None:
        call = next(story)
        with suppress(StopIteration):
            while True:
                answers = self.post(connection, [call])
                call = story.send(answers[0] if answers else {})

    def post(self, connection: HTTPConnection, calls: list[Call], as_batch: bool = False) -> list[Json]:
        """Post calls, settle the answers, and return them.

        :raises ViolationError: they are not in the order of the calls, or the connection is closed
        """
        answers: list[Json] = []
        ids = [None if call.demand is None else self._ledger.owe(call, answers.append) for call in calls]
        texts = list(itertools.starmap(request, zip(calls, ids, strict=True)))
        body = b"[" + b",".join(texts) + b"]" if as_batch else texts[0]
        reply = self._ask(connection, body)
        self._settle(reply, [id for id in ids if id is not None], as_batch)
        return answers

    def _ask(self, connection: HTTPConnection, body: bytes) -> Answer:
        begun = time.monotonic()
        try:
            reply = ask(connection, "POST", "/json-rpc", body, self._headers)
        except OSError as error:
            quiet = begun - self._answered
            text = f"{error!r} after {time.monotonic() - begun:.3f} s, on a connection that was quiet for {quiet:.3f} s"
            raise ViolationError(f"{text}: {body[:500]!r}") from error
        self._answered = time.monotonic()
        return reply

    def _settle(self, reply: Answer, ids: list[str], as_batch: bool) -> None:
        if reply.status not in ({200, 503} if ids else {204, 503}):
            raise ViolationError(f"status {reply.status} for {ids}: {reply.body[:500]!r}")
        if not ids:
            self._ledger.right["notification"] += 1
            return
        found = msgspec.json.decode(reply.body)
        items = found if as_batch else [found]
        if [item["id"] for item in items] != ids:
            raise ViolationError(f"answers to other requests than {ids}: {reply.body[:500]!r}")
        for item in items:
            self._ledger.settle(item)


def flood(port: Port, ledger: Ledger, watch: Watch, calls: int) -> None:
    """Post more at once than the queue takes; some of it is refused, and all of it is answered."""

    def post(seed: int) -> None:
        poster = Poster(port, ledger, watch, seed)
        with closing(port.connect()) as connection:
            poster.post(connection, [call] * (calls // _CROWD), as_batch=True)

    call = add(Random(0))._replace(kind=IN_A_FLOOD)
    ledger.flooded = time.monotonic()
    with ThreadPoolExecutor(_CROWD) as crowd:
        list(crowd.map(post, range(_CROWD)))
    ledger.flooded = time.monotonic()
