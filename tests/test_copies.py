"""What is passed to another process arrives as it was; what cannot be is named with its place."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import pytest

from scriptling import copies


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    "value",
    [None, True, 2**100, -1.5, float("inf"), "é\ud800", [1, [2]], (1, (2,)), {"a": {1: None}}, {1, (2, 3)}, [[], {}]],
)
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    copy = copies.unpack(copies.pack(value, "args[0]"))
    assert copy == value
    assert type(copy) is type(value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (datetime.date(2026, 1, 1), r"datetime\.date at args\[0\]"),
        ([1, {"a": (object(),)}], r"object at args\[0\]\[1\]\['a'\]\[0\]"),
        ({Point(1): 2}, r"Point at a key of args\[0\]"),
        ({frozenset()}, r"frozenset at an item of args\[0\]"),
        (b"x", r"bytes at args\[0\]"),
        (len, "builtin_function_or_method at"),
    ],
)
def test_what_cannot_be_passed_is_named_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(copies.NotCopyableError, match=f"cannot pass .*{place}.* only None, bool, int"):
        copies.pack(value, "args[0]")


def test_bytes_may_be_passed_where_they_are_allowed() -> None:
    assert copies.unpack(copies.pack([b"x"], "value", copies.WITH_BYTES)) == [b"x"]


def test_what_is_too_deep_is_refused_and_what_contains_itself_arrives() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(copies.NotCopyableError, match="nested deeper than 200"):
        copies.pack(deep, "value")
    round_: list[Any] = []
    round_.append(round_)
    copy = copies.unpack(copies.pack(round_, "value"))
    assert copy[0] is copy


def test_what_is_shared_a_thousand_times_is_looked_at_once() -> None:
    value: list[Any] = []
    for _ in range(100):
        value = [value, value]
    copies.unpack(copies.pack(value, "value"))
