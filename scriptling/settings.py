"""What one run of the program was asked to do: read once, frozen, passed down.

Precedence: command line, environment, ``.env`` of the working folder, config file, default. Nothing else in the project
looks at the environment for its settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scriptling.arguments import Arguments
from scriptling.options import BY_NAME, OPTIONS, Option, UsageError, token, unknown


class Settings(NamedTuple):
    """Every setting, in the units that its comment gives.

    A class of plain values: it may be copied to other processes.
    """

    script: str | None = None  # as named on the command line; "-" is stdin; None with -c or -i alone
    script_args: tuple[str, ...] = ()
    code: str | None = None
    interactive: bool = False
    json_rpc: bool = False
    server: str = ""  # host:port to listen on; empty for stdio
    mounted: bool = False  # whether somebody else's web server listens
    bearer_token: str = ""  # secret; empty is none
    bearer_token_file: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_generate: bool = False
    allow_origin: tuple[str, ...] = ()
    max_connections: int = 1000
    request_timeout: float = 20.0  # seconds; 0 is for ever
    keep_alive: float = 75.0  # seconds; 0 is for ever
    library_path: tuple[str, ...] = ()  # absolute folders of -L, without the script's own
    plugin_dirs: tuple[str, ...] = ()  # absolute folders
    workers: int = 2
    call_timeout: float = 300.0  # seconds; 0 is none
    graceful_timeout: float = 30.0  # seconds
    max_requests: int = 0  # calls; 0 is no bound
    max_rss: int = 0  # MiB; 0 is no bound
    max_memory: int = 0  # MiB; 0 is no bound
    max_message: int = 16  # MiB
    max_queue: int = 1000  # calls
    max_batch: int = 10_000  # requests
    max_depth: int = 128  # lists and dicts in one another
    callback_depth: int = 100  # calls in one another
    object_stores: int = 1
    max_objects: int = 1_000_000  # in each store
    object_ttl: float = 600.0  # seconds; 0 is for ever
    max_parked: int = 2000  # calls that wait for other calls
    kv_storage: str = ""  # absolute folder; empty is memory
    sandbox: bool = False
    allowed_paths: tuple[str, ...] = ()  # absolute files and folders; those that may only be read end with ":ro"
    no_network: bool = False
    max_tasks: int = 64  # background tasks that run at once
    reload: bool = False
    show_traceback: bool = True
    log_level: str = "info"
    log_format: str = "console"
    config: str = ""

    @property
    def serves(self) -> bool:
        """Whether the script is a setup script, whose handlers are to be served."""
        return self.json_rpc or bool(self.server)

    @property
    def speaks_http(self) -> bool:
        """Whether requests come over HTTP, so that routes can be served."""
        return self.mounted or bool(self.server)

    @property
    def sandboxed(self) -> bool:
        """Whether user code of a server is kept to the files that it was allowed."""
        return self.sandbox or bool(self.allowed_paths)

    @property
    def script_folder(self) -> str:
        """Absolute folder that imports look in first: the script's (links followed, as Python does), or the current."""
        if self.script is None or self.script == "-":
            return str(Path.cwd())
        return str(Path(self.script).resolve().parent)

    @property
    def import_path(self) -> tuple[str, ...]:
        """Folders of the script's own libraries, in the order in which they are searched."""
        return (self.script_folder, *self.library_path)


class _Given(NamedTuple):
    """What one source says of one option: where (for messages), the texts, and the folder that paths start from.

    :ivar inherited: whether it may have been meant for the program that started this one
    """

    where: str
    texts: list[str]
    base: Path = Path()
    inherited: bool = False


def default_workers() -> int:
    """Return how many workers there are unless told: one per CPU that this process may use, from 2 to 8."""
    return max(2, min(8, len(os.sched_getaffinity(0))))


def load(arguments: Arguments, environment: Mapping[str, str]) -> Settings:
    """Join all sources into one :class:`Settings`.

    :param arguments: the command line, from :func:`scriptling.arguments.parse_arguments`
    :param environment: usually ``os.environ``; names that are no setting are left alone, as they may be a script's or a
        host's own
    :raises UsageError: something unknown, malformed or contradictory
    """
    given = _from_arguments(arguments)
    for more in (_from_environment(environment), _from_dotenv(Path(".env"))):
        given = more | given
    given = _from_config(given.get("config")) | given
    if "server" in given or ("json-rpc" in given and _value(BY_NAME["json-rpc"], given["json-rpc"])):
        _without_plugin_dirs(given)
    else:
        _without_confinement(given)
    if "server" not in given:
        given = {name: each for name, each in given.items() if not (name in _NEED_SERVER and each.inherited)}
    values: dict[str, Any] = {"workers": default_workers()}
    for option in OPTIONS:
        if option.name in given:
            values[option.field] = _value(option, given[option.name])
    settings = Settings(script=arguments.script, script_args=arguments.script_args, **values)
    _check(settings, given)
    return _with_token(settings, given)


