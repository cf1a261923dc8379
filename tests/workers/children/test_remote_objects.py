"""Instances as a handler in a worker sees them: their methods run in the store, and new ones move there."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from scriptling.protocol.messages import ClassSchema, FunctionSchema, PropertySchema
from scriptling.protocol.values import RemoteRef
from scriptling.registry import ClassDeclaration, Declaration, Handler
from workers.children.asking import Asker, Scope
from workers.children.remote_objects import RemoteObject, RemoteObjects, remote_value
from workers.frames import Call, Init, Kind, Want

REFERENCE = RemoteRef("lib", "Config", "1.abc")
BARE = {"library": "lib", "class": "Config", "id": "1.abc"}
CLASSES = [
    ClassSchema("Config", methods=[FunctionSchema("get"), FunctionSchema("both")], properties=[PropertySchema("size")]),
]


class Config:
    """Registered as what it is: this module's ``Config``."""


class FakeAsker:
    """Keeps what is asked of the store."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.scopes: list[Scope] = []
        self.current: Scope | None = None

    def scope(self) -> Scope | None:
        return self.current

    def method(self, scope: Scope, object_id: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self.scopes.append(scope)
        self.asked.append((object_id, name, tuple(args), dict(kwargs)))
        return "answer"

    def ask(self, scope: Scope, want: Want, target: str, params: bytes, method: str = "") -> bytes:
        self.asked.append((want, target, params))
        return b'{"library":"lib","class":"Config","id":"1.abc"}'


def make_scope(seq: int) -> Scope:
    return Scope(Call(seq, Kind.FUNCTION, "f", "", b"", 0, 1, 0.0))


class Worker:
    def __init__(self) -> None:
        self.asker = FakeAsker()
        classes = (ClassDeclaration("Config", Handler(f"{__name__}.Config")),)
        init = Init(Declaration("lib", "", "", (), (), classes), CLASSES)
        self.objects = RemoteObjects(cast(Asker, self.asker), init)
        self.scope = make_scope(1)

    def proxy(self, reference: RemoteRef = REFERENCE) -> Any:
        return self.objects.resolve(self.scope, reference)


def test_methods_run_in_the_store() -> None:
    worker = Worker()
    assert worker.proxy().get(1, key=2) == "answer"
    assert worker.asker.asked == [("1.abc", "get", (1,), {"key": 2})]


def test_the_call_that_uses_a_proxy_waits_whichever_it_was_given_to() -> None:
    worker = Worker()
    proxy = worker.proxy()
    proxy.get()
    worker.asker.current = make_scope(2)
    proxy.get()
    assert worker.asker.scopes == [worker.scope, worker.asker.current]


def test_a_proxy_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="lives in an object store"):
        pickle.dumps(Worker().proxy())


def test_keyword_arguments_may_have_any_name() -> None:
    worker = Worker()
    worker.proxy().get(self=1, method=2, name=3, scope=4)
    assert worker.asker.asked == [("1.abc", "get", (), {"self": 1, "method": 2, "name": 3, "scope": 4})]


def test_properties_are_read_and_written_in_the_store() -> None:
    worker = Worker()
    proxy = worker.proxy()
    assert proxy.size == "answer"
    proxy.size = 5
    assert worker.asker.asked == [("1.abc", "size", (), {}), ("1.abc", "size", (5,), {})]


@pytest.mark.parametrize("name", ["none_such", "_get", "__len__", "__fspath__"])
def test_what_the_class_does_not_offer_is_no_attribute(name: str) -> None:
    worker = Worker()
    proxy = worker.proxy()
    assert not hasattr(proxy, name)
    assert worker.asker.asked == []


def test_a_proxy_shows_what_it_is() -> None:
    proxy = Worker().proxy()
    assert dir(proxy) == ["both", "get", "size"]
    assert repr(proxy) == "<Config 1.abc>"


def test_an_object_of_a_class_that_is_not_served_here_has_no_methods() -> None:
    proxy = Worker().proxy(RemoteRef("lib", "Other", "1.x"))
    with pytest.raises(AttributeError, match="Other"):
        proxy.get()


def test_a_proxy_travels_as_the_reference_it_was_made_from() -> None:
    worker = Worker()
    assert worker.objects.reference(worker.scope, worker.proxy()) == {"type": "remote", "remote": BARE}
    assert worker.asker.asked == []


def test_an_instance_that_a_handler_has_made_moves_to_the_store() -> None:
    worker = Worker()
    assert worker.objects.reference(worker.scope, Config()) == {"type": "remote", "remote": BARE}
    ((want, name, pickled),) = worker.asker.asked
    assert (want, name) == (Want.ADOPT, "Config")
    assert isinstance(pickle.loads(pickled), Config)


@pytest.mark.parametrize("value", [object(), Worker, {1, 2}, Config])
def test_anything_else_is_no_object_of_ours(value: object) -> None:
    worker = Worker()
    assert worker.objects.reference(worker.scope, value) is None
    assert worker.asker.asked == []


def test_a_reference_goes_over_the_wire_as_the_protocol_says() -> None:
    assert remote_value(REFERENCE) == {"type": "remote", "remote": BARE}
    assert isinstance(Worker().proxy(), RemoteObject)
