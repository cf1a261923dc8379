"""A worker: takes calls, runs each in a fresh evaluator, encodes what comes of it.

One frame brings several calls. Before each the worker claims it (:mod:`workers.calls.claims`); after each it writes the
reply to its journal (:mod:`workers.calls.journal`). Replies leave in one frame when the batch is done, when they have
waited for half a millisecond, and before a call that is known to take long. That of a lone call leaves before what the
call did to the process is undone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

import msgspec

from scriptling.evaluator import Evaluator
from scriptling.log import LEVELS
from scriptling.protocol.messages import FunctionCall, decode_params
from scriptling.registry import Declaration, Handler
from scriptling.runtime import context, counts
from scriptling.runtime.sockets import Ask
from scriptling.settings import Settings
from workers import frames
from workers.calls import claims
from workers.calls.journal import Writer
from workers.children import host_log
from workers.children.asking import Asker, Scope
from workers.children.fitness import Fitness
from workers.children.outcomes import check_size, encode_error, run_coroutine
from workers.children.remote_objects import RemoteObjects
from workers.frames import Call, Calls, Hello, Init, Kind, Ping, Reply, Stopped, Want
from workers.front_end.metrics import Report
from workers.sockets import Line

_SHORT = 200_000  # ns; a call expected to take longer does not keep done replies waiting
_OLD = 500_000  # ns that a done reply may wait for others

_REPORT = 500_000_000  # ns between two reports of what was counted

_encode_reply = msgspec.msgpack.Encoder().encode


Runner = Callable[[Call], bytes]
"""Runs a call, and returns the payload of its reply."""


@dataclass
class Post:
    """What a worker is given at birth: its name, its way to the front-end, its claims and its journal."""

    name: str
    key: str
    line: Line
    claims: int
    journal: Writer


class Outbox:
    """Done replies on their way into frames."""

    def __init__(self, line: Line, journal: Writer) -> None:
        self._line = line
        self._journal = journal
        self._oldest = 0

    def put(self, reply: Reply, now: int) -> None:
        """Keep a reply for the next frame; from here on the death of this process does not lose it."""
        encoded = _encode_reply(reply)
        if not self._journal.unsent:
            self._oldest = now
        if self._journal.add(encoded):
            return
        self.flush()
        self._await_acknowledgement()
        if not self._journal.add(encoded):
            self._line.send(self._journal.frame_alone(encoded))
            self._await_acknowledgement()

    def flush(self) -> None:
        """Send what there is."""
        if self._journal.unsent:
            self._line.send(self._journal.frame())

    def flush_if_old(self, now: int) -> None:
        """Send what there is if its oldest reply has waited long enough."""
        if self._journal.unsent and now - self._oldest > _OLD:
            self.flush()

    def _await_acknowledgement(self) -> None:
        # Once in a few thousand replies, and after each that is larger than the journal. There is nothing to sleep on
        # in shared memory, and the front-end answers in tens of microseconds.
        while not self._journal.acknowledged:
            time.sleep(0.00005)


class _Scope(Scope):
    """A call of a worker while it runs."""

    __slots__ = ("_before_asking",)

    def __init__(self, call: Call, before_asking: Callable[[], None]) -> None:
        super().__init__(call)
        self._before_asking = before_asking

    def pause(self, parks: bool) -> None:
        """See :meth:`Scope.pause`."""
        self._before_asking()


class Worker:
    """The loop of one worker process."""

    def __init__(self, post: Post, settings: Settings, evaluator: Evaluator) -> None:
        self._post = post
        self._settings = settings
        self._evaluator = evaluator
        self._outbox = Outbox(post.line, post.journal)
        self._calls: deque[Call] = deque()
        self._durations: dict[str, int] = {}
        self._handlers: dict[str, Handler] = {}
        self._others: dict[int, Runner] = {}
        self._stopping = False
        self._fitness = Fitness(settings.max_rss)
        self._unfit = False
        self._reported = 0
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        self._asker = Asker(post.line, post.name, post.key, settings.max_depth)

    def run(self) -> None:
        """Serve until told to stop."""
        host_log.install(self._asker, LEVELS[self._settings.log_level])
        self._asker.note_received = self._post.journal.note_received
        context.connect(self._asker.ask_others)
        self._greet()
        while not self._stopping:
            self._take_frame()
            self._work()
            now = time.monotonic_ns()
            self._examine(now)
            if counts.operations and now - self._reported > _REPORT:
                self._report(now)
        if counts.operations:
            self._report(time.monotonic_ns())

    def _examine(self, now: int) -> None:
        if not self._unfit and self._fitness.is_lost(now):
            self._unfit = True
            self._post.line.send(frames.encode(Stopped()))

    def _report(self, now: int) -> None:
        self._reported = now
        self._post.line.send(frames.encode(Report(operations=counts.take())))

    def _receive(self) -> bytes:
        """Return the next frame; while there is none, say what has not been said of what was counted."""
        if counts.operations:
            frame = self._post.line.recv_within(_REPORT / 1e9)
            if frame is not None:
                return frame
            self._report(time.monotonic_ns())
        return self._post.line.recv()

    def _greet(self) -> None:
        self._post.line.send(frames.encode(Hello()))

    def _take_frame(self) -> None:
        frame = frames.decode_for_child(self._receive())
        if isinstance(frame, Calls):
            self._calls.extend(frame.calls)
        elif isinstance(frame, Init):
            self._initialise(frame)
        elif isinstance(frame, Ping):
            self._greet()
        else:
            self._stopping = True

    def _initialise(self, init: Init) -> None:
        self._handlers = {function.name: function.handler for function in init.declaration.functions}
        self._others = self._runners(init.declaration)
        self._asker.objects = RemoteObjects(self._asker, init)

    def _runners(self, declaration: Declaration) -> dict[int, Runner]:
        """Return what runs the calls that are no calls of a plugin's functions, by their kind."""
        runners: dict[int, Runner] = {}
        if declaration.methods:
            from workers.children.plain_calls import PlainCalls  # noqa: PLC0415 - only where there are any

            plain = PlainCalls(self._evaluator, declaration, self._settings)
            runners[Kind.RPC_METHOD] = runners[Kind.RPC_NOTIFICATION] = plain.run
        if declaration.routes:
            from workers.web.calls import WebCalls  # noqa: PLC0415 - likewise

            web = WebCalls(self._evaluator, declaration, self._settings, self._socket)
            runners[Kind.HTTP], runners[Kind.SOCKET] = web.run, web.talk
        return runners

    def _socket(self, call: Call) -> Ask:
        """Return how the call that runs in this thread asks for what it does with its WebSocket."""
        scope = self._asker.scope()
        assert scope is not None
        return lambda operation, content, patience: self._asker.ask(
            scope, Want.SOCKET, call.target, content, operation, patience
        )

    def _work(self) -> None:
        outbox, journal, clock = self._outbox, self._post.journal, time.monotonic_ns
        now = clock()
        alone = len(self._calls) == 1
        while (call := self._claim()) is not None:
            if self._durations.get(call.target, _SHORT) >= _SHORT:
                outbox.flush()
            journal.begin(call.seq, clock())
            failed, payload = self._execute(call)
            if os.getpid() != self._pid:
                os._exit(0)  # the handler has forked: this child of ours is nobody's worker
            begun, now = now, clock()
            self._durations[call.target] = now - begun
            outbox.put(Reply(call.seq, failed, payload, now - begun), now)
            if alone:
                outbox.flush()  # its caller does not have to wait for the tidying up
                alone = False
            else:
                outbox.flush_if_old(now)
            self._evaluator.tidy()
            if self._fitness.is_due(now):
                self._examine(now)
        journal.end()
        outbox.flush()

    def _claim(self) -> Call | None:
        seq = claims.claim(self._post.claims)
        if seq is None:
            self._calls.clear()  # taken back by the front-end
            return None
        while True:
            while not self._calls:
                self._take_frame()
            call = self._calls.popleft()
            if call.seq == seq:
                return call

    def _execute(self, call: Call) -> tuple[bool, bytes]:
        scope = _Scope(call, self._before_asking)
        self._asker.enter(scope)
        self._asker.elsewhere = scope
        self._evaluator.begin()
        try:
            return False, self._evaluate(call, scope)
        except BaseException as error:
            return True, encode_error(error, self._settings.show_traceback)
        finally:
            scope.active = False
            self._asker.enter(None)
            self._evaluator.repair()

    def _before_asking(self) -> None:
        # Done replies must not wait for the host's answer. A handler's own threads must not touch the socket.
        if threading.get_ident() == self._thread:
            self._outbox.flush()

    def _evaluate(self, call: Call, scope: Scope) -> bytes:
        if call.kind != Kind.FUNCTION:
            return self._others[call.kind](call)
        params = decode_params(call.params, FunctionCall)
        args, kwargs = self._asker.decoder(scope).arguments(params.args, params.kwargs)
        function = self._evaluator.function(self._handlers[call.target])
        result: Any = function(*args, **kwargs)
        if type(result) is CoroutineType:
            result = run_coroutine(result)
        return check_size(self._asker.encoder(scope).encode(result), self._settings.max_message)
