"""Threads that share one stream of work, of which exactly one leads.

The leader waits for input and does the work itself, because handing each piece to another thread would cost more than
a small method takes. Two things take the lead away from it: it gives it up itself before work that is known to be long,
or a monitor takes it after a few milliseconds of unexpected length. Then another thread leads, and the old one finishes
what it is doing and joins the idle ones. So a slow piece of work delays the rest by milliseconds, and quick work is
done without a thread switch.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from workers.children.fitness import headroom

_PATIENCE = 0.005  # seconds before the lead is taken from a thread that does one thing
_LINGER = 200  # monitor rounds without work before it sleeps until work comes
_MOST_IDLE = 32  # threads kept for later


class Crew:
    """The threads of one process.

    :param lead: called by the leader again and again; it waits for input and works, calls :meth:`working` before and
        :meth:`rested` after each piece of work, and returns as soon as ``rested`` says that the lead is lost, or when
        there will be no more input (True)
    :param glance: called by the monitor in every round, until it says that there is nothing more to watch
    """

    def __init__(self, lead: Callable[[], bool], glance: Callable[[], bool]) -> None:
        self._lead = lead
        self._glance = glance
        self._mutex = threading.Lock()
        self._leader = 0  # ident of the leading thread
        self._since = 0.0  # when it began what it is doing; 0 while it is not
        self._idle: list[threading.Lock] = []
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
        if self._fault is not None:
            raise self._fault

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
        deposed = self._leader, self._since
        self._since = 0.0
        self._leader = 0
        if self._idle:
            self._idle.pop().release()
            return
        try:
            with headroom():
                # Not a threading.Thread, which waits for ever for one that has died of lack of memory.
                _thread.start_new_thread(self._serve, ())
        except (RuntimeError, MemoryError):  # no room for a thread now: the monitor comes back to it
            self._leader, self._since = deposed

    def _serve(self) -> None:
        me = threading.get_ident()
        while True:
            with self._mutex:
                self._leader = self._leader or me
            if self._leader == me and self._lead_to_the_end():
                self._ended.set()
                return
            gate = threading.Lock()
            gate.acquire()
            with self._mutex:
                if len(self._idle) >= _MOST_IDLE:
                    return
                self._idle.append(gate)
            gate.acquire()

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
