"""What a host sends is answered once each, under its own id, in batches as it came; and the host is asked likewise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import Response, parse
from scriptling.protocol.messages import Method
from tests.workers.fakes import make_reply
from workers.calls.dispatch import Dispatcher
from workers.frames import Flag
from workers.front_end.service import Offer, Service
from workers.front_end.session import Session

HANDSHAKE = b'{"library":{"name":"calculator"}}'


class Host:
    """A session with everything around it, as a host sees it."""

    def __init__(self, ready: bool = True) -> None:
        self.dispatcher = Dispatcher(10)
        self.service = Service(self.dispatcher, lambda: None, 5.0)
        self.service.offer = Offer(HANDSHAKE, {"add": 1.0}, frozenset({"Config"}))
        self.messages: list[Any] = []
        self.session = Session(self.service, lambda message: self.messages.append(json.loads(message)), Flag.CALLBACKS)
        if ready:
            self.session.open()

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.session.receive(parse(message if isinstance(message, bytes) else json.dumps(message).encode()))

    def run(self, seqs: list[int], payload: bytes = b"1", failed: bool = False) -> None:
        """Have queued calls come to their end, in this order."""
        queued = {ticket.seq: ticket for ticket in self.dispatcher.queue}
        for seq in seqs:
            queued[seq].caller.answer(queued[seq], failed, payload)

    def heard(self) -> list[Any]:
        messages, self.messages = self.messages, []
        return messages


def call(id: Any = None, name: str = "add") -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": Method.FUNCTION_CALL, "params": {"name": name}}
    return message if id is None else {**message, "id": id}


def result(id: Any, value: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "result": value}


@pytest.mark.parametrize("id", [0, 7, "", "seven", 2**70, 1.5])
def test_an_answer_has_the_id_exactly_as_it_came(id: Any) -> None:
    host = Host()
    host.say(call(id))
    host.run([1])
    (answer,) = host.heard()
    assert answer == result(id)
    assert type(answer["id"]) is type(id)


def test_answers_may_come_in_any_order() -> None:
    host = Host()
    host.say(call("slow"), call("fast"))
    host.run([2, 1])
    assert [answer["id"] for answer in host.heard()] == ["fast", "slow"]


def test_a_failed_call_is_answered_with_its_error() -> None:
    host = Host()
    host.say(call(3))
    host.run([1], b'{"code":-32000,"message":"bad"}', failed=True)
    assert host.heard() == [{"jsonrpc": "2.0", "id": 3, "error": {"code": -32000, "message": "bad"}}]


def test_a_notification_runs_and_is_never_answered() -> None:
    host = Host()
    host.say(call(), call(name="none such"), {"jsonrpc": "2.0", "method": "no.such.method"})
    host.run([1])
    assert len(host.dispatcher.queue) == 1
    assert host.heard() == []


def test_what_is_refused_is_answered_at_once() -> None:
    host = Host()
    host.say({"jsonrpc": "2.0", "id": 1, "method": "no.such.method"}, b"{", b"[]", b"17")
    codes = [(answer["id"], answer["error"]["code"]) for answer in host.heard()]
    assert codes == [
        (1, ErrorCode.METHOD_NOT_FOUND),
        (None, ErrorCode.PARSE_ERROR),
        (None, ErrorCode.INVALID_REQUEST),
        (None, ErrorCode.INVALID_REQUEST),
    ]


# Batches


def test_a_batch_is_answered_whole_in_the_order_of_its_requests() -> None:
    host = Host()
    host.say([call("a"), call("b"), call("c")])
    host.run([3, 1])
    assert host.heard() == []
    host.run([2])
    assert host.heard() == [[result("a"), result("b"), result("c")]]


def test_only_what_is_no_notification_has_a_place_in_the_answer() -> None:
    host = Host()
    host.say([call(), call("a"), call(name="none such"), call(), call("b")])
    host.run([5, 4, 2, 1])
    assert host.heard() == [[result("a"), result("b")]]


def test_refused_items_have_their_place_in_the_answer() -> None:
    host = Host()
    host.say([call("a"), 17, call("x", "none such"), {"jsonrpc": "2.0", "id": "h", "method": Method.HANDSHAKE}])
    host.run([1])
    ((first, second, third, fourth),) = host.heard()
    assert first == result("a")
    assert (second["id"], second["error"]["code"]) == (None, ErrorCode.INVALID_REQUEST)
    assert (third["id"], third["error"]["message"]) == ("x", "unknown function none such (available: add)")
    assert fourth == result("h", json.loads(HANDSHAKE))


def test_a_batch_of_notifications_is_not_answered() -> None:
    host = Host()
    host.say([call(), call(name="none such")])
    host.run([1])
    assert host.heard() == []


def test_a_batch_may_answer_questions_of_ours() -> None:
    host = Host()
    answers: list[Response] = []
    number = host.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    host.heard()
    host.say([result(number, 5), call("a")])
    host.run([1])
    assert [answer.result for answer in answers] == [b"5"]
    assert host.heard() == [[result("a")]]


# Before the server is ready


def test_what_comes_before_the_server_is_ready_waits_in_its_order() -> None:
    host = Host(ready=False)
    host.say({"jsonrpc": "2.0", "id": 1, "method": Method.HANDSHAKE}, call(2), [call(3), call(4)])
    assert host.heard() == []
    assert host.dispatcher.pending == 0
    host.session.open()
    assert host.heard() == [result(1, json.loads(HANDSHAKE))]
    host.run([1, 2, 3])
    assert host.heard() == [result(2), [result(3), result(4)]]


def test_what_is_no_message_is_refused_even_before_the_server_is_ready() -> None:
    host = Host(ready=False)
    host.say(b"{")
    assert [answer["error"]["code"] for answer in host.heard()] == [ErrorCode.PARSE_ERROR]


FAILED = RpcError(ErrorCode.INTERNAL_ERROR, "the plugin could not start")


def failure(id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": FAILED.code, "message": FAILED.message}}


def test_if_the_server_never_gets_ready_everything_is_answered_with_the_reason() -> None:
    host = Host(ready=False)
    host.say(call(1), call(), [call(2), call(), call(3)])
    host.session.refuse(FAILED)
    assert host.heard() == [failure(1), [failure(2), failure(3)]]


def test_what_comes_after_the_server_has_failed_is_answered_too() -> None:
    host = Host(ready=False)
    host.session.refuse(FAILED)
    host.say(call(1))
    assert host.heard() == [failure(1)]


def test_what_came_early_is_accepted_even_if_the_server_has_begun_to_end_since() -> None:
    host = Host(ready=False)
    host.say(call(1), [call(2)])
    host.service.draining = True
    host.session.open()
    host.run([1, 2])
    assert host.heard() == [result(1), [result(2)]]


def test_while_the_server_ends_new_requests_are_refused_and_accepted_ones_answered() -> None:
    host = Host()
    host.say(call(1), call(2, "none such"))
    host.heard()
    host.service.draining = True
    host.say(call(3), [call(4), call()])
    host.run([1])
    refused, (in_batch,), answered = host.heard()
    assert (refused["id"], refused["error"]["code"]) == (3, ErrorCode.SHUTTING_DOWN)
    assert (in_batch["id"], in_batch["error"]["code"]) == (4, ErrorCode.SHUTTING_DOWN)
    assert answered == result(1)


# Questions to the host


def test_questions_are_numbered_apart_from_those_of_the_host() -> None:
    host = Host()
    answers: list[Response] = []
    host.say(call(1))
    number = host.session.call_host(Method.CALLBACK_CALL, b'{"id":"cb-1"}', answers.append)
    question = {"jsonrpc": "2.0", "id": number, "method": "callback.call", "params": {"id": "cb-1"}}
    assert host.heard() == [question]
    assert number == 1
    host.say(result(number, {"type": "null"}))
    host.run([1])
    assert answers[0].result == b'{"type": "null"}'
    assert host.heard() == [result(1)]


def test_log_records_are_sent_and_their_answers_ignored() -> None:
    host = Host()
    host.session.log(b'{"level":"info","message":"hello"}')
    (record,) = host.heard()
    assert (record["method"], record["params"]) == ("host.log", {"level": "info", "message": "hello"})
    host.say(result(record["id"], {"type": "null"}))
    assert host.heard() == []


def test_a_host_that_does_not_read_or_has_gone_gets_no_log_records() -> None:
    host = Host()
    host.session.congested = lambda: True
    host.session.log(b"{}")
    host.session.congested = lambda: False
    host.session.close()
    host.session.log(b"{}")
    assert host.heard() == []


def test_a_second_answer_a_late_one_and_one_to_nothing_are_ignored() -> None:
    host = Host()
    answers: list[Response] = []
    first = host.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    second = host.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    host.session.forget(second)
    host.heard()
    host.say(result(first), result(first), result(second), result(99), result("x"), result(None))
    assert len(answers) == 1
    assert host.heard() == []


def test_an_error_of_the_host_is_passed_on() -> None:
    host = Host()
    answers: list[Response] = []
    number = host.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    host.say({"jsonrpc": "2.0", "id": number, "error": {"code": -32000, "message": "no"}})
    assert answers[0].error is not None
    assert answers[0].error.message == "no"


def test_a_host_that_goes_away_answers_its_questions_with_an_error() -> None:
    host = Host()
    answers: list[Response] = []
    host.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    host.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    host.session.close()
    assert [answer.error and answer.error.code for answer in answers] == [ErrorCode.SHUTTING_DOWN] * 2
    host.session.close()
    assert len(answers) == 2


def test_a_host_that_has_gone_away_is_not_asked_any_more() -> None:
    host = Host()
    answers: list[Response] = []
    host.session.close()
    host.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    assert [answer.error and answer.error.code for answer in answers] == [ErrorCode.SHUTTING_DOWN]


def test_what_is_in_flight_when_the_host_ends_its_input_is_still_answered() -> None:
    host = Host()
    host.say(call(1))
    host.session.close()
    host.run([1])
    assert host.heard() == [result(1)]


def test_a_session_may_be_asked_for_numbers_by_several_lanes() -> None:
    host = Host()
    host.dispatcher.add_lane("worker-1")
    host.say(call(1))
    ((lane, (ticket,)),) = host.dispatcher.assign()
    for settled, reply in host.dispatcher.done(lane, [make_reply(ticket.seq)]):
        settled.caller.answer(settled, reply.failed, reply.payload)
    assert host.heard() == [result(1)]
