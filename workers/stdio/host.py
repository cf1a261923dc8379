"""The one host of a server over stdio: lines in, lines out, and what its going away looks like."""

from __future__ import annotations

import logging
import os
import select

from scriptling.protocol.jsonrpc import LineReader, parse
from scriptling.settings import Settings
from workers import reactor
from workers.frames import Flag
from workers.front_end.frontend import FrontEnd
from workers.front_end.session import Session
from workers.reactor import Reactor
from workers.stdio.streams import Sink, Source

_MEBIBYTE = 1 << 20
_MUCH = _MEBIBYTE  # of answers that the host has not read, until it gets no log records
_MOST_OUTPUT = 32 * _MEBIBYTE  # of answers that wait for the host to read, until no more calls are read
_MOST_REFUSALS = 32 * _MEBIBYTE  # of further answers, while calls wait for callbacks, until nothing is read
_LONG = 1 << 16  # bytes of a message from which on more of it is read at a time
_HASTE = 0.4  # seconds to end in when nobody can get an answer any more

_log = logging.getLogger("scriptling.stdio")


class StdioHost:
    """The host at the other end of stdin and stdout."""

    def __init__(self, front_end: FrontEnd, loop: Reactor, settings: Settings, source: int, sink: int) -> None:
        self._front_end = front_end
        self._loop = loop
        self._max_queue = settings.max_queue
        self._max_batch = settings.max_batch
        self._lines = LineReader(settings.max_message * _MEBIBYTE)
        self._source = Source(source)
        self._sink = Sink(sink)
        self._gone = False
        self._session = Session(front_end.life.service, self._sink.put_line, Flag.CALLBACKS)
        self._session.congested = lambda: self._sink.size > _MUCH
        front_end.life.open(self._session)
        front_end.flush = self.flush
        front_end.output_waits = lambda: self._sink.size > 0
        front_end.output_full = lambda: self._sink.size > _MOST_OUTPUT
        loop.watch(self._source.fd, reactor.READ, lambda events: self._read())
        loop.watch(self._sink.fd, 0, self._look_at_output)
        self._traffic = front_end.metrics.traffic_of("stdio")
        self._watch_parent()

    def _watch_parent(self) -> None:
        """End with the process that started us, even if somebody else holds our stdin open."""
        parent = os.getppid()
        if parent > 1:
            pidfd = os.pidfd_open(parent)
            self._loop.watch(pidfd, reactor.READ, lambda events: self._parent_died(pidfd))

    def _parent_died(self, pidfd: int) -> None:
        self._loop.forget(pidfd)
        self._end_of_input()

    def flush(self) -> None:
        """Write what the host takes, and read from it again or no more, as what is in flight allows."""
        waiting = self._sink.size
        self._sink.flush()
        self._traffic.sent += waiting - self._sink.size
        if self._sink.closed:
            self._output_closed()
            return
        self._loop.want(self._sink.fd, reactor.WRITE if self._sink.size else 0)
        if not self._gone:
            self._loop.want(self._source.fd, 0 if self._is_full() else reactor.READ)

    def _is_full(self) -> bool:
        """Whether no more may be read now. While calls wait for callbacks it must be: their answers come this way.

        Whatever else comes by then runs when the host has read, or is refused; so that only refusals, and answers that
        take no worker, add to what waits for the host.
        """
        dispatcher = self._front_end.dispatcher
        if self._session.early > self._max_queue:
            return True
        if dispatcher.waiting:
            return self._sink.size > _MOST_OUTPUT + _MOST_REFUSALS
        return self._sink.size > _MOST_OUTPUT or dispatcher.is_full or len(dispatcher.queue) > self._max_queue

    def _read(self) -> None:
        data = self._source.read(in_long_message=self._lines.held > _LONG)
        if data is None:
            return
        self._traffic.received += len(data)
        receive, max_batch = self._session.receive, self._max_batch
        for line in self._lines.feed(data) if data else self._lines.end():
            receive(parse(line, max_batch) if isinstance(line, bytes) else line)
        if not data:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """Answer what is in flight, then end; callbacks will not be answered any more."""
        if self._gone:
            return
        self._gone = True
        self._loop.forget(self._source.fd)
        self._session.close()
        self._front_end.life.begin_ending()

    def _look_at_output(self, events: int) -> None:
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            self._sink.close()
            self._output_closed()

    def _output_closed(self) -> None:
        if self._loop.forget(self._sink.fd):
            _log.warning("the host has closed our stdout; ending")
            self._end_of_input()
            self._front_end.life.begin_ending(grace=_HASTE)
