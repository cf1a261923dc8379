"""Who owns what is made over a network: owners are numbers, found by the token that a client sends with each request.

Ownership decides how long objects live, never who may use them: for that, holding an object's id is enough. A token is
the client's own secret all the same, since whoever sends it may end the client's objects; it appears in no message.
"""

from __future__ import annotations

import re
from itertools import count

STDIO = 1
"""The host of a server over stdio."""

SHARED = 2
"""All clients that send no token."""

MOST_TOKENS = 10_000

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}").fullmatch


class Owners:
    """Owners by token. Pure: the clock is an argument.

    An owner whose token has not been used for long is forgotten here, and what it owns is left to its lease. The same
    token then stands for a new owner.

    :param ttl: seconds without use until a token is forgotten; 0 is never
    :param most: tokens that are remembered; with one more, the one not used for longest is forgotten
    """

    def __init__(self, ttl: float, most: int = MOST_TOKENS) -> None:
        self._ttl = ttl
        self._most = most
        self._numbers = count(SHARED + 1)
        self._by_token: dict[str, tuple[int, float]] = {}  # number and last use; those not used for longest come first

    def new(self) -> int:
        """Return a number for an owner without a token, such as a connection that is a session by itself."""
        return next(self._numbers)

    def of(self, token: str, now: float) -> int:
        """Return the owner that a token stands for; no token (``""``) stands for the one that all without share.

        :param now: seconds of a clock that only goes up
        :raises ValueError: this cannot be a token; the sentence says what can, and does not repeat it
        """
        if not token:
            return SHARED
        if not _TOKEN(token):
            raise ValueError("a session token has 16 to 128 characters out of A-Z, a-z, 0-9, _ and -")
        known = self._by_token.pop(token, None)
        number = self.new() if known is None or self._is_old(known[1], now) else known[0]
        self._by_token[token] = number, now
        self._forget_old(now)
        return number

    def _is_old(self, used: float, now: float) -> bool:
        return bool(self._ttl) and now - used > self._ttl

    def _forget_old(self, now: float) -> None:
        oldest = next(iter(self._by_token))
        while len(self._by_token) > self._most or self._is_old(self._by_token[oldest][1], now):
            del self._by_token[oldest]
            oldest = next(iter(self._by_token))

    def __len__(self) -> int:
        return len(self._by_token)
