"""The host's side of callbacks: calls that carry a function, and answers to the server when it calls that."""

from __future__ import annotations

import os
import select
import time

import msgspec

from benchmarks import wire
from benchmarks.load import PATIENCE, Pipes
from benchmarks.model import PeerFailed

_ONE = b',"result":{"type":"int","value":1}}\n'
_HEAD = b'{"jsonrpc":"2.0","id":'


class _Line(msgspec.Struct):
    id: msgspec.Raw
    method: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Line).decode
_decode_result = msgspec.json.decode


def drive_callbacks(pipes: Pipes, outer: int, times: int) -> float:
    """Make ``outer`` calls at once, each of which calls back ``times`` times; return the seconds that all took.

    :raises PeerFailed: the server has gone, takes too long, or answers wrongly
    """
    requests = wire.Stock([wire.callback_tail("repeat", "cb-1", times)]).take(outer)
    poller = select.poll()
    poller.register(pipes.back, select.POLLIN)
    rest, left = b"", outer
    began = time.perf_counter()
    _write_all(pipes.to, requests.text[: requests.ends[-1]])
    while left:
        if not poller.poll(PATIENCE * 1000):
            raise PeerFailed(f"no callback and no answer for {PATIENCE:g} s")
        data = os.read(pipes.back, 1 << 18)
        if not data:
            raise PeerFailed("it ended")
        *lines, rest = (rest + data).split(b"\n")
        replies = b"".join([_answer(line, times) for line in lines])
        left -= len(lines) - replies.count(b"\n")
        if replies:
            _write_all(pipes.to, replies)
    return time.perf_counter() - began


def _answer(text: bytes, times: int) -> bytes:
    """Return the answer to a callback; nothing for the answer to a call of ours."""
    line = _decode(text)
    if line.method:
        return b"%b%b%b" % (_HEAD, line.id, _ONE)
    if _decode_result(line.result) != {"type": "int", "value": times}:
        raise PeerFailed(f"it answered {text[:200].decode(errors='replace')}")
    return b""


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll(PATIENCE * 1000)
