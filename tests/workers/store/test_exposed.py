"""What of a registered class can be used from outside: public methods and properties, and ``__del__`` once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from scriptling.errors import ErrorCode, RpcError
from workers.store.exposed import Exposed
from workers.store.finalisers import destroy
from workers.words import available


class Base:
    def inherited(self) -> str:
        return "base"


class Thing(Base):
    """A thing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.size = 1

    def greet(self, word: str = "hello", *, end: str = "") -> str:
        return f"{word} {self._name}{end}"

    async def later(self) -> str:
        return self._name

    @property
    def name(self) -> str:
        return self._name

    @property
    def label(self) -> str:
        return f"<{self._name}>"

    @label.setter
    def label(self, value: str) -> None:
        self._name = value

    def _private(self) -> str:
        return "secret"

    def __len__(self) -> int:
        return 7


EXPOSED = Exposed.of("Gadget", Thing)


def call(method: str, *args: Any, **kwargs: Any) -> Any:
    return EXPOSED.call(Thing("x"), method, args, kwargs)


def refusal(method: str, *args: Any, **kwargs: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        call(method, *args, **kwargs)
    return caught.value


def test_names_are_listed_as_hosts_know_it() -> None:
    assert available(["b", "a"]) == "a, b"
    assert available([]) == "none"


def test_a_class_is_described_under_the_name_it_is_exposed_by() -> None:
    assert EXPOSED.schema.name == "Gadget"
    assert EXPOSED.methods == {"greet", "inherited", "later"}
    assert EXPOSED.properties == {"name": False, "label": True}


def test_methods_take_arguments_and_keyword_arguments() -> None:
    assert call("greet") == "hello x"
    assert call("greet", "bye", end="!") == "bye x!"
    assert call("inherited") == "base"


def test_asynchronous_methods_run_to_their_end() -> None:
    assert call("later") == "x"


def test_a_property_is_read_without_and_written_with_one_argument() -> None:
    thing = Thing("x")
    assert EXPOSED.call(thing, "label", [], {}) == "<x>"
    assert EXPOSED.call(thing, "label", ["y"], {}) is None
    assert EXPOSED.call(thing, "name", [], {}) == "y"


def test_a_property_without_setter_is_read_only() -> None:
    error = refusal("name", "y")
    assert (error.code, error.message) == (
        ErrorCode.HANDLER_ERROR,
        "can't set attribute 'name': property is read-only",
    )


@pytest.mark.parametrize(("args", "kwargs"), [((1, 2), {}), ((), {"value": 1}), ((1,), {"value": 1})])
def test_a_property_takes_no_more_than_one_argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert refusal("label", *args, **kwargs).code == ErrorCode.INVALID_PARAMS


PRIVATE = ["_private", "__init__", "__del__", "__len__", "__class__", "_name"]


@pytest.mark.parametrize("name", [*PRIVATE, "size", "nothing", ""])
def test_what_is_private_or_no_method_cannot_be_called(name: str) -> None:
    error = refusal(name)
    assert error.code == ErrorCode.HANDLER_ERROR
    assert error.message == f"unknown method {name} on Gadget (available: greet, inherited, label, later, name)"


def test_what_a_method_raises_is_the_methods_own() -> None:
    with pytest.raises(TypeError):
        call("greet", 1, 2, 3)


# Destruction


def destroyed_how_often(make: Callable[[list[str]], Any]) -> list[str]:
    """Register a class, destroy an object of it, drop the last reference to it, and return how often it noticed."""
    noticed: list[str] = []
    value = make(noticed)
    Exposed.of("Thing", type(value))
    try:
        destroy(value)
    except ValueError as error:
        noticed.append(str(error))
    del value
    gc.collect()
    return noticed


def test_del_runs_when_an_object_is_destroyed_and_not_again_when_it_is_collected() -> None:
    class Plain:
        def __init__(self, noticed: list[str]) -> None:
            self.noticed = noticed

        def __del__(self) -> None:
            self.noticed.append("gone")

    assert destroyed_how_often(Plain) == ["gone"]


def test_del_of_a_class_with_slots_runs_once() -> None:
    class Slotted:
        __slots__ = ("noticed",)

        def __init__(self, noticed: list[str]) -> None:
            self.noticed = noticed

        def __del__(self) -> None:
            self.noticed.append("gone")

    assert destroyed_how_often(Slotted) == ["gone"]


def test_del_of_a_frozen_class_runs_once() -> None:
    @dataclass(frozen=True)
    class Frozen:
        noticed: list[str]

        def __del__(self) -> None:
            self.noticed.append("gone")

    assert destroyed_how_often(Frozen) == ["gone"]


def test_del_that_raises_runs_once() -> None:
    class Raising:
        def __init__(self, noticed: list[str]) -> None:
            self.noticed = noticed

        def __del__(self) -> None:
            self.noticed.append("gone")
            raise ValueError("no")

    assert destroyed_how_often(Raising) == ["gone", "no"]


def test_inherited_del_runs_once_however_many_of_the_classes_are_registered() -> None:
    class Parent:
        def __init__(self, noticed: list[str]) -> None:
            self.noticed = noticed

        def __del__(self) -> None:
            self.noticed.append("parent")

    class Child(Parent):
        def __del__(self) -> None:
            self.noticed.append("child")
            super().__del__()

    class Heir(Parent):
        pass

    Exposed.of("Parent", Parent)
    assert destroyed_how_often(Child) == ["child", "parent"]
    assert destroyed_how_often(Heir) == ["parent"]
    assert destroyed_how_often(Parent) == ["parent"]


def test_an_object_that_is_collected_without_being_destroyed_runs_del_as_ever() -> None:
    noticed: list[str] = []

    class Plain:
        def __del__(self) -> None:
            noticed.append("gone")

    Exposed.of("Plain", Plain)
    for expected in (1, 2):
        value = Plain()
        del value
        gc.collect()
        assert len(noticed) == expected


def test_an_object_without_del_is_simply_dropped() -> None:
    destroy(Thing("x"))
