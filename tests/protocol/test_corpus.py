"""One fixed answer for each malformed message, Value and depth: faults 23 and 24.

The files in ``corpus/`` hold each input with its answer beside it. A message is ``text``, ``hex``, or ``text`` followed
by something repeated and what comes after. Its ``answer`` is the code and the JSON text of the id that it is refused
with, or the method that runs under which id, or a list of those for a batch, or null where nothing happens at all.
"""

import ast
import json
import time
from pathlib import Path
from typing import Any

import pytest

from scriptling.protocol.jsonrpc import Batch, Event, Invalid, LineReader, Request, Response, encode_error, parse
from scriptling.protocol.values import Undecodable, Unsendable, ValueDecoder, ValueEncoder

CORPUS = Path(__file__).parent / "corpus"

Case = dict[str, Any]


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in json.loads((CORPUS / name).read_text())]


def text_of(case: Case) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    repeated, times = case.get("repeat", ["", 0])
    text = case.get("text", "") + repeated * times + case.get("after", "")
    return str(text).encode()


def answer_to(event: Event) -> Any:
    """What a server does about an event, in the words of the corpus."""
    match event:
        case Batch():
            return [answer_to(item) for item in event.items]
        case Invalid():
            return {"id": event.id.decode(), "code": int(event.error.code)}
        case Request(method="", id=b"") | Response():
            return None
        case Request():
            return {"id": event.id.decode(), "runs": event.method} if event.id else {"runs": event.method}


@pytest.mark.parametrize("case", cases("messages.json"))
def test_each_malformed_message_has_one_fixed_answer(case: Case) -> None:
    event = parse(text_of(case))
    assert answer_to(event) == case["answer"]
    if isinstance(event, Invalid):
        answer = json.loads(encode_error(event.id, event.error))
        assert set(answer) == {"jsonrpc", "id", "error"}


@pytest.mark.parametrize("case", cases("messages.json"))
def test_a_malformed_line_does_not_hurt_the_next_one(case: Case) -> None:
    # NUL and UTF-16 hold no line ends of their own here, so each is one line of the stream.
    text = text_of(case)
    good = b'{"jsonrpc":"2.0","id":"good","method":"m"}'
    lines = LineReader(2**20).feed(text + b"\r\n" + good + b"\n")
    assert lines == ([text, good] if text else [good])
    assert parse(good) == Request("m", b'"good"')


@pytest.mark.parametrize("case", cases("values.json"))
def test_each_value_is_decoded_to_one_result_or_one_error(case: Case) -> None:
    if "error" in case:
        with pytest.raises(Undecodable) as caught:
            ValueDecoder().decode(case["wire"].encode())
        assert case["error"] in str(caught.value)
        return
    value = ValueDecoder().decode(case["wire"].encode())
    expected = ast.literal_eval(case["python"])
    assert (value, type(value)) == (expected, type(expected))
    assert repr(value) == repr(expected)


def nested(case: Case) -> tuple[bytes, Any]:
    """The wire text of nested containers, and the Python value: a scalar in the innermost of them."""
    wrappers = {
        "list": (b'{"type":"list","items":[', b"]}", lambda inner: [inner]),
        "dict": (b'{"type":"dict","entries":{"k":', b"}}", lambda inner: {"k": inner}),
    }
    kinds = {"list": ["list"], "dict": ["dict"], "mixed": ["list", "dict"]}[case["kind"]]
    order = [wrappers[kinds[level % len(kinds)]] for level in range(case["depth"])]
    value: Any = 1
    for _, _, wrap in reversed(order):
        value = wrap(value)
    text = b"".join(begin for begin, _, _ in order) + b'{"type":"int","value":1}'
    return text + b"".join(end for _, end, _ in reversed(order)), value


@pytest.mark.parametrize("case", cases("depth.json"))
def test_depth_128_passes_and_129_is_refused_both_ways(case: Case) -> None:
    text, value = nested(case)
    if case["passes"]:
        assert ValueDecoder().decode(text) == value
        assert ValueEncoder().encode(value) == text
        return
    with pytest.raises(Undecodable, match="nesting"):
        ValueDecoder().decode(text, "args[0]")
    with pytest.raises(Unsendable, match="nesting"):
        ValueEncoder().encode(value)


@pytest.mark.parametrize("depth", [1, 5])
def test_the_depth_is_a_setting(depth: int) -> None:
    text, value = nested({"kind": "mixed", "depth": depth})
    assert ValueDecoder(max_depth=depth).decode(text) == value
    assert ValueEncoder(max_depth=depth).encode(value) == text
    with pytest.raises(Undecodable, match=f"more than {depth - 1} levels"):
        ValueDecoder(max_depth=depth - 1).decode(text)
    with pytest.raises(Unsendable, match=f"more than {depth - 1} levels"):
        ValueEncoder(max_depth=depth - 1).encode(value)


BRACKETS = {
    "brackets": b"[" * 100_000,
    "braces": b'{"a":' * 100_000,
    "brackets in params": b'{"id":1,"method":"m","params":' + b"[" * 100_000,
}


def fastest(text: bytes) -> float:
    """Seconds of the CPU for one parse: the best of a few, since other work on the machine is not what is measured."""
    times = []
    for _ in range(5):
        begin = time.thread_time()
        parse(text)
        times.append(time.thread_time() - begin)
    return min(times)


@pytest.mark.parametrize("name", BRACKETS)
def test_100_000_brackets_are_refused_within_10_ms(name: str) -> None:
    assert fastest(BRACKETS[name]) < 0.01


MIB = 2**20
# A beginning, what is repeated, how often, an end: made in the test, since they are large.
HEAVY: dict[str, tuple[bytes, bytes, int, bytes]] = {
    "empty arrays": (b"[", b"[],", 16 * MIB // 3, b"[]]"),
    "empty arrays, unclosed": (b"[", b"[],", 16 * MIB // 3, b""),
    "commas": (b"", b",", 16 * MIB, b""),
    "empty arrays in params": (b'{"id":1,"method":"m","params":[', b"[],", 16 * MIB // 3, b"[]]}"),
    "backslashes": (b'{"id":1,"method":"', b"\\", 16 * MIB, b""),
    "half surrogate pairs": (b'{"id":1,"method":"m","params":["', b"\\ud800", 16 * MIB // 6, b'"]}'),
    "half surrogate pairs, 1 MiB": (b'{"id":1,"method":"m","params":["', b"\\ud800", 170_000, b'"]}'),
    "white space": (b"", b" ", 16 * MIB, b""),
    "white space before a batch": (b"", b" ", 16 * MIB, b"[1]"),
    "not ASCII": (b'{"id":1,"method":"m","params":["', "é".encode(), 8 * MIB, b'"]}'),
}


@pytest.mark.parametrize("name", HEAVY)
def test_16_mib_of_anything_hold_up_others_for_less_than_100_ms(name: str) -> None:
    beginning, repeated, times, end = HEAVY[name]
    assert fastest(beginning + repeated * times + end) < 0.1
