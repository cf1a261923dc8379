"""Logs: levels, the fields ``ts level msg plugin worker call_id``, one line a record, and where they go."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from scriptling import log
from scriptling.terminal import colours, paint

logger = logging.getLogger("scriptling.test")


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    top = logging.getLogger("scriptling")
    before = (top.handlers[:], top.propagate, top.level)
    yield
    top.handlers[:], top.propagate = before[0], before[1]
    top.setLevel(before[2])


def configured(level: str = "info", format: str = "console") -> list[bytes]:
    """Configure the log to write into the list that is returned."""
    lines: list[bytes] = []
    log.configure(level, format, lines.append)
    return lines


def test_json_has_time_level_message_and_the_fields_that_are_known() -> None:
    lines = configured(format="json")
    logger.warning("%s died", "it", extra={"plugin": "calculator", "worker": 2, "call_id": 0})
    entry = json.loads(lines[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("ts"))
    assert entry == {"level": "warn", "msg": "it died", "plugin": "calculator", "worker": 2, "call_id": 0}


def test_json_without_fields_and_with_an_exception() -> None:
    lines = configured(format="json")
    try:
        int("no")
    except ValueError:
        logger.exception("failed")
    entry = json.loads(lines[0])
    assert set(entry) == {"ts", "level", "msg", "traceback"}
    assert entry["traceback"].endswith("base 10: 'no'")


def test_console_line() -> None:
    lines = configured()
    logger.info("ready", extra={"plugin": "calculator", "worker": 1})
    assert re.fullmatch(rb"\d\d:\d\d:\d\d\.\d{3} INFO  ready plugin=calculator worker=1\n", lines[0])


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_record_is_one_write_that_ends_in_a_newline(format: str) -> None:
    lines = configured(format=format)
    logger.info("one\ntwo")
    logger.info("three")
    assert len(lines) == 2
    assert all(line.endswith(b"\n") for line in lines)


def test_console_messages_cannot_pass_for_records_or_steer_the_terminal() -> None:
    lines = configured()
    logger.info("a\n12:00:00.000 ERROR forged \x1b[2J\r\x9b", extra={"plugin": "p\nq"})
    first, second, third = lines[0].decode().splitlines()
    assert first.endswith("INFO  a")
    assert second == r"    12:00:00.000 ERROR forged \x1b[2J\x0d\x9b plugin=p"
    assert third == "    q"


def test_text_that_is_no_unicode_is_written_all_the_same() -> None:
    lines = configured()
    logger.info("half \ud800")
    assert b"half \\ud800" in lines[0]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", ["trace", "debug", "info", "warn", "error", "fatal"]),
        ("debug", ["debug", "info", "warn", "error", "fatal"]),
        ("info", ["info", "warn", "error", "fatal"]),
        ("warn", ["warn", "error", "fatal"]),
        ("error", ["error", "fatal"]),
    ],
)
def test_levels(level: str, shown: list[str]) -> None:
    lines = configured(level, "json")
    for number in log.LEVELS.values():
        logger.log(number, "m")
    assert [json.loads(line)["level"] for line in lines] == shown


@pytest.mark.parametrize(("number", "name"), [(1, "trace"), (15, "debug"), (25, "info"), (99, "fatal")])
def test_levels_in_between_have_the_lower_name(number: int, name: str) -> None:
    assert log.level_name(number) == name


def test_null_drops_everything(capfd: pytest.CaptureFixture[str]) -> None:
    assert configured(format="null") == []
    logger.error("unseen")
    assert capfd.readouterr() == ("", "")


def test_without_a_writer_records_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure()
    logger.error("seen")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith("ERROR seen\n")


def test_other_loggers_are_not_touched(capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    configured()
    assert logging.getLogger().handlers == before


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_only_on_terminals_and_never_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    closed = io.StringIO()
    closed.close()
    assert colours(_Terminal())
    assert not colours(io.StringIO())
    assert not colours(None)
    assert not colours(closed)
    monkeypatch.setenv("TERM", "dumb")
    assert not colours(_Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(_Terminal())
    assert paint("x", "1", False) == "x"


def test_levels_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", _Terminal())
    lines = configured()
    logger.error("red")
    assert b"\x1b[31mERROR\x1b[0m red" in lines[0]
