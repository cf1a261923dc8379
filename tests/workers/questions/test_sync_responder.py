"""What becomes of items and counts when a process dies: what has not arrived goes to the next, and once."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest

from scriptling.rendezvous import Params, Status
from tests.workers.fakes import make_reply, make_ticket
from workers import frames
from workers.calls.dispatch import Dispatcher
from workers.frames import Answer, Ask, Want
from workers.front_end.service import Service
from workers.front_end.session import Session
from workers.questions import sync_responder
from workers.questions.relay import Loss, Relay
from workers.questions.sync_responder import SyncResponder


class Setting:
    """Workers with one call each, and what they were answered."""

    def __init__(self, *workers: str) -> None:
        self.dispatcher = Dispatcher(10)
        self.received = 0
        session = Session(Service(self.dispatcher, lambda: None, 0.0), lambda message: None, 0)
        self.answers: dict[bytes, list[Answer]] = {}
        self.relay = Relay(self.dispatcher, "key", self._take, lambda *record: None, lambda: 0, 100)
        self.relay.responders[Want.SYNC] = SyncResponder(self.relay, lambda child: self.received)
        self.seqs: dict[str, int] = {"setup-1": 0}
        self.relay.admit("setup-1")
        for name in workers:
            self.relay.admit(name)
            self.seqs[name] = self.dispatcher.next_seq()
            self.dispatcher.add_lane(name)
            self.dispatcher.submit(make_ticket(self.seqs[name], caller=session))
            self.dispatcher.assign()

    def _take(self, route: bytes, frame: bytes) -> None:
        self.answers.setdefault(route, []).append(frames.decode_answer(frame))

    def ask(self, child: str, operation: str, value: bytes = b"", number: int = 0, route: bytes = b"") -> None:
        params = msgspec.msgpack.encode(Params(number, value))
        ask = Ask("key", child, self.seqs[child], Want.SYNC, "jobs", operation, params)
        self.relay.receive(route or child.encode(), frames.encode(ask))

    def got(self, route: str) -> list[bytes]:
        return [answer.payload for answer in self.answers.get(route.encode(), []) if not answer.failed]

    def die(self, child: str, received: int | None, *calls: int) -> None:
        self.relay.drop(Loss(child, frozenset(calls), received))
        lane = self.dispatcher.lanes.get(child)
        if lane is not None:
            self.dispatcher.gone(lane)


def test_an_item_that_has_not_arrived_goes_to_the_next_and_one_that_has_does_not() -> None:
    setting = Setting("worker-1", "worker-2", "worker-3")
    for value in (b"1", b"2"):
        setting.ask("setup-1", "queue.put", value)
    setting.ask("worker-1", "queue.get")
    setting.ask("worker-2", "queue.get")
    assert (setting.got("worker-1"), setting.got("worker-2")) == ([b"\x001"], [b"\x002"])
    setting.die("worker-1", 1)
    setting.ask("worker-3", "queue.get")
    assert setting.got("worker-3") == []
    setting.die("worker-2", 0)
    assert setting.got("worker-3") == [b"\x002"]


def test_only_the_last_items_that_were_sent_can_be_missing() -> None:
    setting = Setting("worker-1", "worker-2")
    for value in (b"1", b"2", b"3"):
        setting.ask("setup-1", "queue.put", value)
    setting.ask("worker-1", "queue.get")
    setting.ask("worker-1", "queue.get")  # asking again shows that the first has arrived
    setting.ask("worker-1", "queue.get", route=b"another thread")
    setting.die("worker-1", 1)
    setting.ask("worker-2", "queue.get")
    setting.ask("worker-2", "queue.get")
    assert setting.got("worker-2") == [b"\x002", b"\x003"]


def test_an_item_for_whoever_cannot_count_is_taken_for_arrived() -> None:
    setting = Setting("worker-1")
    setting.ask("setup-1", "queue.put", b"1")
    setting.ask("setup-1", "queue.get")
    setting.die("setup-1", None)
    setting.ask("worker-1", "queue.get")
    assert setting.got("worker-1") == []


def test_a_dead_worker_waits_no_more() -> None:
    setting = Setting("worker-1", "worker-2")
    setting.ask("worker-1", "queue.get")
    setting.ask("worker-2", "queue.get")
    setting.die("worker-1", 0)
    setting.ask("setup-1", "queue.put", b"1")
    assert setting.got("worker-2") == [b"\x001"]


def test_what_a_call_that_died_had_added_is_taken_off() -> None:
    setting = Setting("worker-1", "worker-2")
    setting.ask("worker-1", "group.add", number=2)
    setting.ask("worker-2", "group.wait")
    setting.die("worker-1", 1, setting.seqs["worker-1"])
    assert setting.got("worker-2") == [b"\x00"]


def test_what_a_call_had_added_that_ended_in_order_stays() -> None:
    setting = Setting("worker-1", "worker-2")
    setting.ask("worker-1", "group.add", number=2)
    setting.dispatcher.done(setting.dispatcher.lanes["worker-1"], [make_reply(setting.seqs["worker-1"])])
    setting.ask("worker-2", "group.wait")
    setting.die("worker-1", 1)
    assert setting.got("worker-2") == []


@pytest.mark.parametrize("params", [b"", b"\xc1", b"\x92\xa1x\xa1y"])
def test_parameters_that_cannot_be_understood_are_refused(params: bytes) -> None:
    setting = Setting("worker-1")
    ask = Ask("key", "worker-1", setting.seqs["worker-1"], Want.SYNC, "jobs", "queue.get", params)
    setting.relay.receive(b"route", frames.encode(ask))
    (answer,) = setting.answers[b"route"]
    error: Any = json.loads(answer.payload)
    assert answer.failed
    assert error["code"] == -32602


@pytest.mark.parametrize(("items", "size", "most"), [(1000, 10_000, 5_000_000), (100, 1 << 20, 32 << 20)])
def test_items_are_not_kept_for_threads_that_have_got_them_and_never_ask_again(
    items: int, size: int, most: int
) -> None:
    """Small ones are let be for a while; as many large ones would be gigabytes."""
    setting = Setting("worker-1")
    tracemalloc.start()
    try:
        for number in range(items):
            setting.ask("setup-1", "queue.put", bytes(size))
            setting.ask("worker-1", "queue.get", route=b"thread %d" % number)
            setting.received += 1
            setting.answers.clear()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < most


def test_nothing_comes_in_while_too_much_is_on_its_way_to_workers_that_do_not_take_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync_responder, "MOST_BYTES", 1000)
    setting = Setting("worker-1")
    for number in range(5):
        setting.ask("worker-1", "queue.get", route=b"thread %d" % number)
        setting.ask("setup-1", "queue.put", bytes(300))
    done, refused = bytes([Status.DONE]), bytes([Status.REFUSED])
    assert [payload[:1] for payload in setting.got("setup-1")] == [done, done, done, refused, refused]
    assert b"on their way" in setting.got("setup-1")[-1]
    setting.received = 1
    setting.ask("setup-1", "queue.put", bytes(300))
    assert setting.got("setup-1")[-1] == done
    setting.die("worker-1", 1)  # what it had not got is in the queue again, which takes more
    setting.ask("setup-1", "queue.put", bytes(300))
    assert setting.got("setup-1")[-1] == done
