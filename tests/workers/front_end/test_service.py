"""The methods of the protocol by name, what they refuse and in which words, and what happens while draining."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import Request
from scriptling.protocol.messages import ClassSchema, FunctionSchema, Method
from scriptling.registry import ClassDeclaration, ConstantDeclaration, Declaration, FunctionDeclaration, Handler
from tests.workers.fakes import Listener
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Ticket
from workers.frames import Flag, Kind
from workers.front_end.service import TOO_DEEP, Ends, Service, make_offer

DECLARATION = Declaration(
    "calculator", "1.0", "adds",
    (FunctionDeclaration("sub", Handler("h.sub")), FunctionDeclaration("add", Handler("h.add"), 0.0)),
    (ConstantDeclaration("PI", b'{"type":"float","value":3.14}'),),
    (ClassDeclaration("Config", Handler("h.Config")),),
)  # fmt: skip
FUNCTIONS = [FunctionSchema("sub"), FunctionSchema("add", description="Add.")]
CLASSES = [ClassSchema("Config")]


class Serving:
    """A service, and what it has done."""

    def __init__(self, declaration: Declaration = DECLARATION, cap: int = 10) -> None:
        self.dispatcher = Dispatcher(cap)
        self.shutdowns = 0
        self.service = Service(self.dispatcher, self._shut_down, 7.0)
        classes = CLASSES if declaration.classes else []
        self.service.offer = make_offer(declaration, FUNCTIONS, classes, 300.0)
        self.host = Listener()
        self.host.flags = Flag.CALLBACKS

    def _shut_down(self) -> None:
        self.shutdowns += 1

    def ask(self, method: str, params: Any = None, id: bytes = b"1") -> bytes | None:
        raw = b"" if params is None else json.dumps(params).encode()
        return self.service.handle(self.host, Request(method, id, raw))

    def refused(self, method: str, params: Any = None) -> tuple[int, str]:
        with pytest.raises(RpcError) as caught:
            self.ask(method, params)
        return caught.value.code, caught.value.message

    def in_store(self) -> Ticket:
        (ticket,) = self.dispatcher.shards.all[0].unsent
        return ticket


def test_a_handshake_tells_what_is_served() -> None:
    result = Serving().ask(Method.HANDSHAKE, {"protocol": "1.0", "host": "go", "transports": ["json"]})
    assert result is not None
    told = json.loads(result)
    assert told["library"] == {"name": "calculator", "version": "1.0", "description": "adds"}
    assert (told["protocol"], told["transport"]) == ("1.0", "json")
    assert "remote_objects" in told["capabilities"]
    assert told["schema"] == {
        "functions": [{"name": "sub"}, {"name": "add", "description": "Add."}],
        "classes": [{"name": "Config"}],
        "constants": [{"name": "PI", "value": {"type": "float", "value": 3.14}}],
    }


@pytest.mark.parametrize("params", [None, {}, {"protocol": None, "capabilities": None}, {"protocol": "1.7", "new": 1}])
def test_a_handshake_may_leave_out_anything(params: Any) -> None:
    assert Serving().ask(Method.HANDSHAKE, params) is not None


def test_another_protocol_is_refused() -> None:
    code, message = Serving().refused(Method.HANDSHAKE, {"protocol": "2.0"})
    assert code == ErrorCode.INVALID_PARAMS
    assert "2.0" in message


def test_large_integers_go_to_hosts_that_said_so() -> None:
    serving = Serving()
    serving.ask(Method.HANDSHAKE, {"capabilities": ["remote_objects"]})
    assert serving.host.flags == Flag.CALLBACKS
    serving.ask(Method.HANDSHAKE, {"capabilities": ["big_integers"]})
    serving.ask(Method.FUNCTION_CALL, {"name": "add"})
    assert serving.dispatcher.queue[0].flags == Flag.CALLBACKS | Flag.BIG_INTEGERS


@pytest.mark.parametrize("method", [Method.ENVIRONMENT_OPEN, Method.ENVIRONMENT_CLOSE])
def test_environments_are_opened_and_closed_with_null(method: str) -> None:
    assert Serving().ask(method) == b"null"


def test_shutdown_begins_the_end_and_returns_null() -> None:
    serving = Serving()
    assert serving.ask(Method.SHUTDOWN) == b"null"
    assert serving.shutdowns == 1


def test_a_function_call_becomes_a_ticket() -> None:
    serving = Serving()
    assert serving.ask(Method.FUNCTION_CALL, {"name": "sub", "args": [{"type": "int", "value": 1}]}) is None
    (ticket,) = serving.dispatcher.queue
    assert (ticket.kind, ticket.target, ticket.id) == (Kind.FUNCTION, "sub", b"1")
    assert json.loads(ticket.params)["args"] == [{"type": "int", "value": 1}]
    assert ticket.timeout == 300.0


def test_a_function_registered_without_time_out_has_none() -> None:
    serving = Serving()
    serving.ask(Method.FUNCTION_CALL, {"name": "add"})
    assert serving.dispatcher.queue[0].timeout == 0.0


def test_objects_are_made_called_and_destroyed_in_the_store() -> None:
    serving = Serving()
    for method, params, expected in (
        (Method.OBJECT_NEW, {"class": "Config"}, (Kind.NEW, "Config", "")),
        (Method.OBJECT_CALL, {"object_id": "1.a", "method": "get"}, (Kind.METHOD, "1.a", "get")),
        (Method.OBJECT_DESTROY, {"object_id": "1.a"}, (Kind.DESTROY, "1.a", "")),
    ):
        assert serving.ask(method, params) is None
        ticket = serving.in_store()
        assert (ticket.kind, ticket.target, ticket.method) == expected
        assert ticket.timeout == 7.0
        serving.dispatcher.shards.all[0].unsent.clear()
    assert not serving.dispatcher.queue


def test_unknown_names_are_refused_with_those_that_there_are() -> None:
    serving = Serving()
    assert serving.refused(Method.FUNCTION_CALL, {"name": "ad"}) == (
        ErrorCode.HANDLER_ERROR,
        "unknown function ad (available: add, sub)",
    )
    assert serving.refused(Method.OBJECT_NEW, {"class": "Confi"}) == (
        ErrorCode.HANDLER_ERROR,
        "unknown class Confi (available: Config)",
    )
    assert serving.dispatcher.pending == 0


def test_where_there_are_no_names_it_says_none() -> None:
    serving = Serving(Declaration("empty", "", "", (), (), ()))
    assert serving.refused(Method.FUNCTION_CALL, {"name": "f"})[1] == "unknown function f (available: none)"
    assert serving.refused(Method.OBJECT_NEW, {"class": "C"})[1] == "unknown class C (available: none)"


def test_an_unknown_method_is_refused_by_its_own_code() -> None:
    code, message = Serving().refused("functions.call")
    assert code == ErrorCode.METHOD_NOT_FOUND
    assert "functions.call" in message


@pytest.mark.parametrize("params", [[], [1], {"name": 5}, {"name": ["add"]}])
def test_params_of_the_wrong_shape_are_refused(params: Any) -> None:
    code, message = Serving().refused(Method.FUNCTION_CALL, params)
    assert code == ErrorCode.INVALID_PARAMS
    assert message.startswith("invalid params")


@pytest.mark.parametrize(
    ("method", "params", "missing"),
    [
        (Method.FUNCTION_CALL, {"args": []}, "name"),
        (Method.OBJECT_NEW, {}, "class"),
        (Method.OBJECT_CALL, {"method": "get"}, "object_id"),
        (Method.OBJECT_CALL, {"object_id": "1.a"}, "method"),
        (Method.OBJECT_DESTROY, {"object_id": None}, "object_id"),
    ],
)
def test_params_that_are_missing_are_named(method: str, params: Any, missing: str) -> None:
    assert Serving().refused(method, params) == (
        ErrorCode.INVALID_PARAMS,
        f"invalid params: params.{missing} is missing",
    )


def test_without_classes_no_object_is_known_and_destroying_one_is_no_error() -> None:
    serving = Serving(Declaration("empty", "", "", (), (), ()))
    call = {"object_id": "1.a", "method": "get"}
    assert serving.refused(Method.OBJECT_CALL, call) == (ErrorCode.HANDLER_ERROR, "unknown object 1.a")
    assert serving.ask(Method.OBJECT_DESTROY, {"object_id": "1.a"}) is None
    assert [(failed, payload) for _, failed, payload in serving.host.answers] == [(False, b"null")]
    assert serving.dispatcher.pending == 0


# Draining


def test_a_server_that_serves_is_open() -> None:
    Serving().service.check_open()


def test_while_draining_new_requests_are_refused() -> None:
    serving = Serving()
    serving.service.draining = True
    with pytest.raises(RpcError, match="shutting down") as caught:
        serving.service.check_open()
    assert caught.value.code == ErrorCode.SHUTTING_DOWN


def test_while_draining_requests_from_inside_a_callback_are_taken() -> None:
    serving = Serving()
    lane = serving.dispatcher.add_lane("worker-1")
    serving.service.draining = True
    serving.dispatcher.wait(lane)
    serving.service.check_open()
    serving.dispatcher.resume(lane)
    with pytest.raises(RpcError):
        serving.service.check_open()


# Depth


@pytest.mark.parametrize("free_lanes", [0, 1])
def test_past_the_cap_on_depth_a_call_is_refused_at_once(free_lanes: int) -> None:
    serving = Serving(cap=1)
    serving.dispatcher.wait(serving.dispatcher.add_lane("waiting"))
    for number in range(free_lanes):
        serving.dispatcher.add_lane(f"free-{number}")
    serving.host.owes = 1
    assert serving.refused(Method.FUNCTION_CALL, {"name": "add"}) == (ErrorCode.TOO_DEEP, TOO_DEEP)
    assert serving.dispatcher.pending == 0


def test_a_call_of_a_host_that_owes_no_callbacks_cannot_come_from_inside_one_and_waits() -> None:
    serving = Serving(cap=1)
    serving.dispatcher.wait(serving.dispatcher.add_lane("waiting"))
    assert serving.ask(Method.FUNCTION_CALL, {"name": "add", "args": []}) is None
    assert len(serving.dispatcher.queue) == 1


def test_past_the_cap_on_depth_objects_are_still_served() -> None:
    serving = Serving(cap=1)
    serving.dispatcher.wait(serving.dispatcher.add_lane("waiting"))
    assert serving.ask(Method.OBJECT_CALL, {"object_id": "1.a", "method": "get"}) is None


# What plugin.shutdown ends


def test_a_host_that_owns_no_more_than_its_objects_ends_those_and_not_the_server() -> None:
    serving = Serving()
    serving.host.ends, serving.host.session = Ends.OWNER, 9
    assert serving.ask(Method.SHUTDOWN) is None
    ticket = serving.in_store()
    assert (ticket.kind, ticket.caller.session, ticket.id) == (Kind.FORGET, 9, b"1")
    assert ticket.method == "plugin.shutdown"  # by this it is called where its store dies of it
    assert serving.shutdowns == 0


def test_a_host_that_owns_objects_together_with_others_ends_nothing() -> None:
    serving = Serving()
    serving.host.ends = Ends.NOTHING
    assert serving.ask(Method.SHUTDOWN) == b"null"
    assert (serving.shutdowns, serving.dispatcher.pending) == (0, 0)


def test_where_there_are_no_classes_there_is_nothing_to_end() -> None:
    serving = Serving(Declaration("lib", "", "", DECLARATION.functions, (), ()))
    serving.host.ends = Ends.OWNER
    assert serving.ask(Method.SHUTDOWN) == b"null"
    assert serving.dispatcher.pending == 0


# Deadlines


@pytest.mark.parametrize(
    ("own", "sent", "expected"),
    [(0, None, 300.0), (0, 2, 2.0), (1.5, None, 1.5), (1.5, 2, 1.5), (3, 0.5, 0.5), (999, 999, 300.0)],
)
def test_the_shortest_time_that_anybody_sets_counts(own: float, sent: float | None, expected: float) -> None:
    serving = Serving()
    serving.host.timeout = own
    serving.ask(Method.FUNCTION_CALL, {"name": "sub", "timeout": sent})
    assert [ticket.timeout for ticket in serving.dispatcher.queue] == [expected]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (Method.FUNCTION_CALL, {"name": "add"}),
        (Method.OBJECT_NEW, {"class": "Config"}),
        (Method.OBJECT_CALL, {"object_id": "1.a", "method": "get"}),
    ],
)
def test_every_kind_of_call_may_have_a_deadline(method: str, params: dict[str, Any]) -> None:
    serving = Serving()
    serving.ask(method, {**params, "timeout": 0.25})
    (ticket,) = [*serving.dispatcher.queue, *serving.dispatcher.shards.all[0].unsent]
    assert ticket.timeout == 0.25


@pytest.mark.parametrize("timeout", [0, -1, "2", True, [1], {}])
def test_a_deadline_that_is_no_time_is_refused(timeout: Any) -> None:
    code, message = Serving().refused(Method.FUNCTION_CALL, {"name": "sub", "timeout": timeout})
    assert code == ErrorCode.INVALID_PARAMS
    assert "params.timeout" in message


def test_a_deadline_without_end_is_refused() -> None:
    serving = Serving()
    with pytest.raises(RpcError, match=r"params\.timeout|out of range"):
        serving.service.handle(serving.host, Request(Method.FUNCTION_CALL, b"1", b'{"name":"sub","timeout":1e999}'))
    assert serving.dispatcher.pending == 0


def test_callers_are_told_that_they_may_set_deadlines() -> None:
    told = json.loads(Serving().ask(Method.HANDSHAKE) or b"")
    assert "call_timeout" in told["capabilities"]
