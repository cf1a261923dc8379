"""Frames come back as they were, and strangers' bytes are refused with one kind of error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scriptling.protocol.messages import ClassSchema, FunctionSchema, PropertySchema
from scriptling.registry import ClassDeclaration, ConstantDeclaration, Declaration, FunctionDeclaration, Handler
from workers import frames
from workers.frames import (
    Answer,
    Ask,
    Call,
    Calls,
    Classes,
    Hello,
    Init,
    Log,
    Ping,
    Registered,
    Replies,
    Reply,
    Started,
    Stop,
    Stopped,
)

DECLARATION = Declaration(
    "calculator", "1.0", "adds",
    (FunctionDeclaration("add", Handler("handlers.add"), 2.5), FunctionDeclaration("f", Handler("f", b"\x80pickled"))),
    (ConstantDeclaration("PI", b'{"type":"float","value":3.14}'),),
    (ClassDeclaration("Config", Handler("app.Config")),),
)  # fmt: skip
CLASSES = [ClassSchema(name="Config", methods=[FunctionSchema(name="get")], properties=[PropertySchema(name="size")])]
CALL = Call(2**62, 2, "object", "méthode", b'{"args":[]}', 3, 1, 2.5)

# Those for what comes to the front-end, where anybody may have connected.
DECODERS: list[Callable[[bytes], Any]] = [
    frames.decode_from_child,
    frames.decode_from_relay,
]


@pytest.mark.parametrize(
    "frame", [Calls([CALL, CALL]), Calls([]), Init(DECLARATION, CLASSES), Started(), Ping(), Stop()]
)
def test_frames_to_children_come_back_as_they_were(frame: frames.ToChild) -> None:
    received = frames.decode_for_child(frames.encode(frame))
    assert type(received) is type(frame)
    assert frames.encode(received) == frames.encode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        Hello(),
        Replies(5, [Reply(1, True, b"{}", 7)]),
        Registered(DECLARATION, [FunctionSchema(name="add")], ["no such library"]),
        Classes(CLASSES, ""),
        Stopped(3),
    ],
)
def test_frames_from_children_come_back_as_they_were(frame: frames.FromChild) -> None:
    received = frames.decode_from_child(frames.encode(frame))
    assert type(received) is type(frame)
    assert frames.encode(received) == frames.encode(frame)


def test_what_was_declared_arrives_whole() -> None:
    received = frames.decode_for_child(frames.encode(Init(DECLARATION, CLASSES)))
    assert isinstance(received, Init)
    assert frames.encode(received.declaration) == frames.encode(DECLARATION)
    assert received.declaration.functions[1].handler.pickled == b"\x80pickled"
    assert [*received.classes] == CLASSES


def test_questions_records_and_answers_come_back_as_they_were() -> None:
    ask = Ask("key", "worker-1", 9, frames.Want.METHOD, "1.abc", "render", b"{}")
    answer = Answer(True, b"null")
    log = Log("key", 3, b'{"message":"hello"}')
    assert frames.decode_from_relay(frames.encode(ask)) == ask
    assert frames.decode_from_relay(frames.encode(log)) == log
    assert frames.decode_answer(frames.encode(answer)) == answer


replies = st.builds(
    Reply, st.integers(0, 2**64 - 1), st.booleans(), st.binary(max_size=300), st.integers(0, 2**63)
)  # fmt: skip


@given(st.integers(0, 2**63), st.lists(replies, max_size=20))
def test_replies_joined_from_their_encodings_are_one_frame(first: int, several: list[Reply]) -> None:
    joined = b"".join(map(frames.encode, several))
    assert frames.decode_from_child(frames.replies_frame(first, len(several), joined)) == Replies(first, several)
    assert frames.decode_reply_list(frames.join_replies(len(several), joined)) == several


valid = st.sampled_from(
    [
        frames.encode(frame)
        for frame in (Calls([CALL]), Init(DECLARATION, CLASSES), Replies(0, [Reply(1, False, b"1", 2)]))
    ]
    + [frames.encode(Ask("key", "worker-1", 9, frames.Want.CALLBACK, "cb", "", b"{}"))]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a frame of ours with some bytes changed, left out, or put in."""
    frame = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(frame)))
        frame[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(frame)


@given(st.binary(max_size=200) | damaged())
def test_no_bytes_raise_anything_but_a_decode_error(data: bytes) -> None:
    for decode in DECODERS:
        with suppress(msgspec.DecodeError):
            decode(data)


NOT_UTF8 = b"\xa2\xc3\x28"


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x91" * 100_000,
        b"\x92" + msgspec.msgpack.encode("hello") + b"\x91" * 100_000,
        b"\x9f" + msgspec.msgpack.encode("ask") + b"\x81\xc0" * 100_000,
        b"\x98" + msgspec.msgpack.encode("ask") + NOT_UTF8 * 7,
        b"\x92" + msgspec.msgpack.encode("stopped") + NOT_UTF8,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x92\xc2\xc6\xff\xff\xff\xff",
    ],
    ids=["empty", "deep", "deep surplus", "deep maps", "text", "type", "huge list", "huge bytes", "huge answer"],
)
def test_hostile_bytes_are_refused(decode: Callable[[bytes], Any], data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)
