"""Values: protocol section 5."""

import collections
import contextlib
import datetime
import decimal
import enum
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from scriptling.protocol.values import RemoteRef, Undecodable, Unsendable, ValueDecoder, ValueEncoder

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=25,
)
UNIFORM = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.text()),
    st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    st.lists(st.booleans()),
    st.lists(st.none()),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
KINDS = st.sampled_from(["null", "", "bool", "int", "float", "string", "list", "dict", "remote", "callback", "set"])
WIRE = st.recursive(
    st.fixed_dictionaries({}, optional={"type": KINDS, "value": JSON, "x": JSON}),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["list", "dict"])},
        optional={
            "items": st.lists(inner, max_size=4),
            "entries": st.dictionaries(st.text(), inner, max_size=4),
        },
    ),
    max_leaves=10,
)


class Colour(enum.IntEnum):
    RED = 3


class Name(enum.StrEnum):
    ANN = "ann"


class OldName(str, enum.Enum):  # noqa: UP042 - str() of it is not its text
    BOB = "bob"


class Ratio(float):
    pass


class Point(NamedTuple):
    x: int
    y: int


def there_and_back(value: Any, **options: Any) -> Any:
    return ValueDecoder().decode(ValueEncoder(**options).encode(value))


def typed(value: Any) -> Any:
    """The value with the type of every part beside it; a float by its bits, so that -0.0 is not 0.0."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return [(key, typed(item)) for key, item in value.items()]
    return type(value), value.hex() if isinstance(value, float) else value


@given(PLAIN | UNIFORM)
def test_any_value_that_can_be_sent_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert typed(there_and_back(value)) == typed(value)


@given(st.integers() | st.integers(-(2**14280) + 1, 2**14280 - 1))
def test_integers_of_any_size_come_back_exactly_where_the_peer_takes_them(value: int) -> None:
    assert there_and_back(value, big_ints=True) == value


@pytest.mark.parametrize("value", [2**14280 - 1, 1 - 2**14280])
def test_the_largest_integers_that_can_be_sent_can_be_read(value: int) -> None:
    assert there_and_back([value], big_ints=True) == [value]
    with pytest.raises(Unsendable, match="14,280 bits"):
        ValueEncoder(big_ints=True).encode([value * 2])


@given(PLAIN)
def test_the_wire_is_json_in_the_shape_of_the_protocol(value: Any) -> None:
    wire = json.loads(ValueEncoder().encode(value))
    assert wire["type"] in {"null", "bool", "int", "float", "string", "list", "dict"}
    assert set(wire) <= {"type", "value", "items", "entries"}
    assert ValueEncoder().to_wire(value) == wire
    assert typed(ValueDecoder().from_wire(wire)) == typed(value)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_are_undecodable(raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        ValueDecoder().decode(raw)


@given(WIRE | JSON)
def test_any_json_gives_the_same_value_or_error_read_either_way(wire: Any) -> None:
    text = json.dumps(wire).encode()
    try:
        parsed = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return
    decoder = ValueDecoder(callback=lambda id: ("callback", id), remote=lambda reference: reference)
    assert outcome(lambda: decoder.decode(text)) == outcome(lambda: decoder.from_wire(parsed))


def outcome(decode: Callable[[], Any]) -> Any:
    try:
        return typed(decode())
    except Undecodable as error:
        return str(error)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (None, '{"type":"null"}'),
        (True, '{"type":"bool","value":true}'),
        (5, '{"type":"int","value":5}'),
        (2.5, '{"type":"float","value":2.5}'),
        ("é\n", '{"type":"string","value":"é\\n"}'),
        ([1, "a"], '{"type":"list","items":[{"type":"int","value":1},{"type":"string","value":"a"}]}'),
        ((1,), '{"type":"list","items":[{"type":"int","value":1}]}'),
        ([], '{"type":"list","items":[]}'),
        (
            {"b": 1, "a": {}},
            '{"type":"dict","entries":{"b":{"type":"int","value":1},"a":{"type":"dict","entries":{}}}}',
        ),
    ],
)
def test_each_type_has_its_wire_form(value: Any, wire: str) -> None:
    assert ValueEncoder().encode(value) == wire.encode()


def test_tuples_become_lists() -> None:
    assert there_and_back(((1, 2), [(3,)])) == [[1, 2], [[3]]]


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Colour.RED, 3),
        (Name.ANN, "ann"),
        (OldName.BOB, "bob"),
        (Ratio(0.5), 0.5),
        (Point(1, 2), [1, 2]),
        ([Colour.RED, Name.ANN], [3, "ann"]),
        ({Name.ANN: OldName.BOB}, {"ann": "bob"}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
    ],
)
def test_subclasses_go_as_what_they_derive_from(value: Any, base: Any) -> None:
    assert typed(there_and_back(value)) == typed(base)


def test_the_order_of_keys_is_kept_even_where_an_ordered_dict_changed_it() -> None:
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert list(there_and_back(ordered)) == ["b", "a"]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64, 10**300])
def test_an_int_beyond_64_bits_is_an_error_unless_the_peer_takes_it(value: int) -> None:
    for sent in (value, [value], [1, value], {"k": value}):
        with pytest.raises(Unsendable, match="64 bits"):
            ValueEncoder().encode(sent)
        assert there_and_back(sent, big_ints=True) == sent


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1])
def test_an_int_of_64_bits_is_sent_exactly(value: int) -> None:
    assert there_and_back([value]) == [value]


def cyclic(kind: str) -> Any:
    if kind == "dict":
        mapping: dict[str, Any] = {}
        mapping["k"] = mapping
        return mapping
    cycle: list[Any] = [1]
    cycle += [cycle, cycle]
    return cycle


class Unknown:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"when": datetime.datetime(2024, 1, 1)}, "cannot send datetime.datetime at result['when']"),
        ([1, {"a": (None, b"x")}], "cannot send bytes at result[1]['a'][1]"),
        ({1, 2}, "cannot send set at result"),
        (decimal.Decimal(1), "cannot send decimal.Decimal at result"),
        (len, "cannot send builtin_function_or_method at result"),
        (Unknown, "cannot send type at result"),
        ([Unknown()], f"cannot send {__name__}.Unknown at result[0]"),
        (math.nan, "cannot send the float nan at result"),
        ([1.0, math.inf], "cannot send the float inf at result[1]"),
        ({"x": -math.inf}, "cannot send the float -inf at result['x']"),
        ({1: "a"}, "plugin transport only supports dicts with string keys, not int, at result[1]"),
        ([{None: 1}], "plugin transport only supports dicts with string keys, not NoneType, at result[0][None]"),
        ({(1, 2): 1}, "plugin transport only supports dicts with string keys, not tuple, at result[tuple]"),
        ("a\ud800", "cannot send text with half a surrogate pair, at result"),
        ([["a"], ["b", "\udfff"]], "cannot send text with half a surrogate pair, at result[1][1]"),
        ({"k": {"\ud800": 1}}, "cannot send text with half a surrogate pair, at result['k']['\\ud800']"),
        (10**4300, "cannot send an integer of more than 14,280 bits, at result"),
        (cyclic("list"), "cannot send more than 128 levels of nesting, or what contains itself, at result[1][1][1]"),
        (cyclic("dict"), "cannot send more than 128 levels of nesting, or what contains itself, at result['k']['k']"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else "value",
)
def test_what_cannot_be_sent_is_named_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(Unsendable) as caught:
        ValueEncoder(big_ints=True).encode(value)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 300
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


def test_the_name_of_what_is_encoded_is_the_callers() -> None:
    with pytest.raises(Unsendable, match=r"at constant 'NOW'\[0\]$"):
        ValueEncoder().encode([Unknown()], "constant 'NOW'")


def test_an_error_shows_only_the_beginning_of_long_keys_and_types() -> None:
    with pytest.raises(Unsendable) as unsendable:
        ValueEncoder().encode({"k" * 10**6: Unknown()})
    assert len(str(unsendable.value)) < 200
    with pytest.raises(Undecodable) as undecodable:
        ValueDecoder().decode(b'{"type":"%b"}' % (b"t" * 10**6))
    assert len(str(undecodable.value)) < 200


@given(
    st.recursive(
        SCALARS | st.text(st.characters(codec=None, categories=None)) | st.floats() | st.binary() | st.integers(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    )
)
def test_any_plain_object_is_sent_or_is_unsendable(value: Any) -> None:
    try:
        text = ValueEncoder().encode(value)
    except Unsendable:
        return
    assert typed(ValueDecoder().decode(text)) == typed(value)


# -- references --------------------------------------------------------------------------------------------------------


def test_callbacks_are_handed_over_anywhere_in_a_value() -> None:
    wire = b'{"type":"list","items":[{"type":"dict","entries":{"f":{"type":"callback","callback":{"id":"cb-1"}}}}]}'
    assert ValueDecoder(callback=str.upper).decode(wire) == [{"f": "CB-1"}]
    assert ValueDecoder(callback=str.upper).from_wire(json.loads(wire)) == [{"f": "CB-1"}]


def test_references_to_instances_are_handed_over() -> None:
    wire = b'{"type":"remote","remote":{"library":"l","class":"C","id":"1"}}'
    assert ValueDecoder(remote=lambda reference: reference).decode(wire) == RemoteRef("l", "C", "1")


def test_references_are_refused_where_nothing_understands_them() -> None:
    wire = b'{"type":"list","items":[{"type":"null"},{"type":"callback","callback":{"id":"cb-1"}}]}'
    with pytest.raises(Undecodable, match=r"callbacks cannot be used here, at args\[0\]\[1\]"):
        ValueDecoder().decode(wire, "args[0]")


def test_what_the_hooks_raise_passes_through() -> None:
    class LostError(Exception):
        pass

    def lost(_: Any) -> Any:
        raise LostError

    with pytest.raises(LostError):
        ValueDecoder(callback=lost).decode(b'{"type":"callback","callback":{"id":"cb-1"}}')
    with pytest.raises(LostError):
        ValueEncoder(reference=lost).encode([Unknown()])


def test_what_is_not_plain_is_sent_as_the_reference_made_for_it() -> None:
    wire = {"type": "remote", "remote": {"library": "l", "class": "C", "id": "1"}}
    encoder = ValueEncoder(reference=lambda value: wire if isinstance(value, Unknown) else None)
    assert encoder.to_wire({"k": [Unknown(), 1]})["entries"]["k"]["items"][0] == wire
    with pytest.raises(Unsendable, match="cannot send bytes"):
        encoder.encode(b"")


# -- arguments ---------------------------------------------------------------------------------------------------------


@given(st.lists(PLAIN, max_size=4), st.dictionaries(st.text(), PLAIN, max_size=4))
def test_arguments_come_back_as_they_were(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert ValueDecoder().arguments(*ValueEncoder().arguments(args, kwargs)) == (args, kwargs)


def test_an_error_names_the_argument() -> None:
    good, bad = Raw(b'{"type":"int","value":1}'), Raw(b'{"type":"x"}')
    with pytest.raises(Undecodable, match=r"at args\[1\]$"):
        ValueDecoder().arguments([good, bad], {})
    with pytest.raises(Undecodable, match=r"at kwargs\['b'\]$"):
        ValueDecoder().arguments([good], {"a": good, "b": bad})
    with pytest.raises(Unsendable, match=r"at args\[1\]\['x'\]$"):
        ValueEncoder().arguments([1, {"x": Unknown()}], {})
    with pytest.raises(Unsendable, match=r"at kwargs\['b'\]$"):
        ValueEncoder().arguments([1], {"a": 1, "b": Unknown()})
    with pytest.raises(Unsendable, match="half a surrogate pair"):
        ValueEncoder().arguments([], {"\ud800": 1})


def test_a_deep_stack_makes_values_undecodable_and_unsendable_not_crashes() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    text = ValueEncoder().encode(value)

    def deeper() -> None:
        """Go down until nothing more fits; on the way back up nothing but the two errors is ever seen."""
        try:
            deeper()
        except RecursionError:
            return
        for attempt in (lambda: ValueEncoder().encode(value), lambda: ValueDecoder().decode(text)):
            try:
                attempt()
            except (Unsendable, Undecodable):
                outcomes.append(False)
            else:
                outcomes.append(True)

    outcomes: list[bool] = []
    deeper()
    assert set(outcomes) == {True, False}
