"""Arguments and results on the wire (protocol section 5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.server import Serve, Server
from tests.wire.values import CallFailedError, Raw

PLAIN: list[Any] = [
    *(None, True, False, 0, -1, 2**63 - 1, -(2**63), 0.0, 2.5, -1e308, 5e-324, "", "a", 'é😀\n\0"\\', " "),
    *([], [1, "a", None, [2.5, [True]]], {}, {"b": 1, "a": {"c": []}, "": None}),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_value_comes_back_equal_and_of_its_type(server: Server, value: Any) -> None:
    result = server.call("echo", value)
    assert (result, type(result)) == (value, type(value))


def test_dict_keeps_the_order_of_its_keys(server: Server) -> None:
    assert list(server.call("echo", {"z": 1, "a": 2, "m": 3})) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("wire", "python"),
    [
        ({"type": "float", "value": 1}, "float 1.0"),
        ({"type": "float", "value": 1.0}, "float 1.0"),
        ({"type": "int", "value": 1}, "int 1"),
        ({"type": "null"}, "NoneType None"),
        ({"type": ""}, "NoneType None"),
        ({}, "NoneType None"),
        ({"type": "list"}, "list []"),
        ({"type": "list", "items": None}, "list []"),
        ({"type": "dict"}, "dict {}"),
        ({"type": "dict", "entries": None}, "dict {}"),
        ({"type": "bool", "value": False}, "bool False"),
        ({"type": "int", "value": 2**64}, f"int {2**64}"),
    ],
    ids=str,
)
def test_wire_form_is_read_as(server: Server, wire: Any, python: str) -> None:
    assert server.call("described", Raw(wire)) == python


def test_tuples_become_lists(server: Server) -> None:
    assert server.call("evaluate", "(1, (2, 'a'), {'t': ()})") == [1, [2, "a"], {"t": []}]


def test_whole_floats_stay_floats(server: Server) -> None:
    id = server.begin("evaluate", "[1.0, 2]")
    items = server.result(id)["items"]
    assert [item["type"] for item in items] == ["float", "int"]


def test_integers_beyond_64_bits_are_a_clear_error_to_a_host_that_cannot_take_them(serve: Serve) -> None:
    server = serve("def big(): return {'n': [2 ** 64]}")
    server.handshake()
    failure = server.failure(server.begin("big"))
    assert failure.code == -32000
    assert "result['n'][0]" in failure.message


def test_integers_beyond_64_bits_go_out_exactly_to_a_host_that_declares_it_takes_them(serve: Serve) -> None:
    server = serve("def big(): return -(2 ** 70) - 1")
    assert "big_integers" in server.handshake("big_integers")["capabilities"]
    assert server.call("big") == -(2**70) - 1


@pytest.mark.parametrize(
    ("expression", "place"),
    [
        ("float('nan')", "result"),
        ("{'a': [float('inf')]}", "result['a'][0]"),
        ("'\\ud800'", "result"),
        ("{'\\ud800': 1}", "result"),
        ("object()", "cannot send object at result"),
        ("[__import__('datetime').datetime.now()]", "cannot send datetime.datetime at result[0]"),
        ("{'when': __import__('datetime').datetime.now()}", "cannot send datetime.datetime at result['when']"),
        ("b'x'", "result"),
        ("{1, 2}", "result"),
        ("(lambda l: l.append(l) or l)([])", "result"),
        ("len", "result"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_an_error_that_names_the_place(server: Server, expression: str, place: str) -> None:
    failure = server.failure(server.begin("evaluate", expression))
    assert failure.code == -32000
    assert place in failure.message


def test_dict_with_other_keys_than_text_is_refused_in_known_words(server: Server) -> None:
    failure = server.failure(server.begin("evaluate", "{1: 2}"))
    assert "plugin transport only supports dicts with string keys" in failure.message


@pytest.mark.parametrize("kind", ["x", "set", "Int"])
def test_unknown_type_is_refused_in_known_words(server: Server, kind: str) -> None:
    failure = server.failure(server.begin("echo", [1, {"a": Raw({"type": kind})}]))
    assert failure.code == -32602
    assert f'unsupported plugin transport value type "{kind}"' in failure.message


@pytest.mark.parametrize(
    "wire",
    [
        {"type": "int", "value": "5"},
        {"type": "int", "value": 1.5},
        {"type": "int"},
        {"type": "bool", "value": 1},
        {"type": "string", "value": 1},
        {"type": "string"},
        {"type": "float", "value": "1"},
        {"type": "list", "items": {}},
        {"type": "dict", "entries": []},
        {"type": "callback"},
        {"type": "remote"},
        [],
        5,
    ],
    ids=str,
)
def test_value_that_does_not_fit_its_type_is_invalid_params(server: Server, wire: Any) -> None:
    with pytest.raises(CallFailedError) as caught:
        server.call("echo", Raw(wire))
    assert caught.value.code == -32602


def test_keyword_arguments_arrive_by_name(server: Server) -> None:
    assert server.call("echo", 1, x=[2], y={"z": None}) == [[1], {"x": [2], "y": {"z": None}}]


@pytest.mark.parametrize(("args", "kwargs"), [([1, 2, 3], {}), ([], {}), ([1], {"c": 1}), ([1], {"a": 1})])
def test_arguments_that_do_not_fit_are_an_error_in_the_words_of_python(
    server: Server, args: list[Any], kwargs: dict[str, Any]
) -> None:
    failure = server.failure(server.begin("kw", *args, **kwargs))
    assert failure.code == -32000
    assert failure.data["type"] == "TypeError"
    assert "kw()" in failure.message


def test_a_megabyte_of_text_passes(server: Server) -> None:
    text = "é" * 500_000 + "x" * 100_000
    assert server.call("echo", text) == text
