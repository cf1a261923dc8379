"""Requests as bytes, made ahead of the rounds that send them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from scriptling.protocol.values import ValueEncoder

HEAD = b'{"jsonrpc":"2.0","id":'
FIRST_ID = 1_000_000  # ids of one length, so that requests are of one length, too
_AT_MOST = 96 << 20  # bytes of requests that are kept ready

_to_wire = ValueEncoder().to_wire


def values(*arguments: Any) -> list[Any]:
    """Return Python values as the protocol's Values."""
    return [_to_wire(argument, "argument") for argument in arguments]


def tail(method: str, params: Any) -> bytes:
    """Return what follows a request's id, the end of the line included."""
    return b',"method":' + msgspec.json.encode(method) + b',"params":' + msgspec.json.encode(params) + b"}\n"


def function_tail(name: str, *arguments: Any) -> bytes:
    """Return :func:`tail` of a function call."""
    return tail("function.call", {"name": name, "args": values(*arguments)})


def method_tail(object_id: str, method: str, *arguments: Any) -> bytes:
    """Return :func:`tail` of a method call."""
    return tail("object.call_method", {"object_id": object_id, "method": method, "args": values(*arguments)})


def callback_tail(name: str, callback_id: str, *arguments: Any) -> bytes:
    """Return :func:`tail` of a function call whose first argument is a function of the host's."""
    callback = {"type": "callback", "callback": {"id": callback_id}}
    return tail("function.call", {"name": name, "args": [callback, *values(*arguments)]})


class Requests(NamedTuple):
    """Lines to send.

    :ivar text: all of them, one after the other; more may follow, for later
    :ivar ends: where each ends in ``text``
    """

    text: bytes
    ends: Sequence[int]


class Stock:
    """Requests of one kind, encoded once and used in every round.

    :param tails: what follows the id, in turns
    """

    def __init__(self, tails: Sequence[bytes]) -> None:
        self._tails = tails
        self._made = Requests(b"", [])
        longest = max(len(each) for each in tails) + len(HEAD) + 8
        self.most = max(4, _AT_MOST // longest)

    def take(self, count: int) -> Requests:
        """Return the first ``count`` requests; ids count from :data:`FIRST_ID`."""
        if count > len(self._made.ends):
            self._made = self._make(count + count // 4)
        text, ends = self._made
        return Requests(text, ends[:count])

    def _make(self, count: int) -> Requests:
        tails, turns = self._tails, len(self._tails)
        lines = [b"%b%d%b" % (HEAD, FIRST_ID + i, tails[i % turns]) for i in range(count)]
        return Requests(b"".join(lines), list(accumulate(map(len, lines))))


class BatchStock(Stock):
    """Batches of ``size`` requests, one batch a line."""

    def __init__(self, tails: Sequence[bytes], size: int) -> None:
        super().__init__(tails)
        self._size = size
        self.most = max(4, self.most // size)

    def _make(self, count: int) -> Requests:
        ready = self._tails[0].removesuffix(b"\n")
        ids = range(FIRST_ID, FIRST_ID + self._size)
        line = b"[" + b",".join(b"%b%d%b" % (HEAD, number, ready) for number in ids) + b"]\n"
        return Requests(line * count, list(range(len(line), len(line) * count + 1, len(line))))
