"""Conversations come and go while a server lives: what each waits for goes with it, and nothing of the others'."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scriptling.errors import ErrorCode
from scriptling.protocol.jsonrpc import Response, parse
from scriptling.protocol.messages import ClassSchema, FunctionSchema, Method
from scriptling.registry import ClassDeclaration, Declaration, FunctionDeclaration, Handler
from scriptling.settings import Settings
from tests.workers.fakes import make_reply
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Caller
from workers.frames import Classes, Flag, Kind, Registered
from workers.front_end.ending import Phase
from workers.front_end.life import Life
from workers.front_end.session import Session

DECLARATION = Declaration(
    "lib", "", "", (FunctionDeclaration("add", Handler("h.add")),), (), (ClassDeclaration("Thing", Handler("h.Thing")),)
)


class Server:
    """A life whose workers and store are only their books."""

    def __init__(self, begun: bool = True, declaration: Declaration = DECLARATION) -> None:
        self.dispatcher = Dispatcher(10)
        self.life = Life(Settings(), self.dispatcher, lambda: 0.0, lambda: None)
        self.declaration = declaration
        self.recalled: list[Caller] = []
        self.life.recall = self.recalled.append
        if begun:
            self.begin()

    def begin(self) -> None:
        self.life.registered(Registered(self.declaration, [FunctionSchema("add")], []))
        if self.declaration.classes:
            self.life.resolved(Classes([ClassSchema("Thing")], ""))

    def connect(self, owner: int = 7, flags: int = 0) -> Conversation:
        return Conversation(self, owner, flags)

    def run_everything(self) -> list[int]:
        """Have every queued call done, and return their numbers."""
        lane = self.dispatcher.add_lane("worker-1")
        ran = []
        while self.dispatcher.queue:
            for _, batch in self.dispatcher.assign():
                ran += [ticket.seq for ticket in batch]
                for ticket, reply in self.dispatcher.done(lane, [make_reply(each.seq) for each in batch]):
                    ticket.caller.answer(ticket, reply.failed, reply.payload)
        return ran


class Conversation:
    """One host of a server."""

    def __init__(self, server: Server, owner: int, flags: int) -> None:
        self.heard: list[Any] = []
        self.life = server.life
        self.session = Session(self.life.service, lambda text: self.heard.append(json.loads(text)), flags, owner)
        self.life.open(self.session)

    def say(self, message: Any) -> None:
        self.session.receive(parse(json.dumps(message).encode()))

    def call(self, id: int | None = None, method: str = Method.FUNCTION_CALL, **params: str) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params or {"name": "add"}}
        self.say(message if id is None else {**message, "id": id})

    def leave(self, owner_ends: bool = False) -> None:
        self.life.close(self.session, owner_ends)


def test_several_hosts_are_answered_each_for_itself() -> None:
    server = Server()
    one, two = server.connect(), server.connect()
    one.call(1)
    two.call(1)
    two.call(2)
    server.run_everything()
    assert [answer["id"] for answer in one.heard] == [1]
    assert [answer["id"] for answer in two.heard] == [1, 2]


def test_queued_calls_of_a_host_that_goes_away_never_run_and_those_of_others_do() -> None:
    server = Server()
    gone, stays = server.connect(), server.connect()
    for id in range(5):
        gone.call(id)
        stays.call(id)
    gone.leave()
    assert server.recalled == [gone.session]
    assert server.run_everything() == [2, 4, 6, 8, 10]
    assert (gone.heard, len(stays.heard)) == ([], 5)
    assert server.dispatcher.held_bytes == 0


def test_answers_of_calls_that_ran_already_are_dropped() -> None:
    server = Server()
    gone = server.connect()
    gone.say([{"id": 1, "method": Method.FUNCTION_CALL, "params": {"name": "add"}}])
    lane = server.dispatcher.add_lane("worker-1")
    ((_, (running,)),) = server.dispatcher.assign()
    gone.leave()
    ((ticket, reply),) = server.dispatcher.done(lane, [make_reply(running.seq)])
    ticket.caller.answer(ticket, reply.failed, reply.payload)
    assert gone.heard == []
    assert server.dispatcher.pending == 0


def test_a_notification_runs_although_its_host_has_gone() -> None:
    server = Server()
    gone = server.connect()
    gone.call()
    gone.call(1)
    gone.leave()
    assert server.run_everything() == [1]


def test_a_host_that_is_owed_nothing_leaves_without_anybody_being_asked() -> None:
    server = Server()
    done = server.connect()
    done.call(1)
    done.call(2, name="none such")
    done.call()
    server.run_everything()
    assert done.session.owed == 0
    done.leave()
    assert server.recalled == []


def test_calls_for_the_store_that_were_not_sent_are_withdrawn_but_not_those_that_free_an_object() -> None:
    server = Server()
    gone = server.connect()
    gone.call(1, Method.OBJECT_NEW, **{"class": "Thing"})
    gone.call(2, Method.OBJECT_DESTROY, object_id="1.abc")
    gone.say({"id": 3, "method": Method.OBJECT_CALL, "params": {"object_id": "1.abc", "method": "get"}})
    gone.leave()
    assert [ticket.kind for ticket in server.dispatcher.shards.all[0].unsent] == [Kind.DESTROY]
    assert server.dispatcher.pending == 1


def test_open_questions_to_a_host_that_goes_away_are_refused() -> None:
    server = Server()
    gone = server.connect(flags=Flag.CALLBACKS)
    answers: list[Response] = []
    gone.session.call_host(Method.CALLBACK_CALL, b"{}", answers.append)
    gone.leave()
    assert [answer.error and answer.error.code for answer in answers] == [ErrorCode.SHUTTING_DOWN]


def test_the_store_is_told_of_an_owner_that_has_ended_after_everything_that_it_was_sent() -> None:
    server = Server()
    gone = server.connect(owner=9)
    gone.call(None, Method.OBJECT_NEW, **{"class": "Thing"})
    gone.leave(owner_ends=True)
    made, forget = server.dispatcher.shards.all[0].unsent
    assert (made.kind, made.caller.session) == (Kind.NEW, 9)
    assert (forget.kind, forget.caller.session) == (Kind.FORGET, 9)
    forget.caller.answer(forget, False, b"null")


def test_without_classes_nobody_has_anything_to_forget() -> None:
    server = Server(declaration=Declaration("lib", "", "", (FunctionDeclaration("add", Handler("h.add")),), (), ()))
    server.connect().leave(owner_ends=True)
    assert server.dispatcher.pending == 0


def test_log_records_go_to_the_host_that_listens_and_not_to_one_that_shares_its_number() -> None:
    server = Server()
    listens, plain = server.connect(owner=3, flags=Flag.CALLBACKS), server.connect(owner=3)
    server.life.log_to(3, b'{"message":"hello"}')
    assert [record["method"] for record in listens.heard] == [Method.HOST_LOG]
    assert plain.heard == []
    plain.leave()
    listens.leave()
    server.life.log_to(3, b'{"message":"hello"}')
    assert len(listens.heard) == 1


def test_log_records_do_not_keep_a_server_from_its_end() -> None:
    server = Server()
    listens = server.connect(owner=3, flags=Flag.CALLBACKS)
    server.life.ending.phase = Phase.FLUSHING
    server.life.log_to(3, b'{"message":"hello"}')
    assert listens.heard == []


def test_what_came_before_there_was_anything_to_offer_is_forgotten_with_its_host() -> None:
    server = Server(begun=False)
    gone, stays = server.connect(), server.connect()
    gone.call(1)
    stays.call(1)
    gone.leave()
    server.begin()
    assert [ticket.caller for ticket in server.dispatcher.queue] == [stays.session]


def test_a_host_that_comes_after_the_server_has_failed_is_told_why() -> None:
    server = Server(begun=False)
    server.life.fail(3, "no such file")
    late = server.connect()
    late.call(1)
    (answer,) = late.heard
    assert "no such file" in answer["error"]["message"]


def test_hosts_may_leave_while_all_are_being_answered() -> None:
    server = Server(begun=False)
    hosts = [server.connect() for _ in range(3)]
    for host in hosts:
        host.session.receive(parse(b'{"id":1,"method":"environment.open"}'))

    def leave_both(*_: Any) -> None:
        for host in hosts[:2]:
            if not host.session.left:
                host.leave()

    hosts[0].session._send = leave_both
    server.begin()
    assert [bool(host.heard) for host in hosts] == [False, False, True]


@pytest.mark.parametrize("owner_ends", [False, True])
def test_an_answered_exchange_leaves_nothing_behind(owner_ends: bool) -> None:
    server = Server(declaration=Declaration("lib", "", "", (FunctionDeclaration("add", Handler("h.add")),), (), ()))
    for id in range(100):
        host = server.connect(owner=2)
        host.call(id)
        server.run_everything()
        server.dispatcher.lanes.clear()
        host.leave(owner_ends)
    assert server.dispatcher.pending == 0
    assert len(server.life._sessions) == 0
