"""Who may update a key next, when an update has lost to others again and again.

Updates lock nothing while their functions run, so that a slow one would lose to quick ones for ever. One that has lost
several times puts a claim on the key, in the transaction in which it has lost; until it has won, other updates of the
key wait before they begin. Nobody has to trust it: a claim ends by itself soon after the function should have, whatever
became of who put it, and it is a wait and no lock: values are compared all the same.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from scriptling.stores.environment import Environment

CLAIM = b"c"
_LOSSES = 8  # before a claim is put
_LONGEST = 100_000_000  # ns that a claim keeps others
_PAUSE = 0.0005  # seconds


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass
class Turn:
    """One update of one key, tried until it wins.

    :ivar lost: how often it was too late
    :ivar began: when the function was last called
    """

    environment: Environment
    stored: bytes
    lost: int = 0
    began: int = 0
    found_claim: bool = False
    token: bytes = field(default_factory=lambda: os.urandom(8))

    def begin(self) -> None:
        """Wait for whoever has a claim; a claim that is over or ours keeps nobody."""
        key = CLAIM + self.stored
        while claim := self.environment.get(key):
            self.found_claim = True
            if claim[8:] == self.token or int.from_bytes(claim[:8], "big") <= _now():
                break
            time.sleep(_PAUSE)
        self.began = time.monotonic_ns()

    def lose(self, txn: Any) -> None:
        """Note that others were quicker, and ask them to wait if that has happened often."""
        self.lost += 1
        if self.lost < _LOSSES:
            return
        key, now = CLAIM + self.stored, _now()
        claim = txn.get(key)
        if claim is None or claim[8:] == self.token or int.from_bytes(claim[:8], "big") <= now:
            patience = min(2 * (time.monotonic_ns() - self.began) + 1_000_000, _LONGEST)
            txn.put(key, (now + patience).to_bytes(8, "big") + self.token)

    def win(self, txn: Any) -> None:
        """Take back the claim, and remove one that is over."""
        if self.found_claim or self.lost >= _LOSSES:
            txn.delete(CLAIM + self.stored)
