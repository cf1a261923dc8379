"""The sans-IO core of the client: bytes in, events out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scriptling.plugin.session import Answered, Asked, Exchange, Session, Violation

RECORDED = [json.loads(line) for line in (Path(__file__).parents[1] / "data/session.jsonl").read_text().splitlines()]


def one(method: str = "m", params: bytes = b"") -> Exchange:
    return Exchange([(method, params)])


def test_a_request_is_answered_under_its_id() -> None:
    session = Session()
    first, second = one("a"), one("b", b"[1]")
    assert session.open(first) == b'{"jsonrpc":"2.0","id":1,"method":"a"}'
    assert session.open(second) == b'{"jsonrpc":"2.0","id":2,"method":"b","params":[1]}'
    assert session.feed(b'{"jsonrpc":"2.0","id":2,"result":5}\n') == [Answered(second)]
    assert session.waiting == [first]
    assert second.replies[0] is not None
    assert second.replies[0].result == b"5"


def test_missing_result_is_an_answer() -> None:
    session, exchange = Session(), one()
    session.open(exchange)
    assert session.feed(b'{"jsonrpc":"2.0","id":1}\n') == [Answered(exchange)]


@pytest.mark.parametrize("as_array", [True, False])
def test_batch_is_answered_in_any_order_as_array_or_singly(as_array: bool) -> None:
    session, batch = Session(), Exchange([("a", b""), ("b", b"")], batch=True)
    assert session.open(batch).startswith(b'[{"jsonrpc"')
    answers = ['{"jsonrpc":"2.0","id":2,"result":"b"}', '{"jsonrpc":"2.0","id":1,"result":"a"}']
    text = "[" + ",".join(answers) + "]" if as_array else "\n".join(answers)
    assert session.feed(text.encode() + b"\n") == [Answered(batch)]
    assert [reply.result for reply in batch.replies if reply] == [b'"a"', b'"b"']


def test_requests_of_the_plugin_have_ids_of_their_own() -> None:
    session, exchange = Session(), one()
    session.open(exchange)
    asked, answered = session.feed(
        b'{"jsonrpc":"2.0","id":1,"method":"callback.call","params":{}}\n{"jsonrpc":"2.0","id":1,"result":1}\n'
    )
    assert isinstance(asked, Asked)
    assert asked.request.id == b"1"
    assert answered == Answered(exchange)


def test_an_abandoned_answer_is_dropped_once() -> None:
    session, exchange = Session(), one()
    session.open(exchange)
    session.abandon(exchange)
    assert session.feed(b'{"jsonrpc":"2.0","id":1,"result":1}\n') == []
    (violation,) = session.feed(b'{"jsonrpc":"2.0","id":1,"result":1}\n')
    assert isinstance(violation, Violation)


@pytest.mark.parametrize(
    "line", [b"hello", b"\xff\xfe", b"[]", b'{"jsonrpc":"2.0","id":77,"result":1}', b"5", b'{"id":1.5,"result":null}']
)
def test_what_must_not_be_sent_is_a_violation(line: bytes) -> None:
    session = Session()
    session.open(one())
    (violation,) = session.feed(line + b"\n")
    assert isinstance(violation, Violation)


def test_error_without_id_is_meant_for_the_only_request() -> None:
    session, exchange = Session(), one()
    session.open(exchange)
    event = session.feed(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}\n')
    assert event == [Answered(exchange)]


def test_error_without_id_answers_a_whole_batch() -> None:
    session, batch = Session(), Exchange([("a", b""), ("b", b"")], batch=True)
    session.open(batch)
    event = session.feed(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}\n')
    assert event == [Answered(batch)]
    assert all(reply is not None and reply.error is not None for reply in batch.replies)


def test_too_large_without_id_is_meant_for_the_largest_request() -> None:
    session, small, large = Session(), one(), one("m", b'["' + b"x" * 100 + b'"]')
    session.open(small)
    session.open(large)
    event = session.feed(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32007,"message":"too large"}}\n')
    assert event == [Answered(large)]


def test_error_without_id_for_one_of_several_cannot_be_placed() -> None:
    session = Session()
    session.open(one())
    session.open(one())
    (violation,) = session.feed(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}\n')
    assert violation == Violation("could not read a request: what?")


def test_error_without_id_while_nothing_waits_is_ignored() -> None:
    assert Session().feed(b'{"jsonrpc":"2.0","error":{"code":-32601,"message":"unknown method x"}}\n') == []


def test_too_long_line_is_a_violation_and_not_held() -> None:
    session = Session(max_message=100)
    events = [event for _ in range(1000) for event in session.feed(b"x" * 50)]
    assert [type(event) for event in events] == [Violation]


def test_whole_text_may_hold_line_breaks() -> None:
    session, exchange = Session(), one()
    session.open(exchange)
    assert session.message(b'{\n "jsonrpc": "2.0",\n "id": 1,\n "result": 1\n}\n') == [Answered(exchange)]


def test_end_of_stream_completes_the_last_line() -> None:
    session, exchange = Session(), one()
    session.open(exchange)
    assert session.feed(b'{"jsonrpc":"2.0","id":1,"result":1}') == []
    assert session.end() == [Answered(exchange)]


def test_closing_returns_what_waits() -> None:
    session, exchange = Session(), one()
    session.open(exchange)
    assert session.close() == [exchange]
    assert session.waiting == []


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_recorded_plugin_satisfies_the_session(step: int) -> None:
    """The plugin side of the recorded conversation, in pieces of any size, answers what the host side asks."""
    session, asked, answered, opened = Session(), 0, 0, 0
    for entry in RECORDED:
        message = json.loads(entry["line"])
        if entry["from"] == "plugin":
            data = entry["line"].encode() + b"\n"
            events = [event for at in range(0, len(data), step) for event in session.feed(data[at : at + step])]
            assert not [event for event in events if isinstance(event, Violation)]
            asked += sum(isinstance(event, Asked) for event in events)
            answered += sum(isinstance(event, Answered) for event in events)
        elif isinstance(message, list) or "method" in message:
            items = message if isinstance(message, list) else [message]
            requests = [(item["method"], json.dumps(item.get("params", {})).encode()) for item in items]
            text = session.open(Exchange(requests, batch=isinstance(message, list)))
            sent = json.loads(text)
            assert [item["id"] for item in (sent if isinstance(sent, list) else [sent])] == [
                item["id"] for item in items
            ]
            opened += 1
    assert (asked, answered) == (8, opened)
