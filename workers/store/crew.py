"""Threads that share one stream of work, of which exactly one leads.

The leader waits for input and does the work itself, because handing each piece to another thread would cost more than
a small method takes. Two things take the lead away from it: it gives it up itself before work that is known to be long,
or a monitor takes it after a few milliseconds of unexpected length. Then another thread leads, and the old one finishes
what it is doing and joins the idle ones. So a slow piece of work delays the rest by milliseconds, and quick work is
done without a thread switch.

There is a most of threads, and one cannot always be started. So some are kept in reserve for the lead, and the leader
is to begin nothing that might take the last of them (:attr:`Crew.room`): somebody always takes in what comes.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress

from workers.children.fitness import headroom

_PATIENCE = 0.005  # seconds before the lead is taken from a thread that does one thing
_LINGER = 200  # monitor rounds without work before it sleeps until work comes
_MOST_IDLE = 32  # threads kept for later
_BIRTH = 0.1  # seconds after which a thread that was started and has not come has died of lack of memory
RESERVE = 2  # idle threads that are always to be there, so that the lead can be taken twice, however full it is


class Crew:
    """The threads of one process.

    :param lead: called by the leader again and again; it waits for input and works, calls :meth:`working` before and
        :meth:`rested` after each piece of work, and returns as soon as ``rested`` says that the lead is lost, or when
        there will be no more input (True)
    :param glance: called by the monitor in every round, until it says that there is nothing more to watch
    :param wake: has the leader return from waiting, because there is more room
    :param most: threads that there may be
    :ivar most: the same; may be raised
    :ivar room: what the leader may begin: anything if it is :data:`RESERVE` at least, only what is known to be quick if
        it is less, nothing if it is 0
    """

    def __init__(
        self, lead: Callable[[], bool], glance: Callable[[], bool], wake: Callable[[], None], most: int
    ) -> None:
        self.most = most
        self.room = RESERVE
        self._lead = lead
        self._glance = glance
        self._wake = wake
        self._mutex = threading.Lock()
        self._leader = 0  # ident of the leading thread
        self._since = 0.0  # when it began what it is doing; 0 while it is not
        self._idle: list[threading.Lock] = []
        self._threads = 0
        self._expected_since = 0.0  # when a thread was started that has not come yet; 0 if there is none
        self._work = threading.Event()
        self._asleep = False
        self._ended = threading.Event()
        self._fault: BaseException | None = None

    def run(self) -> None:
        """Work until there is no more input. The calling thread only waits, so that no piece of work can keep it.

        :raises Exception: what a leader raised outside of any piece of work; nobody leads any more
        """
        for name, target in (("monitor", self._monitor), ("crew", self._serve)):
            threading.Thread(target=target, name=name, daemon=True).start()
        self._ended.wait()
        self._dismiss()
        if self._fault is not None:
            raise self._fault

    @property
    def leader(self) -> int:
        """The ident of the leading thread; 0 for the moment in which none leads."""
        return self._leader

    def working(self) -> None:
        """Note that the calling thread, if it leads, begins a piece of work."""
        if self._leader != threading.get_ident():
            return
        self._since = time.monotonic()
        if self._asleep:
            self._work.set()

    def rested(self) -> bool:
        """Note that the calling thread has done it, and return whether it still leads."""
        with self._mutex:
            if self._leader != threading.get_ident():
                return False
            self._since = 0.0
            return True

    def give_up_lead(self) -> None:
        """Let another thread lead, if the calling one does: it is about to wait, or to work for long."""
        with self._mutex:
            if self._leader == threading.get_ident():
                self._promote()

    def _promote(self) -> None:
        if self._idle:
            self._leader = 0
            self._since = 0.0
            self._idle.pop().release()
        self._recruit()  # without anybody to take the lead it stays where it is, and the monitor comes back to it

    def _recruit(self) -> None:
        """Start a thread if there are too few in reserve, and if it can be."""
        now = time.monotonic()
        if now - self._expected_since > _BIRTH:
            self._expected_since = 0.0
        wanted = len(self._idle) < RESERVE and self._threads < self.most and not self._expected_since
        if wanted and self._start():
            self._expected_since = now
        self._note_room()

    def _start(self) -> bool:
        try:
            with nullcontext() if self._idle else headroom():
                # Not a threading.Thread, which waits for ever for one that has died of lack of memory.
                _thread.start_new_thread(self._serve, ())
        except (RuntimeError, MemoryError):  # no room for a thread now: the monitor comes back to it
            return False
        return True

    def _note_room(self) -> None:
        before, idle = self.room, len(self._idle)
        if self._threads - idle <= 1:  # whoever leads; if no more can be had, this has to do
            self.room = RESERVE
        else:
            self.room = idle and idle + (self._expected_since > 0)
        if before < min(self.room, RESERVE):
            self._wake()

    def _serve(self) -> None:
        with self._mutex:
            self._expected_since = 0.0
            if self._threads >= self.most:
                return
            self._threads += 1
        try:
            self._take_turns()
        finally:
            with self._mutex:
                self._threads -= 1

    def _take_turns(self) -> None:
        me = threading.get_ident()
        while not self._ended.is_set():
            with self._mutex:
                self._leader = self._leader or me
                self._recruit()
            if self._leader == me and self._lead_to_the_end():
                self._ended.set()
                return
            gate = threading.Lock()
            gate.acquire()
            if not self._join_idle(gate):
                return
            gate.acquire()

    def _join_idle(self, gate: threading.Lock) -> bool:
        with self._mutex:
            if len(self._idle) >= _MOST_IDLE or self._ended.is_set():
                return False
            self._idle.append(gate)
            self._recruit()
            return True

    def _dismiss(self) -> None:
        with self._mutex:
            while self._idle:
                self._idle.pop().release()

    def _lead_to_the_end(self) -> bool:
        try:
            return self._lead()
        except BaseException as fault:
            self._fault = fault
            return True

    def _monitor(self) -> None:
        quiet, watching, leaderless = 0, False, False
        while not self._ended.is_set():
            time.sleep(_PATIENCE)
            with suppress(MemoryError):
                watching = self._glance()
            with self._mutex:
                busy = self._since > 0
                if (busy and time.monotonic() - self._since > _PATIENCE) or (leaderless and not self._leader):
                    self._promote()
                elif len(self._idle) < RESERVE:
                    self._recruit()
                leaderless = not self._leader  # whoever is to lead may have died before it could
            quiet = 0 if busy or watching or leaderless else quiet + 1
            if quiet > _LINGER:
                self._sleep()
                quiet = 0

    def _sleep(self) -> None:
        self._work.clear()
        self._asleep = True
        if not self._since:
            self._work.wait()
        self._asleep = False
