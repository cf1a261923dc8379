"""The options of the command line: one table that parsing, the environment, the config file and help all follow.

Adding an option is adding a row to :data:`GROUPS` and a field to :class:`scriptling.settings.Settings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_MOST_MEMORY = 1 << 24  # MiB


class UsageError(Exception):
    """What was asked for cannot be, by command line, environment or config file; the text says what would be right."""


class Option(NamedTuple):
    """One setting that can be given from outside.

    :ivar name: the flag without its dashes; the same name stands in a config file
    :ivar field: the field of :class:`~scriptling.settings.Settings` that it fills; "" for what only ``cli`` looks at
    :ivar parse: text to value; raises ValueError whose text says what would be right
    :ivar metavar: what help calls the value; "" for a switch that takes none
    :ivar repeatable: whether it may be given several times; in the environment the values are joined with ``:``
    :ivar mark: what may follow a value of a repeatable option behind a ``:``
    :ivar configurable: whether it may stand in a config file
    :ivar path: whether it names a file or folder; one in a config file is relative to that
    :ivar secret: whether its value must not be shown, and an empty one is a mistake wherever it is given
    """

    name: str
    help: str
    field: str = ""
    short: str = ""
    environment: str = ""
    metavar: str = ""
    parse: Callable[[str], Any] = str
    repeatable: bool = False
    mark: str = ""
    configurable: bool = False
    path: bool = False
    secret: bool = False

    @property
    def flag(self) -> str:
        """The flag as it is typed."""
        return f"--{self.name}"


def whole(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers within bounds, both included."""
    right = f"a whole number of {minimum} or more" if maximum is None else f"a whole number from {minimum} to {maximum}"

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise ValueError(right)
        number = int(text)
        if number < minimum or (maximum is not None and number > maximum):
            raise ValueError(right)
        return number

    return parse


