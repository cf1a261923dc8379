"""Methods and notifications of a script: two sets of names, and calls that carry plain parameters."""

from __future__ import annotations

import pytest

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import Request
from scriptling.registry import Handler, MethodDeclaration
from tests.workers.fakes import Listener
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Ticket
from workers.frames import Flag, Kind
from workers.front_end.plain_service import PlainService
from workers.front_end.service import Service

DECLARED = (
    MethodDeclaration("add", Handler("h.add"), timeout=2.0),
    MethodDeclaration("both", Handler("h.answer")),
    MethodDeclaration("both", Handler("h.take"), is_notification=True),
    MethodDeclaration("seen", Handler("h.seen"), is_notification=True),
)


class Serving:
    def __init__(self) -> None:
        self.dispatcher = Dispatcher(10)
        self.service = PlainService(self.dispatcher, DECLARED, 7.0)
        self.host = Listener()
        self.host.flags = Flag.CALLBACKS

    def ask(self, method: str, id: bytes = b"1", params: bytes = b"") -> Ticket:
        self.service.handle(self.host, Request(method, id, params))
        return self.dispatcher.queue[-1]


def test_a_request_becomes_a_call_of_its_method() -> None:
    ticket = Serving().ask("add", b'"x"', b"[1,2]")
    assert (ticket.kind, ticket.target, ticket.params, ticket.id) == (Kind.RPC_METHOD, "add", b"[1,2]", b'"x"')


def test_time_outs_are_the_method_s_or_the_server_s() -> None:
    serving = Serving()
    assert (serving.ask("add").timeout, serving.ask("both").timeout) == (2.0, 7.0)


def test_no_client_of_plain_json_rpc_is_called_back() -> None:
    assert Serving().ask("add").flags == 0


def test_a_name_may_be_both() -> None:
    serving = Serving()
    assert serving.ask("both").kind == Kind.RPC_METHOD
    assert serving.ask("both", b"").kind == Kind.RPC_NOTIFICATION


@pytest.mark.parametrize(("method", "id"), [("seen", b"1"), ("nobody", b"1"), ("add", b""), ("nobody", b"")])
def test_other_names_are_not_found(method: str, id: bytes) -> None:
    serving = Serving()
    with pytest.raises(RpcError) as caught:
        serving.ask(method, id)
    assert caught.value.code == ErrorCode.METHOD_NOT_FOUND
    assert caught.value.message.endswith("(available: add, both)" if id else "(available: both, seen)")
    assert not serving.dispatcher.queue


def test_the_protocol_s_own_methods_are_not_served_beside_them() -> None:
    dispatcher = Dispatcher(10)
    service = Service(dispatcher, lambda: None, 7.0)
    service.plain = PlainService(dispatcher, DECLARED, 7.0)
    with pytest.raises(RpcError, match=r"unknown method scriptling\.handshake"):
        service.handle(Listener(), Request("scriptling.handshake", b"1"))
    assert service.handle(Listener(), Request("add", b"1")) is None
