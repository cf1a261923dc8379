"""A server opens when setup has declared, and the store has resolved what classes there are."""

from __future__ import annotations

import json

from scriptling.protocol.messages import ClassSchema, FunctionSchema
from scriptling.registry import ClassDeclaration, ConstantDeclaration, Declaration, FunctionDeclaration, Handler
from workers.frames import Classes, Init, Registered
from workers.front_end.opening import Opening

FUNCTIONS = [FunctionSchema("add"), FunctionSchema("quick")]


def registered(classes: int = 0, problems: tuple[str, ...] = ()) -> Registered:
    declaration = Declaration(
        "lib", "1.0", "about it",
        (FunctionDeclaration("add", Handler("h.add")), FunctionDeclaration("quick", Handler("h.quick"), 0.5)),
        (ConstantDeclaration("ONE", b'{"type":"int","value":1}'),),
        tuple(ClassDeclaration(f"Class{number}", Handler(f"h.Class{number}")) for number in range(classes)),
    )  # fmt: skip
    return Registered(declaration, FUNCTIONS, problems)


def test_nothing_is_known_at_first() -> None:
    opening = Opening(5.0)
    assert not opening.complete
    assert not opening.wants_stores
    assert opening.problems == []


def test_without_classes_no_store_is_needed() -> None:
    opening = Opening(5.0, registered())
    assert opening.complete
    assert not opening.wants_stores


def test_with_classes_the_store_has_to_resolve_them_first() -> None:
    assert Opening(5.0, registered(classes=1)).wants_stores
    assert not Opening(5.0, registered(classes=1)).complete
    resolved = Opening(5.0, registered(classes=1), Classes([ClassSchema("Class0")], ""))
    assert resolved.complete
    assert resolved.wants_stores


def test_problems_of_setup_and_store_are_told_together() -> None:
    opening = Opening(5.0, registered(1, ("no function",)), Classes([], "no class"))
    assert opening.problems == ["no function", "no class"]


def test_what_is_offered_is_what_was_declared() -> None:
    offer = Opening(5.0, registered(1), Classes([ClassSchema("Class0")], "")).offer()
    handshake = json.loads(offer.handshake)
    assert handshake["library"] == {"name": "lib", "version": "1.0", "description": "about it"}
    assert [each["name"] for each in handshake["schema"]["functions"]] == ["add", "quick"]
    assert [each["name"] for each in handshake["schema"]["classes"]] == ["Class0"]
    assert handshake["schema"]["constants"] == [{"name": "ONE", "value": {"type": "int", "value": 1}}]
    assert offer.timeouts == {"add": 5.0, "quick": 0.5}
    assert offer.classes == {"Class0"}


def test_children_are_told_the_classes_as_resolved() -> None:
    opening = Opening(5.0, registered(1))
    declaration = registered(1).declaration
    assert opening.init() == Init(declaration)
    opening.classes = Classes([ClassSchema("Class0")], "")
    assert opening.init() == Init(declaration, [ClassSchema("Class0")])
