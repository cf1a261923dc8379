"""What the threads of a script share where there is no server: the same queues and wait groups, in this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import msgspec

from scriptling.errors import PluginTimeout
from scriptling.rendezvous import Params, Rendezvous, Status

_decode = msgspec.msgpack.Decoder(Params).decode


@dataclass(eq=False)
class _Waiter:
    settled: threading.Event = field(default_factory=threading.Event)
    answer: bytes = b""


class Local:
    """The other end of a :data:`~scriptling.runtime.context.Bridge`, in the same process."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._meeting: Rendezvous[_Waiter] = Rendezvous(_settle)

    def ask(self, want: str, target: str, operation: str, params: bytes, patience: float | None) -> bytes:
        """Do what is asked of a queue or wait group, or block until it can be done.

        :raises PluginTimeout: the time is over
        """
        waiter = _Waiter()
        with self._mutex:
            self._meeting.ask(waiter, operation, target, _decode(params), None)
        if not waiter.settled.wait(patience):
            with self._mutex:
                self._meeting.withdraw(waiter)
            if not waiter.settled.is_set():
                raise PluginTimeout(f"{operation} of {target!r}: nothing came within the time that was given")
        return waiter.answer


def _settle(waiter: _Waiter, status: Status, value: bytes) -> None:
    waiter.answer = bytes([status]) + value
    waiter.settled.set()
