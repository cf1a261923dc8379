"""One host's conversation with the plugin: events in, messages out. Pure: it sends through a function it is given."""

from __future__ import annotations

from collections.abc import Callable

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import (
    Batch,
    Event,
    Invalid,
    Outgoing,
    Request,
    Response,
    encode_batch,
    encode_error,
    encode_failure,
    encode_request,
    encode_result,
)
from scriptling.protocol.messages import Method
from workers.calls.tickets import Ticket
from workers.front_end.owners import STDIO
from workers.front_end.service import Ends, Service

Answered = Callable[[Response], None]
"""What is to happen with a host's answer."""


class BatchReply:
    """The answers to one batch, sent together when the last is there, in the order of the requests."""

    def __init__(self, size: int) -> None:
        self._messages: list[bytes | None] = [None] * size
        self._missing = size

    def put(self, slot: int, message: bytes) -> bytes | None:
        """Keep one answer, and return the whole array if it was the last."""
        self._messages[slot] = message
        self._missing -= 1
        if self._missing:
            return None
        return encode_batch(message for message in self._messages if message is not None)


class Session:
    """A host that is connected, or one exchange with a host that is not.

    :param send: takes one message, a whole JSON text without line end
    :param flags: what the host can take, known from the transport; the handshake may add to it
    :param session: number of the owner of what it makes (:mod:`workers.front_end.owners`); sessions may share one
    :param timeout: seconds that any of its calls may execute, where the server does not say less; 0 is no bound
    :ivar congested: whether the host does not read what was sent already; set by the transport
    :ivar ends: what ``plugin.shutdown`` ends; set by the transport
    :ivar owed: how many accepted calls have not been answered that are to be
    :ivar left: whether it has ended, although calls of it may still run
    """

    def __init__(
        self,
        service: Service,
        send: Callable[[bytes], None],
        flags: int,
        session: int = STDIO,
        timeout: float = 0,
    ) -> None:
        self.flags = flags
        self.session = session
        self.timeout = timeout
        self.ends = Ends.SERVER
        self.owed = 0
        self.left = False
        self.congested: Callable[[], bool] = bool
        self._service = service
        self._send = send
        self._outgoing: Outgoing[Answered] = Outgoing()
        self._early: list[Event] | None = []
        self._accepting = False  # what came early was accepted, even if the server has begun to end since
        self._refusal: RpcError | None = None
        self._gone = False

    def open(self) -> None:
        """Begin to answer: the service is ready. What came earlier is handled now, in its order."""
        early, self._early = self._early or [], None
        self._accepting = True
        for event in early:
            self.receive(event)
        self._accepting = False

    def refuse(self, error: RpcError) -> None:
        """Answer every request with an error, because the service will never be ready."""
        self._refusal = error
        self.open()

    @property
    def early(self) -> int:
        """How many messages wait for the service to be ready."""
        return len(self._early or ())

    def receive(self, event: Event) -> None:
        """Take one message of the host."""
        if self._early is not None and not isinstance(event, Invalid):
            self._early.append(event)
        elif isinstance(event, Request):
            self._request(event, None, 0)
        elif isinstance(event, Response):
            self._response(event)
        elif isinstance(event, Invalid):
            self._service.note_refusal(event.error)
            self._send(encode_error(event.id, event.error))
        else:
            self._batch(event)

    def _request(self, request: Request, batch: BatchReply | None, slot: int) -> None:
        try:
            if self._refusal is not None:
                raise self._refusal
            if not self._accepting:
                self._service.check_open()
            result = self._service.handle(self, request, batch, slot)
        except RpcError as error:
            self._service.note_refusal(error)
            self._reply(request.id, batch, slot, encode_error(request.id, error))
        else:
            if result is None:
                self.owed += bool(request.id)
            else:
                self._reply(request.id, batch, slot, encode_result(request.id, result))

    def _batch(self, event: Batch) -> None:
        wanted = [item for item in event.items if isinstance(item, Invalid) or (isinstance(item, Request) and item.id)]
        reply = BatchReply(len(wanted))
        slot = 0
        for item in event.items:
            if isinstance(item, Response):
                self._response(item)
            elif isinstance(item, Invalid):
                self._service.note_refusal(item.error)
                self._reply(item.id, reply, slot, encode_error(item.id, item.error))
                slot += 1
            else:
                self._request(item, reply, slot)
                slot += bool(item.id)

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        """Answer an accepted call (see :class:`workers.calls.tickets.Caller`)."""
        if not ticket.id:
            return
        self.owed -= 1
        message = encode_failure(ticket.id, payload) if failed else encode_result(ticket.id, payload)
        batch = ticket.batch
        if batch is None:
            self._send(message)
        elif isinstance(batch, BatchReply):
            self._reply(ticket.id, batch, ticket.slot, message)

    def _reply(self, id: bytes, batch: BatchReply | None, slot: int, message: bytes) -> None:
        if not id:
            return
        if batch is not None:
            whole = batch.put(slot, message)
            if whole is None:
                return
            message = whole
        self._send(message)

    def _response(self, response: Response) -> None:
        answered = self._outgoing.take(response.id)
        if answered is not None:  # else: answered twice, or too late, or to a notification of ours
            answered(response)

    def call_host(self, method: str, params: bytes, answered: Answered) -> int:
        """Send a request of ours to the host, and return its id."""
        number = self._outgoing.add(answered)
        if self._gone:
            self.close()
            return number
        self._send(encode_request(number, method, params))
        return number

    @property
    def owes(self) -> int:
        """How many requests of ours the host has not answered."""
        return len(self._outgoing)

    def log(self, params: bytes) -> None:
        """Send a log record to the host, unless it does not read; what it answers is of no interest."""
        if self._gone or self.congested():
            return
        number = self._outgoing.add(lambda response: None)
        self._send(encode_request(number, Method.HOST_LOG, params))
        self._outgoing.discard(number)

    def forget(self, number: int) -> None:
        """Nobody waits for the answer to a request of ours any more."""
        self._outgoing.discard(number)

    def leave(self) -> None:
        """Send nothing any more, and give an error to whoever waits for an answer of the host."""
        self.left = True
        self._send = _drop
        self._early = None if self._early is None else []
        self.close()

    def close(self) -> None:
        """Give an error to whoever waits for an answer of the host, which is gone."""
        self._gone = True
        gone = RpcError(ErrorCode.SHUTTING_DOWN, f"the host has gone away without answering {Method.CALLBACK_CALL}")
        for answered in self._outgoing.drain():
            answered(Response(error=gone))


def _drop(message: bytes) -> None:
    return None
