"""Two-way conversations, over stdio and WebSocket, that are kept saturated."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import contains
from random import Random
from typing import Any

import msgspec

from tests.faults.soak.ledger import Call, Demand, Json, Ledger, ViolationError
from tests.faults.soak.stories import Kind, Objects, Story, add, chooses, common, deal, equal, function, says
from tests.faults.soak.watch import Watch
from tests.wire.host import Host
from tests.wire.network import integer
from tests.wire.transport import Transport

PATIENCE = 60.0  # seconds for any answer
_AT_ONCE = 100  # messages in one write
_BATCHED = 0.005  # share of messages that are batches
_BATCH = 10
_CUT = {"type": "string", "value": "the chain was cut by a fault"}
_encode = msgspec.json.encode


def request(call: Call, id: str | None) -> bytes:
    """Return a request as JSON."""
    message = {"jsonrpc": "2.0", "id": id, "method": call.method, "params": call.params}
    if id is None:
        del message["id"]
    return _encode(message)


class Talk(Host):
    """One host; once it has begun to send, it has so many calls in flight, and keeps nothing of what is over.

    :ivar objects: the objects that it makes
    :param strays: whether messages are sent in it that are none of ours; otherwise an answer to such a one is a fault
    :ivar strange: answers with an id that is none of ours, in the order in which they came
    """

    def __init__(
        self, transport: Transport, ledger: Ledger, watch: Watch, seed: int, window: int, strays: bool = True
    ) -> None:
        super().__init__(transport)
        self.objects = Objects()
        self.strange: list[Json] = []
        self._strays = strays
        self.ledger = ledger
        self._watch = watch
        self._chosen = Random(seed)
        self._stories = deal([*common(self.objects), *self._callbacks()], self._chosen)
        self._work: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._window = window
        self._held = 0
        self._closed = threading.Event()

    def begin_all(self) -> None:
        """Begin to send; whoever calls this has begun to receive."""
        self._watch.start("pump", self._pump)
        for _ in range(self._window):
            self._work.put(None)

    @property
    def is_idle(self) -> bool:
        """Whether all that was begun has come to its end, once it is over."""
        return self._window == 0

    def close(self) -> None:
        """Send nothing more."""
        self._closed.set()

    # Sending

    def _pump(self) -> None:
        """Send what is to be sent next of stories that have begun, and begin one wherever one has ended."""
        while not self._closed.is_set():
            self._resume()
            with suppress(queue.Empty):
                work = [self._work.get(timeout=0.1)]
                while len(work) < _AT_ONCE and not self._work.empty():
                    work.append(self._work.get())
                lines = [self._deal() if line is None else line for line in work]
                if any(lines):
                    self.send_raw(b"\n".join(filter(None, lines)))

    def _resume(self) -> None:
        if self._held and not self._watch.resting.is_set():
            for _ in range(self._held):
                self._work.put(None)
            self._held = 0

    def _deal(self) -> bytes:
        if self._watch.over.is_set():
            self._window -= 1
            return b""
        if self._watch.resting.is_set():
            self._held += 1
            return b""
        if self._chosen.random() < _BATCHED:
            return self._batch()
        story = next(self._stories)
        return self._next(next(story), story)

    def _batch(self) -> bytes:
        calls = [add(self._chosen)._replace(kind="call in a batch") for _ in range(_BATCH)]
        first, *others = calls
        lines = [self.line(first, self._release), *(self.line(call, _forget) for call in others)]
        return b"[" + b",".join(lines) + b"]"

    def _release(self, _: Json) -> None:
        self._work.put(None)

    def _go_on(self, story: Story, answer: Json) -> None:
        try:
            call = story.send(answer)
        except StopIteration:
            self._work.put(None)
        else:
            self._work.put(self._next(call, story))

    def _next(self, call: Call, story: Story) -> bytes:
        if call.demand is None:
            self._work.put(None)
            self.ledger.right[call.kind] += 1
            return request(call, None)
        return self.line(call, partial(self._go_on, story))

    def line(self, call: Call, done: Callable[[Json], object]) -> bytes:
        """Note that a call is owed, and return it as JSON."""
        return request(call, self.ledger.owe(call, done))

    def ask(self, call: Call) -> Json:
        """Make a call, and wait for its answer."""
        return self.flood([call])[0]

    def flood(self, calls: Sequence[Call]) -> list[Json]:
        """Make calls all at once, beside what is in flight; return the answers in the order in which they come.

        :raises queue.Empty: one of them does not come in time
        """
        answers: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self.send_raw(b"\n".join([self.line(call, answers.put) for call in calls]))
        return [answers.get(timeout=PATIENCE) for _ in calls]

    # Callbacks

    def _callbacks(self) -> list[Kind]:
        seven = self.wire(lambda: 7)
        through = function("through", seven, kind="callback", demand=equal(integer(7)))
        return [
            Kind(60, says(through)),
            Kind(30, partial(self.objects.life, callback=seven, called=integer(7))),
            Kind(4, chooses(lambda _: self.chain(3))),
        ]

    def chain(self, depth: int) -> Call:
        """Return a call whose callback makes such a call, and so on; one function is enough for each depth."""
        name = f"chain {depth}"
        self._functions[name] = partial(self._deeper, depth)
        inner = {"type": "callback", "callback": {"id": name}}
        demand = Demand(partial(contains, [integer(depth), _CUT]))
        return function("through", inner, kind="chain of callbacks", demand=demand)

    def _deeper(self, depth: int) -> Any:
        if depth == 1:
            return 1
        answer = self.ask(self.chain(depth - 1))
        is_whole = "result" in answer and answer["result"] == integer(depth - 1)
        return depth if is_whole else _CUT["value"]

    # Receiving

    def _receive(self, line: bytes) -> None:
        try:
            super()._receive(line)
            if self._faults:
                self._watch.fail(self._faults[0])
        except Exception as error:
            self._watch.fail(error)
            raise

    def _sort(self, message: Any) -> None:
        super()._sort(message)
        self.arrays.clear()
        self.notifications.clear()

    def _take_request(self, item: Json) -> None:
        super()._take_request(item)
        while self.questions:
            error = {"code": -32000, "message": "there is no such callback"}
            self._work.put(_encode({"jsonrpc": "2.0", "id": self.questions.pop()["id"], "error": error}))

    def _take_answer(self, item: Json) -> None:
        if self.ledger.knows(item["id"]):
            self.ledger.settle(item)
        elif not self._strays:
            raise ViolationError(f"an answer to nobody: {str(item)[:500]}")
        else:
            self._take_strange(item)

    def _take_strange(self, item: Json) -> None:
        self.strange.append(item)
        made = item.get("result")
        if isinstance(made, dict) and "class" in made:  # of a message that a fault left whole
            self._work.put(_encode({"method": "object.destroy", "params": {"object_id": made["id"]}}))


def _forget(_: Json) -> None:
    """Do nothing more: another answer of the same message goes on."""
