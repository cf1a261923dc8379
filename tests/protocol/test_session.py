"""The recorded conversation between a Go host and a Go plugin, read and written by both of our ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from scriptling.errors import RpcError
from scriptling.protocol.jsonrpc import (
    Batch,
    LineReader,
    Outgoing,
    Request,
    Response,
    encode_batch,
    encode_error,
    encode_request,
    encode_result,
    parse,
)
from scriptling.protocol.messages import (
    CallbackCall,
    FunctionCall,
    HandshakeParams,
    HandshakeResult,
    Method,
    ObjectCall,
    ObjectDestroy,
    ObjectNew,
    decode_params,
    decode_result,
)
from scriptling.protocol.values import RemoteRef, ValueDecoder, ValueEncoder

RECORDS = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "session.jsonl").read_text().splitlines()]
LINES = [record["line"].encode() for record in RECORDS]

PARAMS: dict[str, Any] = {
    Method.HANDSHAKE: HandshakeParams,
    Method.FUNCTION_CALL: FunctionCall,
    Method.OBJECT_NEW: ObjectNew,
    Method.OBJECT_CALL: ObjectCall,
    Method.OBJECT_DESTROY: ObjectDestroy,
    Method.CALLBACK_CALL: CallbackCall,
}


def messages() -> list[Request | Response]:
    found: list[Request | Response] = []
    for line in LINES:
        event = parse(line)
        items = event.items if isinstance(event, Batch) else [event]
        for item in items:
            assert isinstance(item, (Request, Response))
            found.append(item)
    return found


REQUESTS = [message for message in messages() if isinstance(message, Request)]
CALLS = [request for request in REQUESTS if request.params]


@pytest.mark.parametrize("index", range(len(LINES)))
def test_every_recorded_line_is_written_again_byte_for_byte(index: int) -> None:
    event = parse(LINES[index])
    assert not isinstance(event, Response) or event.error is None or event.error.code == -32000
    items = event.items if isinstance(event, Batch) else [event]
    written = [again(item) for item in items]
    # Existing peers leave out a result that is null; ours is always written.
    bare = isinstance(event, Response) and not event.result and event.error is None
    expected = LINES[index][:-1] + b',"result":null}' if bare else LINES[index]
    assert (encode_batch(written) if isinstance(event, Batch) else written[0]) == expected


def again(item: Any) -> bytes:
    if isinstance(item, Request):
        return encode_request(int(item.id), item.method, item.params)
    assert isinstance(item, Response)
    return encode_error(item.id, item.error) if item.error else encode_result(item.id, item.result or b"null")


@pytest.mark.parametrize("request_", CALLS, ids=lambda request: f"{request.method} {request.id.decode()}")
def test_arguments_of_every_recorded_call_survive_decoding_and_encoding(request_: Request) -> None:
    message: Any = decode_params(request_.params, PARAMS[request_.method])
    if not hasattr(message, "args"):
        return
    decoder = ValueDecoder(callback=Function)
    encoder = ValueEncoder(reference=lambda value: {"type": "callback", "callback": {"id": value.id}})
    args, kwargs = decoder.arguments(message.args, message.kwargs)
    again_args, again_kwargs = encoder.arguments(args, kwargs)
    assert decoder.arguments(again_args, again_kwargs) == (args, kwargs)


class Function:
    def __init__(self, id: str) -> None:
        self.id = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Function) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


def test_the_handshake_of_the_go_plugin_is_understood() -> None:
    event = parse(LINES[1])
    assert isinstance(event, Response)
    result = decode_result(event.result, HandshakeResult)
    assert (result.library.name, result.capabilities) == ("calculator", ["remote_objects"])
    assert [function.name for function in result.schema.functions] == ["boom", "add", "kw", "nest", "apply"]
    (counter,) = result.schema.classes
    assert counter.constructor is not None
    assert [method.name for method in counter.methods] == ["inc", "each"]
    assert [(prop.name, prop.settable) for prop in counter.properties] == [("value", True)]
    constants = {constant.name: ValueDecoder().decode(constant.value) for constant in result.schema.constants}
    assert constants == {"VERSION": "1.0.0", "TABLE": {"a": [1, 2.5, None, True], "b": {}, "c": []}}


def test_the_new_object_is_a_bare_reference() -> None:
    results = [parse(line) for line in LINES if b'"id":12,"result"' in line]
    (event,) = results
    assert isinstance(event, Response)
    assert decode_result(event.result, RemoteRef) == RemoteRef("calculator", "Counter", "1")


@pytest.mark.parametrize("reader", ["host", "plugin"])
def test_both_id_spaces_collide_and_every_answer_finds_its_request(reader: str) -> None:
    """Requests of one side and answers of the other: what `reader` sent is answered once, by id, in its own space."""
    outgoing: Outgoing[bytes] = Outgoing()
    for record, line in zip(RECORDS, LINES, strict=True):
        event = parse(line)
        items = event.items if isinstance(event, Batch) else [event]
        for item in items:
            if record["from"] == reader and isinstance(item, Request):
                assert b"%d" % outgoing.add(item.id) == item.id
            elif record["from"] != reader and isinstance(item, Response):
                assert outgoing.take(item.id) == item.id
                assert outgoing.take(item.id) is None
    assert len(outgoing) == 0


@pytest.mark.parametrize("size", [1, 2, 7, 64, 4096])
def test_the_stream_is_cut_into_the_same_lines_however_it_arrives(size: int) -> None:
    stream = b"\r\n".join(LINES) + b"\n"
    reader = LineReader(2**20)
    found: list[Any] = []
    for start in range(0, len(stream), size):
        found += reader.feed(stream[start : start + size])
    assert found + reader.end() == LINES


def test_the_error_of_a_callback_keeps_its_code_and_message() -> None:
    errors = [event.error for event in messages() if isinstance(event, Response) and event.error]
    assert all(isinstance(error, RpcError) for error in errors)
    assert next(error.message for error in errors) == "unsupported plugin value type EXCEPTION"
