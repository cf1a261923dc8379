"""What of a declaration is served with the settings of this run: what is wrong with it, and what nobody will see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scriptling.registry import Declaration, Handler, RouteDeclaration, RouteKind
from scriptling.settings import Settings
from workers.words import counted

_NOTHING = "the setup script declared nothing to serve"
_RPC = "call scriptling.runtime.plugin.serve(name), or register methods with scriptling.runtime.jsonrpc"
_WEB = "register routes with scriptling.runtime.http"
RESERVED = ("/json-rpc", "/health", "/metrics")
"""Paths of the server's own."""


def find_problems(declaration: Declaration, settings: Settings) -> list[str]:
    """Return a sentence for everything that can be seen to be wrong with a declaration before anything runs."""
    if not (serves_calls(declaration, settings) or serves_routes(declaration, settings)):
        return [f"{_NOTHING}: {_advice(declaration, settings)}"]
    from scriptling.schema import check_handler  # noqa: PLC0415 - 10 ms of the front-end's start, which checks nothing

    problems = []
    for call, handler in _handlers(declaration, settings):
        problem = check_handler(handler, settings.import_path)
        if problem:
            problems.append(f"{call}: {problem}")
    return problems


def serves_calls(declaration: Declaration, settings: Settings) -> bool:
    """Whether there is a plugin, or a method, and somebody can call it."""
    return settings.json_rpc and bool(declaration.serves_plugin or declaration.methods)


def serves_routes(declaration: Declaration, settings: Settings) -> bool:
    """Whether there is anything of ``runtime.http``, and a port to serve it on."""
    return settings.speaks_http and bool(declaration.routes)


def _advice(declaration: Declaration, settings: Settings) -> str:
    if not settings.speaks_http:
        return "its routes need a port, --server ADDR" if declaration.routes else _RPC
    if not settings.json_rpc:
        has_calls = declaration.serves_plugin or declaration.methods
        return "its plugin or methods need --json-rpc" if has_calls else _WEB
    return f"{_RPC}, or {_WEB}"


def _handlers(declaration: Declaration, settings: Settings) -> Iterator[tuple[str, Handler]]:
    """Yield the handlers that will be called, each with the registration that names it."""
    if serves_calls(declaration, settings):
        if declaration.serves_plugin:
            for function in declaration.functions:
                yield f"register_function({function.name!r})", function.handler
        else:
            for method in declaration.methods:
                what = "notification" if method.is_notification else "method"
                yield f"{what}({method.name!r})", method.handler
    if serves_routes(declaration, settings):
        for route in declaration.routes:
            if route.handler is not None:
                yield route.label, route.handler


def find_unserved(declaration: Declaration, settings: Settings) -> list[str]:
    """Return a sentence for what was declared beside what is served, and that nobody will see."""
    plugin = [each.name for each in declaration.functions]
    plugin += [each.name for each in declaration.classes]
    plugin += [each.name for each in declaration.constants]
    found = []
    if not settings.json_rpc:
        names = [*plugin, *(each.name for each in declaration.methods)]
        found.append(_unserved("functions and methods", "because --json-rpc was not given", names))
    elif declaration.serves_plugin:
        names = [each.name for each in declaration.methods]
        reason = "because plugin.serve() was called, and --json-rpc then serves the plugin"
        found.append(_unserved("methods of runtime.jsonrpc", reason, names))
    else:
        reason = "because plugin.serve() was not called"
        found.append(_unserved("functions, classes and constants of a plugin", reason, plugin))
    found.append(_unserved("routes of runtime.http", *_hidden_routes(declaration.routes, settings)))
    return [sentence for sentence in found if sentence]


def _hidden_routes(routes: Sequence[RouteDeclaration], settings: Settings) -> tuple[str, list[str]]:
    if not settings.speaks_http:
        return "because they need a port, --server ADDR", [each.label for each in routes]
    hidden = [each.label for each in routes if each.path in RESERVED and each.kind != RouteKind.STATIC]
    return "because their paths are the server's own", hidden


def _unserved(what: str, reason: str, names: Sequence[str]) -> str:
    return f"these {what} are not served, {reason}: {', '.join(names)}" if names else ""


Entry = tuple[str, str]
"""The name of something that is served, and the reference of its handler."""


def describe(declaration: Declaration, settings: Settings) -> tuple[str, dict[str, list[Entry]]]:
    """Return a name for what is served, and its entries by the words for them."""
    kinds: dict[str, list[Entry]] = {}
    name = "HTTP"
    if serves_calls(declaration, settings):
        name = f"{declaration.library} {declaration.version}".rstrip() or "JSON-RPC"
        kinds = _plugin(declaration) if declaration.serves_plugin else _methods(declaration)
    if serves_routes(declaration, settings):
        kinds["route"] = [(each.label, _reference(each)) for each in declaration.routes]
    return name, kinds


def _plugin(declaration: Declaration) -> dict[str, list[Entry]]:
    return {
        "function": [(each.name, each.handler.reference) for each in declaration.functions],
        "class": [(each.name, each.handler.reference) for each in declaration.classes],
        "constant": [(each.name, "as it is") for each in declaration.constants],
    }


def _methods(declaration: Declaration) -> dict[str, list[Entry]]:
    return {
        "method": [(each.name, each.handler.reference) for each in declaration.methods if not each.is_notification],
        "notification": [(each.name, each.handler.reference) for each in declaration.methods if each.is_notification],
    }


def _reference(route: RouteDeclaration) -> str:
    return route.handler.reference if route.handler is not None else f"the folder {route.directory}"


def count_all(kinds: dict[str, list[Entry]]) -> str:
    """Return how many of each kind there are, in words."""
    return ", ".join(counted(len(entries), what) for what, entries in kinds.items())