def _from_arguments(arguments: Arguments) -> dict[str, _Given]:
    return {name: _Given(f"--{name}", texts) for name, texts in arguments.given.items()}


def _from_environment(environment: Mapping[str, str], where: str = "") -> dict[str, _Given]:
    given = {}
    for option in OPTIONS:
        text = environment.get(option.environment) if option.environment else None
        if text or (option.secret and text is not None):
            texts = list(_parts(text, option.mark)) if option.repeatable else [text]
            given[option.name] = _Given(option.environment + where, texts, inherited=not where)
    return given


def _parts(text: str, mark: str) -> Iterator[str]:
    """Yield the parts of a list that is joined with ``:``; a mark belongs to the part that it follows."""
    parts = [part for part in text.split(":") if part]
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if mark and following == mark:
            yield f"{part}:{mark}"
        elif not (mark and part == mark):
            yield part


def _from_dotenv(path: Path) -> dict[str, _Given]:
    """Read a ``.env`` file if there is one; only the names of settings count, and nothing enters the environment."""
    try:
        with path.open(encoding="utf-8") as lines:
            return _from_environment(dict(_assignments(lines, path)), f" in {path}")
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None


def _assignments(lines: Iterable[str], path: Path) -> Iterator[tuple[str, str]]:
    """Yield the ``SCRIPTLING_NAME=value`` lines of a ``.env`` file; ``export``, quotes, comments as in a shell."""
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ").lstrip()
        if not text.startswith("SCRIPTLING_"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{path}, line {number}: {text!r} is no assignment; write {name}=value")
        yield name.strip(), _unquoted(value.strip())


def _unquoted(text: str) -> str:
    """Take off the quotes around a value, or the comment behind one without quotes."""
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return text.partition(" #")[0].rstrip()


def _from_config(given: _Given | None) -> dict[str, _Given]:
    """Read the config file that was asked for, if any."""
    if given is None:
        return {}
    path = Path(given.texts[-1])
    import tomllib  # noqa: PLC0415 - 7 ms that only those with a config file pay

    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{given.where}: cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{given.where}: {path} is not TOML: {error}") from None
    return {name: _from_toml(name, value, path) for name, value in content.items()}


def _from_toml(name: str, value: Any, path: Path) -> _Given:
    option = BY_NAME.get(name)
    if option is None or not option.configurable:
        known = [each.name for each in OPTIONS if each.configurable]
        raise UsageError(f"{path}: {unknown(name, known).replace('unknown flag', 'unknown setting')}")
    values = value if option.repeatable and isinstance(value, list) else [value]
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in values]
    return _Given(f"{name} in {path}", texts, path.parent)


def _without_plugin_dirs(given: dict[str, _Given]) -> None:
    """Keep a server from loading plugins: in its host's folder of plugins it would find, and start, itself.

    :raises UsageError: they were asked of this very server, which has no use for them
    """
    dirs = given.pop("plugin-dir", None)
    if dirs is not None and not dirs.inherited:
        raise UsageError(f"{dirs.where} is for scripts that are run, not with --json-rpc or --server; drop one of them")


def _without_confinement(given: dict[str, _Given]) -> None:
    """Keep nobody in the belief that a script that is simply run is confined.

    :raises UsageError: that was asked for, and not only of the servers that the script may start
    """
    for name in ("sandbox", "allowed-paths", "no-network"):
        asked = given.pop(name, None)
        if asked is not None and not asked.inherited:
            raise UsageError(f"{asked.where} is for servers, whose handlers it confines; a script that is run is not")


