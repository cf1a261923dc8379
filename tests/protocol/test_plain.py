"""Plain JSON: what is sent exactly, what is refused with its place, and what is not read."""

from __future__ import annotations

import datetime
import enum
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scriptling.protocol.plain import decode_plain, encode_plain
from scriptling.protocol.values import Undecodable, Unsendable

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Level(enum.IntEnum):
    LOW = 1


class Name(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Box:
    size: int


@given(PLAIN)
def test_plain_data_comes_back(value: Any) -> None:
    assert decode_plain(encode_plain(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Level.LOW, "1"),
        (Name("Ada"), '"Ada"'),
        (Point(1, 2), "[1,2]"),
        (OrderedDict(b=1, a=(True,)), '{"b":1,"a":[true]}'),
        (2**100, str(2**100)),
        ({Name("key"): None}, '{"key":null}'),
    ],
)
def test_subclasses_and_large_integers_go_as_what_they_are(value: Any, text: str) -> None:
    assert encode_plain(value).decode() == text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": [1, math.nan]}, "cannot send the float nan at result['a'][1]"),
        ([math.inf], "cannot send the float inf at result[0]"),
        ({"when": datetime.datetime(2026, 1, 1)}, "cannot send datetime.datetime at result['when']"),
        (b"bytes", "cannot send bytes at result"),
        ([{1}], "cannot send set at result[0]"),
        (Decimal(1), "cannot send decimal.Decimal at result"),
        ({1: 2}, "JSON has only text as keys, not int, at result[1]"),
        (["ok", "\ud800"], "cannot send text with half a surrogate pair, at result[1]"),
        ({"\ud800": 1}, "cannot send text with half a surrogate pair, at result['\\ud800']"),
        ([-(1 << 15_000)], "cannot send an integer of more than 14,280 bits, at result[0]"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_place(value: Any, problem: str) -> None:
    with pytest.raises(Unsendable) as caught:
        encode_plain(value)
    assert str(caught.value) == problem


def test_a_dataclass_is_not_taken_apart() -> None:
    with pytest.raises(Unsendable, match="Box at answer"):
        encode_plain(Box(1), "answer")


def test_a_cycle_is_an_error() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(Unsendable, match="contains itself"):
        encode_plain(value)


def nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


def test_depth_is_bounded_in_both_directions() -> None:
    assert decode_plain(encode_plain(nested(128))) == nested(128)
    with pytest.raises(Unsendable, match="levels"):
        encode_plain(nested(129))
    with pytest.raises(Undecodable, match="at most 128"):
        decode_plain(b"[" * 129 + b"]" * 129)
    with pytest.raises(Undecodable, match="at most 128"):
        decode_plain(b"[" * 100_000)


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'"\\ud800"', b'"\xff"', b"1e999", b"[1,]"])
def test_what_is_no_json_is_an_error(text: bytes) -> None:
    with pytest.raises(Undecodable, match="body is not JSON"):
        decode_plain(text, "body")
