"""Messages of the plugin methods, and the schema: protocol sections 3 and 4."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.messages import (
    CallbackCall,
    CallHead,
    ClassSchema,
    ConstantSchema,
    FunctionCall,
    FunctionSchema,
    HandshakeParams,
    HandshakeResult,
    HostLog,
    LibraryInfo,
    ObjectCall,
    ObjectDestroy,
    ObjectNew,
    ParameterSchema,
    PropertySchema,
    Schema,
    SignatureSchema,
    decode_params,
    decode_result,
    encode_message,
)
from scriptling.protocol.values import RemoteRef

PARAMS: list[Any] = [
    CallHead,
    FunctionCall,
    ObjectNew,
    ObjectCall,
    ObjectDestroy,
    CallbackCall,
    HostLog,
    HandshakeParams,
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["name", "class", "object_id", "method", "id", "args", "kwargs", "level", "message", "host"])


def test_a_function_call_may_leave_out_its_arguments() -> None:
    for text in (b'{"name":"f"}', b'{"name":"f","args":null,"kwargs":null}', b'{"name":"f","x":1}'):
        assert decode_params(text, FunctionCall) == FunctionCall("f", [], {})


def test_arguments_stay_json_text() -> None:
    call = decode_params(b'{"class":"C","args":[ {"type":"null"} ],"kwargs":{"k":{}}}', ObjectNew)
    assert (call.class_name, [bytes(raw) for raw in call.args]) == ("C", [b'{"type":"null"}'])
    assert {name: bytes(raw) for name, raw in call.kwargs.items()} == {"k": b"{}"}


def test_the_head_of_any_call_is_read_without_its_arguments() -> None:
    assert decode_params(b'{"name":"f","args":[{"type":"nonsense"}]}', CallHead) == CallHead(name="f")
    assert decode_params(b'{"object_id":"1","method":"m"}', CallHead) == CallHead(object_id="1", method="m")
    assert decode_params(b'{"class":"C"}', CallHead) == CallHead(class_name="C")
    assert decode_params(b"", CallHead) == CallHead()


@pytest.mark.parametrize(
    ("text", "type", "message"),
    [
        (b"[]", FunctionCall, "invalid params: expected `object`, got `array`"),
        (b"", FunctionCall, "invalid params: object missing required field `name`"),
        (b"{}", ObjectCall, "invalid params: object missing required field `object_id`"),
        (b'{"name":5}', FunctionCall, "invalid params: expected `str`, got `int` - at `params.name`"),
        (b'{"name":5}', CallHead, "invalid params: expected `str`, got `int` - at `params.name`"),
        (b'{"name":null}', FunctionCall, "invalid params: object missing required field `name`"),
        (b'{"name":"f","args":{}}', FunctionCall, "invalid params: expected `array`, got `object` - at `params.args`"),
        (b'{"name":"f","kwargs":[]}', FunctionCall, "invalid params: expected `object`, got `array`"),
        (b'{"object_id":1}', ObjectDestroy, "invalid params: expected `str`, got `int` - at `params.object_id`"),
        (b'{"name":', FunctionCall, "invalid params: "),
        (b'{"name":"\xff"}', FunctionCall, "invalid params: "),
        (b'{"name":"f","args":[%b' % (b"[" * 10**5), FunctionCall, "invalid params: params are nested too deeply"),
    ],
)
def test_params_of_the_wrong_shape_are_an_error_that_says_what_is_wrong(text: bytes, type: Any, message: str) -> None:
    with pytest.raises(RpcError) as caught:
        decode_params(text, type)
    assert caught.value.code == ErrorCode.INVALID_PARAMS
    assert caught.value.message.startswith(message)


@given(
    st.sampled_from(PARAMS),
    st.binary(max_size=60) | st.dictionaries(NAMES, JSON).map(lambda it: json.dumps(it).encode()),
)
def test_any_params_are_a_message_or_an_rpc_error(type: Any, text: bytes) -> None:
    try:
        message = decode_params(text, type)
    except RpcError as error:
        message = error
    assert isinstance(message, type) or message.code == ErrorCode.INVALID_PARAMS


def test_messages_leave_out_what_is_not_there() -> None:
    assert encode_message(FunctionCall("f")) == b'{"name":"f"}'
    assert encode_message(ObjectNew("C", [Raw(b'{"type":"null"}')])) == b'{"class":"C","args":[{"type":"null"}]}'
    assert encode_message(RemoteRef("l", "C", "1")) == b'{"library":"l","class":"C","id":"1"}'
    assert encode_message(HostLog("info", "hello")) == b'{"level":"info","message":"hello"}'


def test_a_host_may_leave_out_everything_in_the_handshake() -> None:
    for text in (b"", b"{}", b'{"protocol":null,"capabilities":null,"new":1}'):
        assert decode_params(text, HandshakeParams) == HandshakeParams()


# -- schema ------------------------------------------------------------------------------------------------------------


def test_the_three_lists_of_a_schema_are_always_written() -> None:
    result = json.loads(encode_message(HandshakeResult(LibraryInfo("calculator"))))
    assert result == {
        "protocol": "1.0",
        "transport": "json",
        "library": {"name": "calculator", "version": "", "description": ""},
        "capabilities": [],
        "schema": {"functions": [], "classes": [], "constants": []},
    }


def test_entries_have_only_the_members_that_say_something() -> None:
    schema = Schema(
        [FunctionSchema("add")],
        [ClassSchema("C", constructor=FunctionSchema("C"), properties=[PropertySchema("p")])],
        [ConstantSchema("V", Raw(b'{"type":"int","value":1}'))],
    )
    assert json.loads(encode_message(schema)) == {
        "functions": [{"name": "add"}],
        "classes": [{"name": "C", "constructor": {"name": "C"}, "properties": [{"name": "p"}]}],
        "constants": [{"name": "V", "value": {"type": "int", "value": 1}}],
    }


def test_signatures_travel() -> None:
    signature = SignatureSchema([ParameterSchema("a"), ParameterSchema("b", "keyword_only", "1", "int")], "int")
    result = HandshakeResult(LibraryInfo("l"), Schema([FunctionSchema("f", "Adds.", signature=signature)]))
    assert decode_result(encode_message(result), HandshakeResult) == result


def test_null_counts_as_missing_anywhere_in_a_handshake() -> None:
    text = b"""{"protocol":null,"library":{"name":"l","version":null},"capabilities":null,"schema":{
        "functions":[{"name":"f","description":null,"source":null}],"constants":null,
        "classes":[{"name":"C","constructor":null,"methods":null,"properties":null}]}}"""
    result = decode_result(text, HandshakeResult)
    assert result.schema == Schema([FunctionSchema("f")], [ClassSchema("C")])
    assert decode_result(b'{"library":{"name":"l"},"schema":null}', HandshakeResult).schema == Schema()


@pytest.mark.parametrize("signature", ['"f(a, b)"', "5", '{"parameters":"a"}', '{"parameters":[{"kind":1}]}', "[]"])
def test_a_signature_that_another_implementation_means_otherwise_is_ignored(signature: str) -> None:
    function = '{"name":"f","signature":' + signature + "}"
    text = '{"library":{"name":"l"},"schema":{"functions":[' + function + "]}}"
    assert decode_result(text.encode(), HandshakeResult).schema.functions == [FunctionSchema("f")]


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{}", b'{"library":5}', b"[" * 10**5, b'{"library"', b"\xff"])
def test_a_handshake_of_the_wrong_shape_is_a_value_error_that_says_what_is_wrong(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^invalid result: ."):
        decode_result(text, HandshakeResult)


@given(st.binary(max_size=60) | JSON.map(lambda it: json.dumps({"library": it, "schema": it}).encode()))
def test_any_result_is_a_message_or_a_value_error(text: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_result(text, HandshakeResult)
