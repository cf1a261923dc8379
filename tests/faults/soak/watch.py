"""The first thing that went wrong ends everything; and the threads that do the work."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from tests.faults.soak.ledger import ViolationError

JOIN = 90.0  # seconds for a thread to come to its end


class Watch:
    """Starts threads, and hears of their faults.

    :ivar fault: what went wrong first; empty if nothing has
    :ivar over: set when nothing new is to be begun
    :ivar resting: set while that is so for a moment
    :ivar news: set when there is a fault
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self.resting = threading.Event()
        self.news = threading.Event()
        self.fault = ""
        self._threads: list[threading.Thread] = []

    def fail(self, error: BaseException | str) -> None:
        """Note a fault, unless there is one already."""
        if not self.fault:
            self.fault = error if isinstance(error, str) else "".join(traceback.format_exception(error))
        self.over.set()
        self.news.set()

    def check(self) -> None:
        """Look whether all is well.

        :raises ViolationError: it is not
        """
        if self.fault:
            raise ViolationError(self.fault)

    def start(self, name: str, act: Callable[[], object]) -> None:
        """Do something in a thread of its own; what it raises is a fault."""
        thread = threading.Thread(target=self._run, args=(act,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            self.fail(error)

    def join(self) -> None:
        """Wait for all threads.

        :raises ViolationError: one of them does not end
        """
        for thread in self._threads:
            thread.join(JOIN)
            if thread.is_alive():
                self.check()
                raise ViolationError(f"the thread {thread.name} did not end within {JOIN:g} s")
        self.check()
