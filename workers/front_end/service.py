"""The plugin as a service: its methods by name, its handshake, and which calls it accepts. Pure: no sockets, no clock.

Every request of every session comes through :meth:`Service.handle`, whatever the transport.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from msgspec import Raw

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import Request
from scriptling.protocol.messages import (
    BIG_INTEGERS,
    SERVER_CAPABILITIES,
    CallHead,
    ClassSchema,
    ConstantSchema,
    FunctionSchema,
    HandshakeParams,
    HandshakeResult,
    LibraryInfo,
    Method,
    Schema,
    decode_params,
    encode_message,
)
from scriptling.registry import Declaration
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Caller, Ticket
from workers.frames import Flag, Kind
from workers.words import available, shown

_NULL = b"null"


class Ends(Enum):
    """What a host ends with ``plugin.shutdown``."""

    SERVER = "server"
    OWNER = "owner"  # everything that it owns
    NOTHING = "nothing"  # it shares what it owns with others


class Host(Caller, Protocol):
    """The session that a request came in by.

    :ivar flags: members of :class:`~workers.frames.Flag`; what this host can take
    :ivar timeout: seconds that its calls may execute at most; 0 is no bound
    :ivar ends: what its ``plugin.shutdown`` ends
    """

    flags: int
    timeout: float
    ends: Ends

    @property
    def owes(self) -> int:
        """How many callbacks it has not answered."""


@dataclass(frozen=True)
class Gone:
    """Stands in for a session that has ended as the caller of what is done on that account."""

    session: int

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        """See :class:`workers.calls.tickets.Caller`; nobody is there."""


@dataclass
class Offer:
    """What is served, once setup and object store have said so.

    :ivar timeouts: seconds of execution allowed, by function name
    """

    handshake: bytes = b""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    classes: frozenset[str] = frozenset()


def make_offer(
    declaration: Declaration,
    functions: Sequence[FunctionSchema],
    classes: Sequence[ClassSchema],
    timeout: float,
) -> Offer:
    """Return the offer for a declaration whose functions and classes have been described.

    :param timeout: seconds, for functions that were registered without one of their own
    """
    constants = [ConstantSchema(constant.name, Raw(constant.value)) for constant in declaration.constants]
    library = LibraryInfo(declaration.library, declaration.version, declaration.description)
    schema = Schema(list(functions), list(classes), constants)
    handshake = encode_message(HandshakeResult(library, schema, capabilities=list(SERVER_CAPABILITIES)))
    timeouts = {each.name: timeout if each.timeout is None else each.timeout for each in declaration.functions}
    return Offer(handshake, timeouts, frozenset(each.name for each in classes))


class Methods(Protocol):
    """Methods that a script serves itself."""

    def handle(self, host: Host, request: Request, batch: object, slot: int) -> bytes | None:
        """Do as :meth:`Service.handle` does."""


class Service:
    """Turns requests into answers or tickets.

    :param begin_shutdown: called for ``plugin.shutdown``
    :param timeout: seconds that constructors and methods may execute
    """

    def __init__(self, dispatcher: Dispatcher, begin_shutdown: Callable[[], None], timeout: float) -> None:
        self.offer = Offer()
        self.plain: Methods | None = None
        """What is served in place of the plugin protocol, where the script has no plugin to serve."""
        self.draining = False
        self._dispatcher = dispatcher
        self._timeout = timeout
        self._calls: dict[str, Callable[[Host, CallHead, Ticket], None]] = {
            Method.FUNCTION_CALL: self._call_function,
            Method.OBJECT_NEW: self._new_object,
            Method.OBJECT_CALL: self._call_method,
            Method.OBJECT_DESTROY: self._destroy_object,
        }
        self._others: dict[str, Callable[[Host, Request], bytes]] = {
            Method.HANDSHAKE: self._handshake,
            Method.ENVIRONMENT_OPEN: lambda host, request: _NULL,
            Method.ENVIRONMENT_CLOSE: lambda host, request: _NULL,
        }
        self._begin_shutdown = begin_shutdown

    def note_refusal(self, error: RpcError) -> None:
        """Count a request that is answered without being accepted."""
        self._dispatcher.metrics.refusals[int(error.code)] += 1

    def check_open(self) -> None:
        """Refuse a new request if there is no room for it, or if the server ends and it cannot come from a callback.

        :raises RpcError: it is refused
        """
        if self._dispatcher.is_full and self._dispatcher.waiting:
            # Elsewhere the host is simply not read from. Here it has to be, because callbacks are answered that way.
            raise RpcError(ErrorCode.OVERLOADED, "too many calls are in flight; wait for answers before sending more")
        if self.draining and not self._dispatcher.waiting:
            raise RpcError(ErrorCode.SHUTTING_DOWN, "the plugin is shutting down and takes no new calls")

    def handle(self, host: Host, request: Request, batch: object = None, slot: int = 0) -> bytes | None:
        """Return the result of a request, or None if its answer will come from a ticket.

        :raises RpcError: the request is refused
        """
        if self.plain is not None:
            return self.plain.handle(host, request, batch, slot)
        call = self._calls.get(request.method)
        if call is None:
            return self._handle_other(host, request, batch, slot)
        head = decode_params(request.params, CallHead)
        if head.timeout is not None and not 0 < head.timeout < math.inf:
            raise RpcError(
                ErrorCode.INVALID_PARAMS, "invalid params: params.timeout must be a number of seconds above 0"
            )
        ticket = Ticket(
            self._dispatcher.next_seq(), host, Kind.FUNCTION, "", "", request.params, host.flags, self._timeout,
            request.id, batch, slot,
        )  # fmt: skip
        call(host, head, ticket)
        if head.timeout is not None or host.timeout:
            ticket.timeout = least_timeout(ticket.timeout, host.timeout, head.timeout)
        return None

    def _handle_other(self, host: Host, request: Request, batch: object, slot: int) -> bytes | None:
        if request.method == Method.SHUTDOWN:
            return self._shut_down(host, request.id, batch, slot)
        handler = self._others.get(request.method)
        if handler is None:
            names = available([*self._calls, *self._others, Method.SHUTDOWN])
            raise RpcError(ErrorCode.METHOD_NOT_FOUND, f"unknown method {shown(request.method)} (available: {names})")
        return handler(host, request)

    def _handshake(self, host: Host, request: Request) -> bytes:
        params = decode_params(request.params, HandshakeParams)
        major = params.protocol.partition(".")[0]
        if major != "1":
            raise RpcError(
                ErrorCode.INVALID_PARAMS, f"protocol {params.protocol} is not supported; this plugin has 1.0"
            )
        if BIG_INTEGERS in params.capabilities:
            host.flags |= Flag.BIG_INTEGERS
        return self.offer.handshake

    def _shut_down(self, host: Host, id: bytes, batch: object, slot: int) -> bytes | None:
        """End what a host may end. Where that is what it owns, it is answered when all of that has been destroyed."""
        if host.ends is Ends.SERVER:
            self._begin_shutdown()
        if host.ends is not Ends.OWNER or not self.offer.classes:
            return _NULL
        forget = Ticket(0, host, Kind.FORGET, "", Method.SHUTDOWN, b"", id=id, batch=batch, slot=slot)
        self._dispatcher.submit_to_all_stores(forget)
        return None

    def forget(self, owner: int) -> None:
        """Have everything destroyed that an owner has made, which has gone."""
        if self.offer.classes:
            self._dispatcher.submit_to_all_stores(Ticket(0, Gone(owner), Kind.FORGET, "", "", b""))

    def _call_function(self, host: Host, head: CallHead, ticket: Ticket) -> None:
        _require(head.name, "name")
        timeout = self.offer.timeouts.get(head.name)
        if timeout is None:
            raise _unknown("function", head.name, self.offer.timeouts)
        if self._dispatcher.too_deep and not self._dispatcher.queue and host.owes >= self._dispatcher.callback_cap:
            raise RpcError(ErrorCode.TOO_DEEP, TOO_DEEP)
        ticket.target = head.name
        ticket.timeout = timeout
        self._dispatcher.submit(ticket)

    def _new_object(self, host: Host, head: CallHead, ticket: Ticket) -> None:
        _require(head.class_name, "class")
        if head.class_name not in self.offer.classes:
            raise _unknown("class", head.class_name, self.offer.classes)
        ticket.kind = Kind.NEW
        ticket.target = head.class_name
        self._dispatcher.submit_to_store(ticket)

    def _call_method(self, host: Host, head: CallHead, ticket: Ticket) -> None:
        _require(head.object_id, "object_id")
        _require(head.method, "method")
        if not self.offer.classes:
            raise RpcError(ErrorCode.HANDLER_ERROR, f"unknown object {shown(head.object_id)}")
        ticket.kind = Kind.METHOD
        ticket.target = head.object_id
        ticket.method = head.method
        self._dispatcher.submit_to_store(ticket)

    def _destroy_object(self, host: Host, head: CallHead, ticket: Ticket) -> None:
        _require(head.object_id, "object_id")
        if not self.offer.classes:
            ticket.caller.answer(ticket, False, _NULL)
            return
        ticket.kind = Kind.DESTROY
        ticket.target = head.object_id
        self._dispatcher.submit_to_store(ticket)


TOO_DEEP = "too many calls wait for callbacks inside one another; answer some of them first, or raise --callback-depth"


def least_timeout(*bounds: float | None) -> float:
    """Return the shortest of several times (seconds); None and 0 are no bound, and 0 comes back if there is none."""
    return min((bound for bound in bounds if bound), default=0.0)


def _require(value: str, member: str) -> None:
    if not value:
        raise RpcError(ErrorCode.INVALID_PARAMS, f"invalid params: params.{member} is missing")


def _unknown(what: str, name: str, names: Mapping[str, object] | frozenset[str]) -> RpcError:
    return RpcError(ErrorCode.HANDLER_ERROR, f"unknown {what} {shown(name)} (available: {available(names)})")
