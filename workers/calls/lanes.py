"""One worker as the dispatcher sees it. Pure bookkeeping."""

from __future__ import annotations

from workers.calls.tickets import Ticket

HORIZON = 1_000_000  # ns of work that may lie ahead of a worker
_LOW = HORIZON // 2  # ns; a worker is given more only when less than this is left, so that frames stay large
LONG = 5 * HORIZON  # ns of one call, from which on others should not have to wait for its worker


class Lane:
    """What a worker was given, and whether it is to be given more.

    :ivar assigned: what was handed to it and is not settled, in order of handing out
    :ivar ahead: estimated ns of all that
    :ivar held: it gets nothing more until it has answered: it is stuck, or its call asks for something
    :ivar waiting: how many of its questions to the host or the store are open
    :ivar parked: how many of its questions that block on other calls are open
    :ivar parked_since: ns of the clock at which it was parked
    :ivar parked_for: ns that its running call was parked before that
    :ivar answers: how many of its questions that may park it were answered in its life
    :ivar retired: it gets nothing more at all
    :ivar settled: calls answered in its life
    """

    __slots__ = (
        "ahead", "answers", "assigned", "held", "name", "parked", "parked_for", "parked_since", "retired", "settled",
        "waiting",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.assigned: dict[int, Ticket] = {}
        self.ahead = 0
        self.held = False
        self.waiting = 0
        self.parked = 0
        self.parked_since = 0
        self.parked_for = 0
        self.answers = 0
        self.retired = False
        self.settled = 0

    @property
    def has_room(self) -> bool:
        """Whether it is to be given more: it has little left, or nothing behind one call of ordinary length."""
        if self.held or self.retired:
            return False
        return self.ahead <= _LOW or (len(self.assigned) == 1 and self.ahead <= 2 * HORIZON)

    @property
    def is_long(self) -> bool:
        """Whether it is in a call that is long, waits, or is known to become long."""
        return self.held or self.ahead > LONG

    @property
    def idle(self) -> bool:
        """Whether nothing is assigned to it."""
        return not self.assigned

    @property
    def state(self) -> str:
        """What its worker is doing, in a word."""
        if self.retired:
            return "ending"
        if self.asks:
            return "parked" if self.parked else "waiting"
        return "busy" if self.assigned else "idle"

    @property
    def asks(self) -> bool:
        """Whether any of its questions is open."""
        return self.waiting > 0 or self.parked > 0
