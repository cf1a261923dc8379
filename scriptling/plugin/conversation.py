"""Our side of a two-way conversation, sans threads and event loops: what is said when, and who is meant.

Rules: protocol sections 1, 2 and 4. Whoever drives a :class:`Conversation` (a thread with ``poll``, or an event loop)
tells it what can be read and written, and calls it from nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import partial

from scriptling.errors import ErrorCode, PluginError, PluginTimeout, RpcError
from scriptling.plugin.calls import CALLBACK_GONE, Call, Invocation, shown
from scriptling.plugin.channel import Channel
from scriptling.plugin.hostlog import HostLog
from scriptling.plugin.session import Answered, Asked, Event, Exchange, Session, Violation
from scriptling.protocol.jsonrpc import Request, encode_error, encode_result
from scriptling.protocol.messages import NULL_VALUE, CallbackCall, Method, decode_params


class Conversation:
    """The exchanges over one channel, and the callbacks that the plugin may call.

    :param label: what errors call the plugin
    :param goodbye: whether it is told ``plugin.shutdown`` before the end
    :param reply: takes an invocation with its answer from whoever ran it, and has :meth:`answer` called
    """

    def __init__(
        self,
        label: str,
        channel: Channel,
        log: HostLog,
        goodbye: bool,
        reply: Callable[[Invocation, bytes], None],
    ) -> None:
        self._label = label
        self._channel = channel
        self._log = log
        self._goodbye = goodbye
        self._reply = reply
        self._session = Session()
        self._callbacks: dict[str, Call] = {}
        self._asked: dict[bytes, Invocation] = {}
        # Stands for who closes: its own calls cannot end before it is done.
        self._closer: Call | None = None
        self._violation = ""

    @property
    def last_word(self) -> str:
        """What the plugin did that ended the conversation; empty while it goes on."""
        return self._violation or self._channel.lost

    @property
    def deserted(self) -> bool:
        """Whether the plugin works on calls whose callers have left."""
        return self._session.deserted

    # -- what happens on the channel -----------------------------------------------------------------------------------

    def receive(self, ready: Container[int]) -> None:
        """Take what has come."""
        self._take(self._channel.receive(ready))

    def flush(self) -> None:
        """Write what can be written, and close the output if it is time for that."""
        self._channel.flush()
        if self._closer is not None:
            self._close_output(self._closer)

    def conclude(self, rest: Sequence[bytes]) -> str:
        """Take what came last, and return the sentence that says how the conversation ended."""
        self._take(rest)
        for invocation in self._asked.values():
            invocation.closed = True
        return f"{self._label} {self.last_word}{self._channel.report()}"

    def too_late(self, request: tuple[str, bytes], seconds: float) -> PluginTimeout:
        """Return the error for a request that was not answered in time; callable by any thread."""
        text = f"{self._label} did not answer {shown(request)} within {seconds:g} seconds{self._channel.report()}"
        return PluginTimeout(text, ErrorCode.TIMED_OUT)

    def drop(self, failure: Callable[[], PluginError] | None) -> None:
        """Wake all who wait for what will not come."""
        for exchange in self._session.close():
            if isinstance(exchange, Call):
                exchange.finish(failure)

    def _take(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._handle(self._session.feed(piece) if self._channel.lines else self._session.message(piece))
        if self._channel.lost:
            self._handle(self._session.end())

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Answered):
                if isinstance(event.exchange, Call):
                    self._detach(event.exchange)
                    event.exchange.finish()
            elif isinstance(event, Asked):
                self._serve(event.request)
            elif isinstance(event, Violation):
                self._violation = self._violation or event.sentence
                return

    # -- what callers want ---------------------------------------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Send an exchange, and let its callbacks be called from now on; after the end it waits for :meth:`drop`."""
        if self._channel.closed and not self.last_word:
            if isinstance(exchange, Call):
                exchange.finish(partial(PluginError, f"{self._label} is being unloaded"))
            return
        if isinstance(exchange, Call):
            self._callbacks.update(dict.fromkeys(exchange.callbacks, exchange))
        self._channel.send(self._session.open(exchange))

    def abandon(self, call: Call) -> None:
        """Forget a call whose caller has left, so that neither side waits for anything of it."""
        self._session.abandon(call)
        self._detach(call)

    def answer(self, answer: tuple[Invocation, bytes]) -> None:
        """Send the answer to a callback, unless it has one already."""
        invocation, text = answer
        if not invocation.closed:
            invocation.closed = True
            self._asked.pop(invocation.request.id, None)
            self._respond(invocation.request, text)

    def begin_closing(self, closer: Call) -> None:
        """Say goodbye, and close the output when the calls of all but the closer are through."""
        first, self._closer = self._closer is None, closer
        if self._goodbye and first:
            self.begin(Exchange([(Method.SHUTDOWN, b"")]))

    def _detach(self, call: Call) -> None:
        """End the life of a call's callbacks (protocol section 4), and answer those that are being called."""
        for id in call.callbacks:
            self._callbacks.pop(id, None)
        if call.callbacks and self._asked:
            for invocation in [asked for asked in self._asked.values() if asked.call is call]:
                self.answer((invocation, encode_error(invocation.request.id, _gone())))

    def _close_output(self, closer: Call) -> None:
        """Close the output as soon as nobody needs it, or what comes after it, any more."""
        if not self._channel.unwritten and not self._channel.closed and not self._needed(closer):
            self._channel.close_output()
            self._channel.flush()

    def _needed(self, closer: Call) -> bool:
        """Whether there are calls of others to be finished; or the goodbye, where an answer needs an open channel."""
        patient = self._channel.answers_after_close
        return any(
            exchange.waiter is not closer.waiter if isinstance(exchange, Call) else not patient
            for exchange in self._session.waiting
        )

    # -- requests of the plugin ----------------------------------------------------------------------------------------

    def _serve(self, request: Request) -> None:
        """Do what the plugin asks for, or have it done."""
        try:
            if request.method == Method.CALLBACK_CALL:
                self._call_back(request)
            elif request.method == Method.HOST_LOG:
                self._log.take(request.params)
                self._respond(request, encode_result(request.id, NULL_VALUE))
            else:
                unknown = RpcError(ErrorCode.METHOD_NOT_FOUND, f"unknown method {request.method}")
                self._respond(request, encode_error(request.id, unknown))
        except RpcError as error:
            self._respond(request, encode_error(request.id, error))

    def _call_back(self, request: Request) -> None:
        id = decode_params(request.params, CallbackCall).id
        call = self._callbacks.get(id)
        if call is None:
            raise _gone()
        invocation = Invocation(request, call, call.callbacks[id], self._reply)
        if not request.is_notification:
            self._asked[request.id] = invocation
        call.serve(invocation)

    def _respond(self, request: Request, text: bytes) -> None:
        if not request.is_notification:
            self._channel.send(text)


def _gone() -> RpcError:
    return RpcError(ErrorCode.HANDLER_ERROR, CALLBACK_GONE)