def _value(option: Option, given: _Given) -> Any:
    """Turn the texts given to an option into the value of its field."""
    if option.repeatable:
        if option.mark:
            return tuple(_marked_place(given, text, option.mark) for text in given.texts)
        return tuple(_folder(given, text) for text in given.texts)
    if option.path:
        return str((given.base / given.texts[-1]).absolute())
    try:
        return option.parse(given.texts[-1])
    except ValueError as error:
        shown = "what stands there" if option.secret else repr(given.texts[-1])
        raise UsageError(f"{given.where}: {shown} is not right; give {error}") from None


def _folder(given: _Given, text: str) -> str:
    """Return a folder's absolute path; a config file's are relative to the file."""
    path = given.base / text
    if not path.is_dir():
        raise UsageError(f"{given.where}: {text!r} is not a folder; name one that exists")
    return str(path.absolute())


def _marked_place(given: _Given, text: str, mark: str) -> str:
    """Return the real path of a file or folder, with its mark if it has one."""
    place = text.removesuffix(f":{mark}")
    path = given.base / place
    if not path.exists():
        raise UsageError(f"{given.where}: {place!r} does not exist; name a file or folder that does")
    return str(path.resolve()) + text[len(place) :]


def _with_token(settings: Settings, given: Mapping[str, _Given]) -> Settings:
    """Read the token from its file, if it is in one."""
    source = given.get("bearer-token-file")
    if source is None or not settings.server or (settings.bearer_token and not given["bearer-token"].inherited):
        return settings
    path = Path(settings.bearer_token_file)
    try:
        return settings._replace(bearer_token=token(path.read_text(encoding="utf-8").strip()))
    except UnicodeDecodeError:
        raise UsageError(f"{source.where}: {path} is not text; give a file with the token and nothing else") from None
    except OSError as error:
        raise UsageError(f"{source.where}: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{source.where}: what stands in {path} is not right; give {error}") from None


_NEED_SERVER = ("bearer-token", "bearer-token-file", "tls-cert", "tls-key", "tls-generate", "allow-origin")
_EXCLUDE = (("bearer-token", "bearer-token-file"), ("tls-cert", "tls-generate"), ("tls-key", "tls-generate"))


def _check_port(settings: Settings, given: Mapping[str, _Given]) -> None:
    """Refuse what makes no sense together for a server on a port, or without one."""
    for name in _NEED_SERVER:
        if not settings.server and name in given:
            raise UsageError(f"{given[name].where} is for servers on a port; add --server ADDR")
    for one, other in _EXCLUDE:
        if one in given and other in given and given[one].inherited == given[other].inherited:
            raise UsageError(f"{given[one].where} and {given[other].where} exclude each other; drop one of them")
    if settings.tls_key and not settings.tls_cert:
        raise UsageError(f"{given['tls-key'].where} needs the certificate that it is for; add --tls-cert FILE")


def _check(settings: Settings, given: Mapping[str, _Given]) -> None:
    """Refuse what contradicts itself, and scripts that are not there."""
    _check_port(settings, given)
    if settings.kv_storage:
        _check_storage(Path(settings.kv_storage), given["kv-storage"].where)
    if settings.serves:
        _check_server(settings)
    if settings.script not in (None, "-"):
        _check_script(Path(str(settings.script)))


def _check_storage(folder: Path, where: str) -> None:
    """Refuse a folder that can be seen not to become a store, before a handler finds out."""
    there = next(place for place in (folder, *folder.parents) if os.access(place, os.F_OK))
    if not there.is_dir():
        raise UsageError(f"{where}: {there} is not a folder; name one, or one that can be made")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{where}: nothing may be written to {there}; name a folder of your own")


def _check_server(settings: Settings) -> None:
    flag, stdin = ("--server", "is nobody's") if settings.server else ("--json-rpc", "carries the protocol")
    if settings.interactive:
        raise UsageError(f"--interactive and {flag} exclude each other: stdin {stdin}; drop one of them")
    if settings.code is None and settings.script in (None, "-"):
        raise UsageError(f"{flag} cannot read the script from stdin, which {stdin}; name a file: {flag} … setup.py")


def _check_script(script: Path) -> None:
    try:
        script.stat()
    except OSError as error:
        raise UsageError(f"cannot open {script}: {error.strerror}{_address_hint(str(script))}") from None
    if script.is_dir():
        raise UsageError(f"{script} is a folder; name the script in it")


def _address_hint(script: str) -> str:
    """Return what to add where an address stands in the place of the script."""
    host, colon, port = script.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        return (
            f"; the first word that is no flag names the script; to serve over HTTP, write --server {script} setup.py"
        )
    return ""
