"""Framing on a stream: protocol section 1, and check 25 of the faults."""

import itertools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scriptling.errors import ErrorCode
from scriptling.protocol.jsonrpc import Invalid, LineReader, Response


def read(pieces: list[bytes], most: int = 2**20) -> list[Any]:
    reader = LineReader(most)
    found = [event for piece in pieces for event in reader.feed(piece)]
    return [comparable(event) for event in found + reader.end()]


def comparable(event: bytes | Invalid | Response) -> Any:
    if isinstance(event, bytes):
        return event
    assert event.error is not None
    return (type(event).__name__, event.id, event.error.code, event.error.message)


def test_lines_come_without_their_ends() -> None:
    assert read([b"a\nb\n"]) == [b"a", b"b"]


def test_carriage_returns_before_the_line_end_are_accepted() -> None:
    assert read([b"a\r\nb\r\n"]) == [b"a", b"b"]
    assert read([b"a\r", b"\nb"]) == [b"a", b"b"]


def test_blank_lines_are_skipped() -> None:
    assert read([b"\n\r\n  \n\t\na\n\n"]) == [b"a"]


def test_a_last_line_without_an_end_counts_at_the_end_of_the_stream() -> None:
    reader = LineReader(100)
    assert reader.feed(b"a\nb") == [b"a"]
    assert reader.end() == [b"b"]
    assert reader.end() == []


def test_the_limit_is_on_the_bytes_of_a_line_without_its_end() -> None:
    assert read([b"12345\n", b"12345\r\n", b"12345"], most=5) == [b"12345", b"12345", b"12345"]
    for end in (b"\n", b"\r\n", b""):
        (refused,) = read([b"123456" + end], most=5)
        assert refused[:3] == ("Invalid", b"null", ErrorCode.MESSAGE_TOO_LARGE)


@pytest.mark.parametrize(("fixed", "advice"), [(False, ", or raise --max-message"), (True, "")])
def test_the_refusal_tells_the_limit_and_what_can_be_done(fixed: bool, advice: str) -> None:
    (refused,) = LineReader(3 << 20, fixed).feed(b"x" * (4 << 20))
    assert isinstance(refused, Invalid)
    assert refused.error.message == f"the message is larger than 3 MiB; send less at once{advice}"


def test_an_oversized_line_gives_one_refusal_at_once_and_the_next_line_is_read() -> None:
    reader = LineReader(10)
    assert reader.feed(b"x" * 11) == []
    (refused,) = reader.feed(b"x")
    assert isinstance(refused, Invalid)
    assert reader.feed(b"x" * 100) == []
    assert reader.feed(b"x\nnext\n") == [b"next"]


def test_an_oversized_line_is_refused_among_others_of_the_same_read() -> None:
    found = read([b"a\n" + b"x" * 50 + b"\nb\n"], most=10)
    assert [found[0], found[2]] == [b"a", b"b"]
    assert found[1][2] == ErrorCode.MESSAGE_TOO_LARGE


def test_a_line_of_100_mb_is_never_held_in_memory() -> None:
    reader = LineReader(2**20)
    piece = b"x" * 65536
    tracemalloc.start()
    try:
        refused = [event for _ in range(1600) for event in reader.feed(piece)]
        assert len(refused) == 1
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert reader.feed(b"\nnext\n") == [b"next"]


@pytest.mark.parametrize(
    ("beginning", "kind", "id"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":"', "Invalid", b"7"),
        (b'{ "method" : "m" , "id" : "x" , "params" : {"a":"', "Invalid", b'"x"'),
        (b'{"jsonrpc":"2.0","id":7,"result":{"type":"string","value":"', "Response", b"7"),
        (b'{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"', "Response", b"7"),
        (b'{"method":"m","params":{"id":"', "Invalid", b"null"),
        (b'{"id":7,"other":"', "Invalid", b"null"),
        (b'[{"id":7,"method":"', "Invalid", b"null"),
        (b'{"id":"', "Invalid", b"null"),
        (b'{"id":\xff,"method":"m","params":"', "Invalid", b"null"),
    ],
)
def test_an_oversized_message_is_refused_under_its_own_id_where_that_shows_at_its_beginning(
    beginning: bytes, kind: str, id: bytes
) -> None:
    """An answer to us that is too large is an error for whoever waits for it, not one for the peer."""
    for pieces in ([beginning + b"x" * 500 + b"\n"], [beginning, b"x" * 500, b"x" * 500, b"\n"]):
        ((found, found_id, code, message),) = read(pieces, most=200)
        assert (found, found_id, code) == (kind, id, ErrorCode.MESSAGE_TOO_LARGE)
        assert message.startswith("the message is larger than ")


STREAMS = st.lists(
    st.one_of(
        st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b'{"id":1,"method":"m","params":', b"12345678", b"123456789"]),
        st.binary(max_size=12),
    ),
    max_size=30,
).map(b"".join)


@given(STREAMS, st.integers(1, 12), st.lists(st.integers(0, 200), max_size=8))
def test_lines_are_the_same_whole_byte_by_byte_and_in_any_pieces(stream: bytes, most: int, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    whole = read([stream], most)
    assert read([stream[i : i + 1] for i in range(len(stream))], most) == whole
    assert read(pieces, most) == whole


def test_one_refusal_or_line_for_every_line_that_is_not_blank() -> None:
    lines = [b"x" * size for size in range(1, 40)]
    assert len(read([b"\n".join(lines)], most=20)) == len(lines)


def test_a_long_line_in_thousands_of_pieces_takes_time_in_proportion() -> None:
    """Counted by copies, not by the clock: what is held grows in place."""
    reader = LineReader(2**24)
    for _ in range(100_000):
        assert reader.feed(b"0123456789" * 4) == []
    assert len(reader.feed(b"\n")[0]) == 4_000_000  # type: ignore[arg-type]
