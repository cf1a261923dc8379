"""Envelopes, batches, both directions, writing: protocol section 2."""

import json
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import (
    Batch,
    Invalid,
    Outgoing,
    Request,
    Response,
    encode_batch,
    encode_error,
    encode_error_object,
    encode_failure,
    encode_notification,
    encode_request,
    encode_result,
    parse,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "x"]),
    JSON | st.sampled_from(["2.0", "m", 1, [], {}]),
)


def test_a_request_keeps_the_text_of_its_id_and_params() -> None:
    event = parse(b'{"jsonrpc":"2.0","id": 9007199254740993 ,"method":"m","params": {"a" : [1, 2]} }')
    assert event == Request("m", b"9007199254740993", b'{"a" : [1, 2]}')


def test_a_request_without_the_member_id_is_a_notification() -> None:
    notification = parse(b'{"jsonrpc":"2.0","method":"m"}')
    assert notification == Request("m")
    assert isinstance(notification, Request)
    assert notification.is_notification


@pytest.mark.parametrize("id", [b"0", b'""', b"null"])
def test_zero_empty_text_and_null_are_ids_like_any_other(id: bytes) -> None:
    request = parse(b'{"id":%b,"method":"m"}' % id)
    assert isinstance(request, Request)
    assert (request.id, request.is_notification) == (id, False)


def test_what_has_no_method_is_a_response() -> None:
    assert parse(b'{"jsonrpc":"2.0","id":7,"result":{"type":"int","value":1}}') == Response(
        b"7", b'{"type":"int","value":1}'
    )


def test_a_response_without_a_result_is_null() -> None:
    assert parse(b'{"jsonrpc":"2.0","id":7}') == Response(b"7", b"")
    assert parse(b'{"jsonrpc":"2.0","id":7,"result":null,"error":null}') == Response(b"7", b"null")


def test_an_error_response_keeps_code_message_and_data() -> None:
    event = parse(b'{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no","data":{"type":"E"}}}')
    assert isinstance(event, Response)
    assert event.error is not None
    assert (event.error.code, event.error.message, event.error.data) == (-32000, "no", {"type": "E"})


@pytest.mark.parametrize("error", ["5", '"broken"', "{}", '{"code":"x","message":"y"}', "[]"])
def test_a_malformed_error_of_a_peer_is_an_error_all_the_same(error: str) -> None:
    event = parse(b'{"id":7,"error":%b}' % error.encode())
    assert isinstance(event, Response)
    assert event.error is not None
    assert event.error.code == ErrorCode.INTERNAL_ERROR
    assert error in event.error.message


def test_an_error_without_an_id_belongs_to_no_request() -> None:
    event = parse(b'{"jsonrpc":"2.0","error":{"code":-32601,"message":"unknown"}}')
    assert isinstance(event, Response)
    outgoing: Outgoing[str] = Outgoing()
    outgoing.add("mine")
    assert outgoing.take(event.id) is None


@pytest.mark.parametrize("version", ['"1.0"', "2", "null"])
def test_answers_with_a_wrong_version_are_understood(version: str) -> None:
    assert parse(b'{"jsonrpc":%b,"id":7,"result":1}' % version.encode()) == Response(b"7", b"1")


def test_half_a_surrogate_pair_in_an_answer_fails_that_answer() -> None:
    event = parse(rb'{"id":7,"result":{"type":"string","value":"\ud800"}}')
    assert isinstance(event, Response)
    assert event.error is not None
    assert (event.id, event.error.code) == (b"7", ErrorCode.INVALID_PARAMS)
    event = parse(rb'{"id":7,"error":{"code":-32000,"message":"no \ud800"}}')
    assert isinstance(event, Response)
    assert event.error is not None
    assert event.error.message == "no \ufffd"


def test_a_batch_may_have_as_many_items_as_the_limit_and_no_more() -> None:
    item = b'{"id":[1,2,3],"method":"m"}'
    fitting = parse(encode_batch([item] * 50), max_batch=50)
    assert isinstance(fitting, Batch)
    assert len(fitting.items) == 50
    refused = parse(encode_batch([item] * 51), max_batch=50)
    assert isinstance(refused, Invalid)
    assert (refused.id, refused.error.code) == (b"null", ErrorCode.INVALID_REQUEST)
    assert "50" in refused.error.message


def test_commas_within_the_items_do_not_count_as_items() -> None:
    assert isinstance(parse(b'[{"id":1,"method":"m","params":[' + b"1," * 500 + b"1]}]", max_batch=5), Batch)


def test_a_large_batch_that_is_no_json_is_no_json() -> None:
    event = parse(b"[" + b"1," * 100, max_batch=500)
    assert isinstance(event, Invalid)
    assert event.error.code == ErrorCode.PARSE_ERROR


# -- any bytes give an event -------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_bytes_give_an_event(text: bytes) -> None:
    assert isinstance(parse(text), (Request, Response, Invalid, Batch))


@given(st.text(alphabet='{}[]",:\\ud8D0cfF019.eE+-ntlr\'"\x00\ufeffé ', max_size=80))
def test_any_text_that_looks_like_json_gives_an_event(text: str) -> None:
    assert isinstance(parse(text.encode()), (Request, Response, Invalid, Batch))