def mebibytes(minimum: int) -> Callable[[str], int]:
    """Return a parser of amounts of memory in MiB: 0, for no bound, or no less than a minimum."""

    def parse(text: str) -> int:
        if not (text == "0" or (text.isascii() and text.isdigit() and minimum <= int(text[:16]) <= _MOST_MEMORY)):
            raise ValueError(f"0, or a whole number from {minimum} to {_MOST_MEMORY}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    """Parse a length of time in seconds; fractions are welcome."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (0 <= number < math.inf):
        raise ValueError("a number of seconds, 0 or more")
    return number


def switch(text: str) -> bool:
    """Parse what a switch may be set to outside of the command line; nothing is off."""
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("true or false (also 1 or 0, yes or no, on or off)")


def switched_off(text: str) -> bool:
    """Parse a switch that turns its setting off."""
    return not switch(text)


def address(text: str) -> str:
    """Parse an address: ``host:port``, ``[ipv6]:port``, or ``:port`` for every interface; port 0 is any free one."""
    host, colon, port = text.strip().rpartition(":")
    bare = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or bare or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ValueError("an address, such as :8000 for every interface, 127.0.0.1:8000 or [::1]:8000")
    return text.strip()


def token(text: str) -> str:
    """Parse a secret that has to go into a header."""
    if not text or not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("a token of printable ASCII without blanks, and not an empty one")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Parse origins of pages, separated by commas; ``*`` is all of them."""
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for each in found:
        scheme, separator, host = each.partition("://")
        if each != "*" and not (scheme and separator and host and "/" not in host):
            raise ValueError("origins, such as https://app.example.com, separated by commas, or *")
    return found


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser of one word out of several, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{', '.join(choices[:-1])} or {choices[-1]}")
        return text.lower()

    return parse


def _setting(name: str, field: str, metavar: str, help: str, parse: Callable[[str], Any] = str, **more: Any) -> Option:
    """Return a row for something that the environment and a config file may give as well."""
    environment = more.pop("environment", f"SCRIPTLING_{name.upper().replace('-', '_')}")
    return Option(
        name, help, field, environment=environment, metavar=metavar, parse=parse, **{"configurable": True, **more}
    )


_LEVELS = one_of("trace", "debug", "info", "warn", "error")
_FORMATS = one_of("console", "json", "null")

GROUPS: dict[str, tuple[Option, ...]] = {
    "Run a script": (
        Option("code", "run CODE; what follows it goes to sys.argv", "code", short="c", metavar="CODE"),
        Option("interactive", "prompt for input, after the script if there is one", "interactive", "i", parse=switch),
    ),
    "Libraries and plugins": (
        _setting(
            "libpath",
            "library_path",
            "DIR",
            "a further folder to import from, after the script's own (repeatable)",
            str,
            short="L",
            repeatable=True,
        ),
        _setting(
            "plugin-dir",
            "plugin_dirs",
            "DIR",
            "load every executable in DIR as a plugin (repeatable)",
            str,
            repeatable=True,
        ),
    ),
    "Stores of scriptling.runtime.kv": (
        _setting(
            "kv-storage",
            "kv_storage",
            "DIR",
            "keep kv.default in DIR, which is made if need be (default: in memory)",
            str,
            path=True,
        ),
    ),
    "Serve a plugin": (
        _setting(
            "json-rpc",
            "json_rpc",
            "",
            "serve what the script registers, over stdin and stdout, or with --server at POST /json-rpc",
            switch,
            environment="SCRIPTLING_JSONRPC",
        ),
        _setting("server", "server", "ADDR", "serve over HTTP; :8000 is every interface", address, short="S"),
        _setting("workers", "workers", "N", "worker processes (default: one per CPU, 2 to 8)", whole(1, 1000)),
        _setting("object-stores", "object_stores", "N", "processes that objects live in (default: 1)", whole(1, 100)),
        _setting("call-timeout", "call_timeout", "S", "seconds one call may run, 0 for ever (default: 300)", seconds),
        _setting(
            "graceful-timeout",
            "graceful_timeout",
            "S",
            "seconds that calls may go on once a stop was asked for (default: 30)",
            seconds,
        ),
        _setting("reload", "reload", "", "let edits of library files take effect without a restart", switch),
        _setting("no-traceback", "show_traceback", "", "keep tracebacks out of error answers", switched_off),
    ),
    "Serve on a port": (
        _setting(
            "bearer-token",
            "bearer_token",
            "TOKEN",
            "require a token of every request; a file hides it better",
            token,
            secret=True,
        ),
        _setting("bearer-token-file", "bearer_token_file", "FILE", "read that token from a file", path=True),
        _setting("tls-cert", "tls_cert", "FILE", "serve HTTPS with this certificate (PEM)", path=True),
        _setting("tls-key", "tls_key", "FILE", "its key, if that is in another file", path=True),
        _setting(
            "tls-generate", "tls_generate", "", "serve HTTPS with a self-signed certificate made in memory", switch
        ),
        _setting(
            "allow-origin", "allow_origin", "ORIGINS", "let pages of these origins use the server; * for all", origins
        ),
        _setting("max-connections", "max_connections", "N", "clients at a time (default: 1000)", whole(1)),
        _setting(
            "request-timeout",
            "request_timeout",
            "S",
            "seconds for a request to arrive, 0 for ever (default: 20)",
            seconds,
        ),
        _setting(
            "keep-alive",
            "keep_alive",
            "S",
            "seconds that an idle connection is kept, 0 for ever (default: 75)",
            seconds,
        ),
    ),
    "Limits of a server": (
        _setting(
            "max-requests", "max_requests", "N", "replace a worker after N calls, 0 for never (default: 0)", whole(0)
        ),
        _setting(
            "max-rss",
            "max_rss",
            "MB",
            "replace a worker that has more than so many MiB resident after a call, 0 for never (default: 0)",
            mebibytes(32),
        ),
        _setting(
            "max-memory",
            "max_memory",
            "MB",
            "MiB of memory that a worker, or an object store, can allocate, 0 for any (default: 0)",
            mebibytes(64),
        ),
        _setting("max-message", "max_message", "MB", "largest message taken, in MiB (default: 16)", whole(1, 2047)),
        _setting(
            "max-queue",
            "max_queue",
            "N",
            "calls that may wait for a worker; over HTTP, requests (default: 1000)",
            whole(1),
        ),
        _setting("max-batch", "max_batch", "N", "requests in one batch (default: 10000)", whole(1)),
        _setting("max-depth", "max_depth", "N", "lists and dicts nested in a value (default: 128)", whole(1, 200)),
        _setting(
            "callback-depth",
            "callback_depth",
            "N",
            "calls that may wait for callbacks at once, nested or not (default: 100)",
            whole(1, 1000),
        ),
        _setting(
            "max-objects", "max_objects", "N", "objects that may live at once in a store (default: 1000000)", whole(1)
        ),
        _setting(
            "object-ttl",
            "object_ttl",
            "S",
            "seconds without use until an object made over HTTP is destroyed, 0 for never (default: 600)",
            seconds,
        ),
        _setting("max-tasks", "max_tasks", "N", "background tasks that run at once (default: 64)", whole(1, 10_000)),
        _setting(
            "max-parked", "max_parked", "N", "calls that may wait for other calls (default: 2000)", whole(0, 10_000)
        ),
    ),
    "Confinement of a server's handlers": (
        _setting(
            "sandbox",
            "sandbox",
            "",
            "let them use no files but those of Python and of their libraries, and no other process",
            switch,
        ),
        _setting(
            "allowed-paths",
            "allowed_paths",
            "DIR[:ro]",
            "the same, but let them also use what is in DIR, or with :ro read it (repeatable)",
            str,
            repeatable=True,
            mark="ro",
        ),
        _setting("no-network", "no_network", "", "let them make no connection, nor take any", switch),
    ),
    "Logging": (
        _setting("log-level", "log_level", "LEVEL", "trace, debug, info, warn or error (default: info)", _LEVELS),
        _setting("log-format", "log_format", "FORMAT", "console, json or null (default: console)", _FORMATS),
    ),
    "Other": (
        _setting(
            "config",
            "config",
            "FILE",
            "read settings from a TOML file, named as the flags are",
            str,
            short="C",
            configurable=False,
        ),
        Option("version", "print the version", short="v"),
        Option("help", "print this help", short="h"),
    ),
}

OPTIONS: tuple[Option, ...] = tuple(option for group in GROUPS.values() for option in group)
BY_NAME: dict[str, Option] = {option.name: option for option in OPTIONS}
BY_SHORT: dict[str, Option] = {option.short: option for option in OPTIONS if option.short}


def unknown(name: str, known: Sequence[str]) -> str:
    """Return the sentence for a name that does not exist, with the nearest one that does."""
    from difflib import get_close_matches  # noqa: PLC0415 - 2 ms that only a mistake pays for

    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"unknown flag {name}; did you mean {near[0]}?"
    return f"unknown flag {name}; the flags there are: {', '.join(known)}"
