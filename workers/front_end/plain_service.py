"""The methods of a script's own as a service: plain JSON-RPC 2.0, beside the plugin protocol's. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import Request
from scriptling.registry import MethodDeclaration
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Ticket
from workers.frames import Kind
from workers.front_end.service import Host, least_timeout
from workers.words import available, shown


class PlainService:
    """What ``scriptling.runtime.jsonrpc`` has registered.

    :param timeout: seconds that a handler may execute that was registered without a time-out of its own
    """

    def __init__(self, dispatcher: Dispatcher, declared: Iterable[MethodDeclaration], timeout: float) -> None:
        self._dispatcher = dispatcher
        self._timeouts: dict[int, dict[str, float]] = {Kind.RPC_METHOD: {}, Kind.RPC_NOTIFICATION: {}}
        for method in declared:
            names = self._timeouts[Kind.RPC_NOTIFICATION if method.is_notification else Kind.RPC_METHOD]
            names[method.name] = timeout if method.timeout is None else method.timeout

    def handle(self, host: Host, request: Request, batch: object = None, slot: int = 0) -> None:
        """Accept a request, whose answer will come from a ticket.

        :raises RpcError: there is no such method; for a notification nobody is told
        """
        kind = Kind.RPC_METHOD if request.id else Kind.RPC_NOTIFICATION
        timeouts = self._timeouts[kind]
        timeout = timeouts.get(request.method)
        if timeout is None:
            message = f"unknown method {shown(request.method)} (available: {available(timeouts)})"
            raise RpcError(ErrorCode.METHOD_NOT_FOUND, message)
        # The host's flags stay behind: a plain JSON-RPC client is not called back, nor sent log records.
        ticket = Ticket(
            self._dispatcher.next_seq(), host, kind, request.method, "", request.params, 0,
            least_timeout(timeout, host.timeout), request.id, batch, slot,
        )  # fmt: skip
        self._dispatcher.submit(ticket)
