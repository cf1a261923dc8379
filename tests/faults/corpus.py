"""The corpus of malformed messages (faults, check 23): what each is answered with, and what an answer says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

CORPUS = Path(__file__).parents[1] / "protocol" / "corpus"
NOBODY = "null"
_ANSWERS = {"an answer to nobody": "99", "an error to nobody": NOBODY}
"""Cases that are no requests, and their ids; over HTTP nobody can have been asked anything, and they are refused."""


class Answered(NamedTuple):
    """One answer.

    :ivar id: as JSON text, exactly as it stands there
    :ivar code: of the error; 0 for a result
    :ivar message: of the error
    """

    id: str
    code: int
    message: str = ""


class _Error(msgspec.Struct):
    code: int
    message: str


class _Answer(msgspec.Struct):
    id: msgspec.Raw
    error: _Error | None = None


_answers = msgspec.json.Decoder(list[_Answer] | _Answer)


def cases(name: str) -> list[Any]:
    """Return the messages of a file as parameters of a test."""
    return [pytest.param(case, id=case["name"]) for case in json.loads((CORPUS / name).read_text())]


def messages() -> Iterator[dict[str, Any]]:
    """Yield the messages of which there is something to send."""
    for parameter in cases("messages.json"):
        case: dict[str, Any] = parameter.values[0]
        if text_of(case).strip(b" \r\n"):
            yield case


def text_of(case: dict[str, Any]) -> bytes:
    """Return what is sent."""
    if "hex" in case:
        return bytes.fromhex(str(case["hex"]))
    repeated, times = case.get("repeat", ["", 0])
    return str(case.get("text", "") + repeated * times + case.get("after", "")).encode()


def expected_of(answer: Any) -> list[tuple[str, int]]:
    """Return the ids (as JSON text) and codes that a message is answered with; ours knows no method ``m``."""
    if isinstance(answer, list):
        return [each for item in answer for each in expected_of(item)]
    if answer is None or "id" not in answer:
        return []
    return [(answer["id"], answer.get("code", -32601))]


def expected_over_http(case: dict[str, Any]) -> list[tuple[str, int]]:
    """Return the same for a request of which the message is the body."""
    id = _ANSWERS.get(case["name"])
    return expected_of(case["answer"]) if id is None else [(id, -32600)]


def answers_in(texts: Iterable[bytes]) -> list[Answered]:
    """Return the answers of messages, in the order in which they came."""
    found = []
    for text in filter(None, texts):
        decoded = _answers.decode(text)
        found += decoded if isinstance(decoded, list) else [decoded]
    return [_answered(each) for each in found]


def _answered(answer: _Answer) -> Answered:
    error = answer.error or _Error(0, "")
    return Answered(bytes(answer.id).decode(), error.code, error.message)


def without_messages(answers: Iterable[Answered]) -> list[tuple[str, int]]:
    """Return ids and codes."""
    return [(each.id, each.code) for each in answers]
