"""Which call runs where, and which answer is still owed: pure bookkeeping without sockets, processes or a clock.

A :class:`~workers.calls.tickets.Ticket` is one accepted call. From :meth:`Dispatcher.submit` until it is settled it is
in exactly one place: the queue, one lane (a worker), or one shard (an object store). It leaves by being returned, once,
to whoever answers it: done, dead with its process, or given up. That makes "one answer for each call" a property of
this file.

Work is handed out in batches, because a frame costs as much as several small calls, but never more than about a
millisecond of it behind the call that a worker is in, by the measured time of each handler; one call of up to two
milliseconds may lie there, so that the worker need not wait for it. A handler not measured yet gets an idle worker to
itself. What a stuck worker has not begun comes back through :meth:`Dispatcher.give_back`.

A call that asks for something keeps its lane. One that *waits* does so for the host or the store, which counts towards
the depth of callbacks and towards its time. One that is *parked* is blocked on other calls, by a queue for example: as
long as that lasts its lane is out of all that is looked at, there may be thousands, and its clock stands still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from operator import attrgetter

from msgspec.structs import replace

from scriptling.errors import RpcError
from scriptling.protocol.jsonrpc import encode_error_object
from workers.calls.lanes import HORIZON, Lane
from workers.calls.shards import Everywhere, Shard, Shards
from workers.calls.tickets import Caller, Ticket, is_withdrawn_with
from workers.frames import Reply
from workers.front_end.metrics import Metrics, Outcome, Timing

_UNKNOWN = 2 * HORIZON + 1  # ns; what has not been measured shares a worker with nothing
MOST_AHEAD = 256  # calls; the claim pipe and the journal are sized for it
STALL = 5_000_000_000  # ns without any answer from the host until calls behind waiting ones are refused
_NEAR = 64  # calls at the head of the queue that are looked at for short ones
MOST_HELD = 64 << 20  # bytes
TICKET = 600  # bytes that a ticket takes beside its parameters
_SMOOTHING = 8  # a new measurement counts one part in this many


class Dispatcher:
    """The queue, the lanes, and the shards.

    :param object_stores: how many of them there are
    :ivar shards: what each of them has
    """

    def __init__(self, callback_cap: int, object_stores: int = 1) -> None:
        self.callback_cap = callback_cap
        self._last_seq = 0
        self._stalled_since = 0
        self.metrics = Metrics()
        self._timings = self.metrics.timings
        self.queue: deque[Ticket] = deque()
        self.lanes: dict[str, Lane] = {}
        self.active: dict[str, Lane] = {}
        """Those lanes that are not parked."""
        self.shards = Shards(object_stores)
        self.assigned = 0
        """How many calls are with workers."""
        self.waiting = 0
        """How many lanes have a call that waits for the host or the store."""
        self.parked = 0
        """How many lanes have a call that is blocked on other calls."""
        self.asking: set[int] = set()
        """The calls that have questions open; kept by whoever takes the questions."""
        self.over: list[int] = []
        """Those of them that have been answered since; taken by whoever takes the questions."""
        self.held_bytes = 0
        """Bytes of memory of all calls that are owed an answer."""

    # Accepting

    def next_seq(self) -> int:
        """Return a number for a new ticket; 0 is never one."""
        self._last_seq += 1
        return self._last_seq

    @property
    def is_full(self) -> bool:
        """Whether the calls that are owed an answer take as much memory as they may."""
        return self.held_bytes > MOST_HELD

    def submit(self, ticket: Ticket) -> None:
        """Accept a call for a worker; it is owed an answer from now on."""
        self.held_bytes += len(ticket.params) + TICKET
        self.queue.append(ticket)

    def submit_to_store(self, ticket: Ticket) -> None:
        """Accept a call for an object store, which queues by object itself."""
        self.held_bytes += len(ticket.params) + TICKET
        self.shards.of(ticket).put(ticket)

    def submit_to_all_stores(self, ticket: Ticket) -> None:
        """Accept a call for every object store; it is answered when all have."""
        everywhere = Everywhere(ticket, len(self.shards.all))
        for shard in self.shards.all:
            part = replace(ticket, seq=self.next_seq(), caller=everywhere)
            self.held_bytes += len(part.params) + TICKET
            shard.put(part)

    @property
    def pending(self) -> int:
        """How many calls are owed an answer."""
        return len(self.queue) + len(self.shards) + self.assigned

    @property
    def backed_up(self) -> bool:
        """Whether a worker has work behind what it is doing, which may have to be taken back."""
        return self.assigned > 1 and any(len(lane.assigned) > 1 for lane in self.active.values())

    # Handing out

    @property
    def hogged(self) -> int:
        """How many lanes are in a long call while calls that are known to be short wait in the queue."""
        known = filter(None, (self._timings.get(ticket.target) for ticket in islice(self.queue, _NEAR)))
        if any(timing.expected < HORIZON for timing in known):
            return sum(1 for lane in self.active.values() if lane.is_long and not lane.waiting)
        return 0

    @property
    def free(self) -> bool:
        """Whether any lane has room, or will have within about the time that may lie ahead of it."""
        return any(not (lane.is_long or lane.retired) for lane in self.active.values())

    @property
    def serving(self) -> int:
        """How many lanes do not wait, are not parked and not about to end."""
        return sum(1 for lane in self.active.values() if not (lane.waiting or lane.retired))

    @property
    def too_deep(self) -> bool:
        """Whether as many calls wait for callbacks as may, so that one more from inside them cannot run."""
        return self.waiting >= self.callback_cap

    def assign(self) -> list[tuple[Lane, list[Ticket]]]:
        """Hand out from the queue what may be handed out now: least loaded lanes first, in equal shares."""
        if not self.queue or self.too_deep:
            return []
        open_lanes = [lane for lane in self.active.values() if lane.has_room]
        open_lanes.sort(key=attrgetter("ahead"))
        handed_out = []
        while open_lanes and self.queue:
            share = -(-len(self.queue) // len(open_lanes))
            lane = open_lanes.pop(0)
            batch = self._fill(lane, share)
            if batch:
                handed_out.append((lane, batch))
        return handed_out

    def _fill(self, lane: Lane, share: int) -> list[Ticket]:
        batch: list[Ticket] = []
        queue, assigned, timings = self.queue, lane.assigned, self._timings
        running = next(iter(assigned.values())).estimate if assigned else 0
        while queue and len(batch) < share and len(assigned) < MOST_AHEAD:
            ticket = queue[0]
            timing = timings.get(ticket.target)
            estimate = _UNKNOWN if timing is None else timing.expected
            if assigned and lane.ahead - running + estimate > (HORIZON if len(assigned) > 1 else 2 * HORIZON):
                break
            queue.popleft()
            ticket.estimate = estimate
            lane.ahead += estimate
            assigned[ticket.seq] = ticket
            batch.append(ticket)
        self.assigned += len(batch)
        return batch

    # Settling

    def done(self, lane: Lane, replies: Iterable[Reply]) -> list[tuple[Ticket, Reply]]:
        """Settle what a worker has answered; answers to what is settled already are dropped."""
        settled = []
        for reply in replies:
            ticket = lane.assigned.pop(reply.seq, None)
            if ticket is not None:
                settled.append((ticket, reply))
        if settled:
            self._measure(settled, lane)
            self.assigned -= len(settled)
            lane.held = lane.asks
            lane.parked_for = 0
            lane.settled += len(settled)
            self._note_over(settled)
        return settled

    def _note_over(self, settled: list[tuple[Ticket, Reply]]) -> None:
        if self.asking:
            self.over += [ticket.seq for ticket, _ in settled if ticket.seq in self.asking]

    def _measure(self, settled: list[tuple[Ticket, Reply]], lane: Lane) -> None:
        timings, parked_for = self._timings, lane.parked_for
        ahead = size = 0
        for ticket, reply in settled:
            ahead += ticket.estimate
            size += len(ticket.params)
            elapsed = max(0, reply.elapsed - parked_for) if parked_for else reply.elapsed
            timing = timings.get(ticket.target)
            if timing is None:
                timing = timings[ticket.target] = Timing(elapsed)
            timing.expected += (elapsed - timing.expected) // _SMOOTHING
            timing.total += elapsed
            timing.by_size[elapsed.bit_length()] += 1
            if reply.failed:
                timing.errors += 1
        lane.ahead -= ahead
        self.held_bytes -= size + TICKET * len(settled)

    def done_in_store(self, shard: Shard, replies: Iterable[Reply]) -> list[tuple[Ticket, Reply]]:
        """Settle what an object store has answered."""
        settled = []
        for reply in replies:
            ticket = shard.calls.pop(reply.seq, None)
            if ticket is not None:
                self.held_bytes -= len(ticket.params) + TICKET
                settled.append((ticket, reply))
        self._note_over(settled)
        return settled

    def fail(self, ticket: Ticket, error: RpcError) -> None:
        """Answer a call that was given up, and will not be settled by a reply."""
        self.metrics.outcomes[ticket.label, Outcome.of(error.code)] += 1
        ticket.caller.answer(ticket, True, encode_error_object(error))

    def give_back(self, lane: Lane, seqs: Iterable[int]) -> None:
        """Put calls that a worker had not begun back to the head of the queue, and hold it until it is done."""
        for seq in sorted(seqs, reverse=True):
            ticket = lane.assigned.pop(seq, None)
            if ticket is not None:
                lane.ahead -= ticket.estimate
                self.assigned -= 1
                self.queue.appendleft(ticket)
        # A lane that turns out to have nothing is not stuck: what looked so has just been answered.
        lane.held = bool(lane.assigned) or lane.asks

    def gone(self, lane: Lane) -> list[Ticket]:
        """Forget a dead worker, and return the calls that died with it; what it had not begun was given back before."""
        if self.lanes.pop(lane.name, None) is not None:
            self.active.pop(lane.name, None)
            self.waiting -= lane.waiting > 0
            self.parked -= lane.parked > 0
        died = list(lane.assigned.values())
        self.assigned -= len(died)
        lane.assigned.clear()
        return self._drop(died)

    def store_gone(self, shard: Shard) -> list[Ticket]:
        """Return every call that had been sent to an object store that is dead."""
        unsent = {ticket.seq: ticket for ticket in shard.unsent}
        died = [ticket for seq, ticket in shard.calls.items() if seq not in unsent]
        shard.calls = unsent
        return self._drop(died)

    def withdraw(self, caller: Caller) -> list[Ticket]:
        """Take out what a caller that has gone would be answered and that has not been handed out.

        What wants no answer is left: nobody waits for it who could have gone. So is what frees an object.
        """
        own = (ticket for ticket in self.queue if ticket.caller is caller)  # no function call for what is others'
        queued = {ticket.seq: ticket for ticket in own if is_withdrawn_with(ticket, caller)}
        if queued:
            kept = [ticket for ticket in self.queue if ticket.seq not in queued]
            self.queue.clear()
            self.queue.extend(kept)
        withdrawn = [*queued.values(), *(ticket for shard in self.shards.all for ticket in shard.withdraw(caller))]
        for ticket in withdrawn:
            self.metrics.outcomes[ticket.label, Outcome.CANCELLED] += 1
        return self._drop(withdrawn)

    def stalls(self, now: int) -> bool:
        """Whether queued calls do not run: as many calls wait as may, and for long none has been answered (ns).

        It may be that they wait for callbacks whose answers wait for these very calls.
        """
        if not (self.too_deep and self.queue):
            self._stalled_since = 0
            return False
        self._stalled_since = self._stalled_since or now
        return now - self._stalled_since >= STALL

    def give_up_queued(self) -> list[Ticket]:
        """Return the calls in the queue, which will not run."""
        queued = list(self.queue)
        self.queue.clear()
        return self._drop(queued)

    def abandon(self) -> list[Ticket]:
        """Return every call that is owed an answer, wherever it is, because none will come any more."""
        left = [*self.queue]
        self.queue.clear()
        for shard in self.shards.all:
            left += shard.calls.values()
            shard.calls.clear()
            shard.unsent.clear()
        for lane in self.lanes.values():
            left += lane.assigned.values()
            lane.assigned.clear()
            lane.ahead = 0
        self.assigned = 0
        self.over += self.asking
        return self._drop(left)

    def _drop(self, tickets: list[Ticket]) -> list[Ticket]:
        self.held_bytes -= sum(len(ticket.params) + TICKET for ticket in tickets)
        return tickets

    # Lanes

    def add_lane(self, name: str) -> Lane:
        """Take a worker that is ready into service."""
        lane = self.lanes[name] = self.active[name] = Lane(name)
        return lane

    def wait(self, lane: Lane) -> None:
        """Note that the running call of a lane asks the host or the store for something."""
        lane.waiting += 1
        self.waiting += lane.waiting == 1
        lane.held = True

    def resume(self, lane: Lane) -> None:
        """Note that it was answered. The lane stays held until its call is done: nobody knows how long that takes."""
        lane.waiting -= 1
        self.waiting -= not lane.waiting and lane.name in self.lanes
        self._stalled_since = 0
        lane.held = bool(lane.assigned) or lane.asks

    def park(self, lane: Lane, seq: int, now: int) -> None:
        """Note that the running call of a lane blocks on other calls (ns of the clock).

        It will not be begun again, so that its parameters are needed no more; there may be many such calls.
        """
        lane.parked += 1
        lane.held = True
        if lane.parked == 1:
            lane.parked_since = now
            self.active.pop(lane.name, None)
            self.parked += 1
        ticket = lane.assigned[seq]
        self.held_bytes -= len(ticket.params)
        ticket.params = b""

    def unpark(self, lane: Lane, now: int) -> None:
        """Note that it goes on (ns of the clock)."""
        lane.parked -= 1
        if not lane.parked:
            lane.parked_for += now - lane.parked_since
            if lane.name in self.lanes:
                self.parked -= 1
                self.active[lane.name] = lane
        lane.held = bool(lane.assigned) or lane.asks