@given(st.one_of(MEMBERS, JSON, st.lists(MEMBERS, max_size=4)), st.booleans())
def test_any_json_gives_an_event_and_a_refusal_can_be_written(message: Any, ascii_only: bool) -> None:
    event = parse(json.dumps(message, ensure_ascii=ascii_only).encode())
    items = event.items if isinstance(event, Batch) else [event]
    assert not isinstance(message, list) or not message or len(items) == len(message)
    for item in items:
        if isinstance(item, Invalid):
            answer = json.loads(encode_error(item.id, item.error))
            assert isinstance(answer["id"], (int, float, str, type(None)))


@given(MEMBERS, st.data())
def test_a_message_with_any_bytes_broken_gives_an_event(message: Any, data: st.DataObject) -> None:
    text = bytearray(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", **message}).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(parse(bytes(text)), (Request, Response, Invalid, Batch))


@given(st.integers() | st.text(), st.text(min_size=1), st.lists(JSON) | st.dictionaries(st.text(), JSON))
def test_any_request_is_read_as_it_was_written(id: int | str, method: str, params: Any) -> None:
    encoded = {"id": msgspec.json.encode(id), "params": msgspec.json.encode(params)}
    text = b'{"jsonrpc":"2.0","id":%(id)b,"method":%(method)b,"params":%(params)b}' % {
        b"id": encoded["id"],
        b"method": msgspec.json.encode(method),
        b"params": encoded["params"],
    }
    assert parse(text) == Request(method, encoded["id"], encoded["params"])


# -- writing -----------------------------------------------------------------------------------------------------------


def test_requests_are_written_with_and_without_params() -> None:
    assert encode_request(3, "callback.call", b'{"id":"cb-1"}') == (
        b'{"jsonrpc":"2.0","id":3,"method":"callback.call","params":{"id":"cb-1"}}'
    )
    assert encode_request(3, 'a"b') == b'{"jsonrpc":"2.0","id":3,"method":"a\\"b"}'


def test_notifications_are_written_without_an_id() -> None:
    assert encode_notification("m", b"[1]") == b'{"jsonrpc":"2.0","method":"m","params":[1]}'
    assert encode_notification("m") == b'{"jsonrpc":"2.0","method":"m"}'


def test_a_result_is_written_under_the_id_as_it_came() -> None:
    assert encode_result(b'"\\u0061"', b"null") == b'{"jsonrpc":"2.0","id":"\\u0061","result":null}'


def test_an_error_is_written_without_data_unless_there_is_some() -> None:
    assert encode_error(b"1", RpcError(ErrorCode.HANDLER_ERROR, "no")) == (
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}'
    )
    assert json.loads(encode_error(b"1", RpcError(-1, "no", {"a": [1]})))["error"]["data"] == {"a": [1]}


def test_a_batch_is_an_array_of_what_was_written() -> None:
    assert encode_batch([b"{}", b"1"]) == b"[{},1]"


def cyclic() -> Any:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize("data", ["\ud800", {"\ud800": 1}, object(), cyclic(), {"x": object()}, [10**5000]], ids=type)
def test_an_error_is_written_whatever_its_data_is(data: Any) -> None:
    answer = json.loads(encode_error(b"1", RpcError(-32000, "half \ud800 a pair", data)))
    assert answer["error"]["message"] == "half \\ud800 a pair"


def test_data_of_an_error_keeps_everything_beside_the_text_that_cannot_be_written() -> None:
    error = RpcError(-32000, "no", {"type": "ValueError", "traceback": ["line \ud800", 5]})
    assert json.loads(encode_error_object(error))["data"] == {"type": "ValueError", "traceback": ["line \\ud800", 5]}


def test_an_error_that_is_encoded_already_is_written_the_same() -> None:
    error = RpcError(-32000, "no", [1])
    assert encode_failure(b"7", encode_error_object(error)) == encode_error(b"7", error)


@given(st.text(st.characters(codec=None, categories=None)))
def test_any_message_of_an_error_can_be_written(message: str) -> None:
    written = json.loads(encode_error(b"1", RpcError(-32000, message)))["error"]["message"]
    assert written == message.encode("utf-8", "backslashreplace").decode()


# -- requests of ours in flight ----------------------------------------------------------------------------------------


def test_an_answer_is_taken_once() -> None:
    outgoing: Outgoing[str] = Outgoing()
    first, second = outgoing.add("a"), outgoing.add("b")
    assert (first, second, len(outgoing)) == (1, 2, 2)
    assert outgoing.take(b"2") == "b"
    assert outgoing.take(b"2") is None
    assert outgoing.take(b'"1"') is None
    assert outgoing.take(b"99") is None
    assert len(outgoing) == 1


def test_what_was_discarded_or_drained_is_unknown() -> None:
    outgoing: Outgoing[str] = Outgoing()
    outgoing.discard(outgoing.add("a"))
    outgoing.discard(77)
    outgoing.add("b")
    outgoing.add("c")
    assert outgoing.drain() == ["b", "c"]
    assert outgoing.drain() == []
    assert outgoing.take(b"2") is None
    assert outgoing.add("d") == 4


def test_many_threads_never_share_an_id() -> None:
    outgoing: Outgoing[int] = Outgoing()
    taken: list[tuple[int, int | None]] = []

    def work(token: int) -> None:
        for _ in range(2000):
            taken.append((token, outgoing.take(b"%d" % outgoing.add(token))))

    threads = [threading.Thread(target=work, args=(token,)) for token in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 8000
    assert all(token == found for token, found in taken)
    assert len(outgoing) == 0
