"""What a plugin tells of its functions and classes: descriptions and signatures for the handshake.

A handler named as ``"library.function"`` is described from the source text, and nothing is imported for it: the
handshake may not wait for slow modules (protocol section 3). Classes, and functions that travel by value, are described
as the objects that they are.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from scriptling import references
from scriptling.protocol.messages import (
    ClassSchema,
    FunctionSchema,
    ParameterSchema,
    PropertySchema,
    SignatureSchema,
)
from scriptling.registry import FunctionDeclaration, Handler
from scriptling.sources import Definition, Missing, sources_for

_PLAIN = (type(None), bool, int, float, str, bytes)
_EMPTY = (list, tuple, dict, set, frozenset)
_PROPERTIES = ("property", "cached_property")


def describe(declared: FunctionDeclaration, library_path: Sequence[str]) -> FunctionSchema:
    """Return the schema of a registered function, under the name it is registered by."""
    return declared.schema or describe_function(declared.handler, library_path, declared.name)


def describe_function(handler: Handler, library_path: Sequence[str], name: str = "") -> FunctionSchema:
    """Return the schema of a handler as its source text shows it; without a text it has a name only.

    :param library_path: the folders that come before Python's own
    :param name: the exposed name; the last part of the reference where it is empty
    """
    target = None if handler.pickled else references.split(handler.reference)
    schema = FunctionSchema(name or handler.reference.rpartition(".")[2])
    definition = sources_for(tuple(library_path)).definition(*target) if target else None
    if definition is not None:
        schema.description = _printable(ast.get_docstring(definition) or "")
        schema.signature = _written_signature(definition)
    return schema


def check_handler(handler: Handler, library_path: Sequence[str]) -> str | None:
    """Return a sentence if the source text shows that a handler's library or function is not there; else None."""
    if handler.pickled:
        return None
    target = references.split(handler.reference)
    if target is None:
        return references.malformed(handler.reference)
    sources = sources_for(tuple(library_path))
    library, name = target
    found = sources.find(library)
    if isinstance(found, Missing):
        return references.unknown_library(handler.reference, found.name, found.folders)
    try:
        source = sources.source(library)
    except SyntaxError as error:
        return f"no handler {handler.reference}: {error.filename}, line {error.lineno}: {error.msg}"
    if source is None or name in source.names or source.may_hold_more():
        return None
    return references.unknown_name(handler.reference, library, name, source.names)


def describe_callable(name: str, function: Any) -> FunctionSchema:
    """Return the schema of a function, lambda or other callable."""
    return FunctionSchema(name, _description(function), signature=_signature(function))


def describe_class(name: str, cls: type) -> ClassSchema:
    """Return the schema of a class: constructor, public methods and properties, inherited ones included."""
    methods, properties = public_members(cls)
    constructor = FunctionSchema(
        name, _own_description(inspect.getattr_static(cls, "__init__")), signature=_signature(cls)
    )
    return ClassSchema(
        name=name,
        description=_own_description(cls),
        constructor=constructor,
        methods=[_describe_method(cls, method, value) for method, value in methods.items()],
        properties=[_describe_property(key, value) for key, value in properties.items()],
    )


def public_members(cls: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return methods and properties of a class by name, as they stand in its namespaces; its own come first.

    Names that begin with ``_`` and what every object has are left out, and so are attributes that cannot be called.
    """
    methods: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in _namespace(cls):
        if type(value).__name__ in _PROPERTIES:
            properties[name] = value
        elif not isinstance(value, type) and callable(getattr(cls, name, None)):
            methods[name] = value
    return methods, properties


def _namespace(cls: type) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for name, value in chain.from_iterable(vars(base).items() for base in cls.__mro__ if base is not object):
        if name not in seen and not name.startswith("_"):
            seen.add(name)
            yield name, value


def _describe_method(cls: type, name: str, value: Any) -> FunctionSchema:
    method = getattr(cls, name)
    # Found on the class, a plain function still has its first parameter; a class method is bound already.
    bound = isinstance(value, classmethod | staticmethod)
    return FunctionSchema(name, _description(method), signature=_signature(method, skip=0 if bound else 1))


def _describe_property(name: str, value: Any) -> PropertySchema:
    getter = getattr(value, "fget", None) or getattr(value, "func", None)
    description = _description(value) or _own_description(getter)
    return PropertySchema(name, description, settable=getattr(value, "fset", None) is not None)


def _description(value: Any) -> str:
    return _printable(inspect.getdoc(value) or "")


def _own_description(value: Any) -> str:
    # What object and its __init__ say of themselves says nothing about the class.
    text = getattr(value, "__doc__", None)
    if not isinstance(text, str) or text == object.__init__.__doc__:
        return ""
    return _printable(inspect.cleandoc(text))


def _printable(text: str) -> str:
    # Lone surrogates cannot be written as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


# Signatures of objects


def _signature(function: Any, skip: int = 0) -> SignatureSchema | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # written in C, without a text signature
    parameters = [_parameter(parameter) for parameter in signature.parameters.values()]
    returns = signature.return_annotation
    return SignatureSchema(parameters[skip:], None if returns is inspect.Signature.empty else _annotation(returns))


def _parameter(parameter: inspect.Parameter) -> ParameterSchema:
    empty = inspect.Parameter.empty
    return ParameterSchema(
        parameter.name,
        parameter.kind.name.lower(),
        None if parameter.default is empty else _literal(parameter.default),
        None if parameter.annotation is empty else _annotation(parameter.annotation),
    )


def _annotation(annotation: Any) -> str:
    return _printable(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def _literal(value: Any) -> str:
    if type(value) in _PLAIN or (type(value) in _EMPTY and not value):
        return repr(value)
    return "..."


# Signatures of source texts


def _written_signature(definition: Definition) -> SignatureSchema | None:
    if not isinstance(definition, ast.ClassDef):
        return SignatureSchema([*_written_parameters(definition.args)], _text(definition.returns))
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return SignatureSchema([*_written_parameters(node.args)][1:])
    return None


def _written_parameters(args: ast.arguments) -> Iterator[ParameterSchema]:
    positional = [*args.posonlyargs, *args.args]
    defaults = [*[None] * (len(positional) - len(args.defaults)), *args.defaults]
    for index, (arg, default) in enumerate(zip(positional, defaults, strict=True)):
        kind = "positional_only" if index < len(args.posonlyargs) else "positional_or_keyword"
        yield _written(arg, kind, default)
    if args.vararg:
        yield _written(args.vararg, "var_positional")
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _written(arg, "keyword_only", default)
    if args.kwarg:
        yield _written(args.kwarg, "var_keyword")


def _written(arg: ast.arg, kind: str, default: ast.expr | None = None) -> ParameterSchema:
    return ParameterSchema(arg.arg, kind, _text(default), _text(arg.annotation))


def _text(node: ast.expr | None) -> str | None:
    return None if node is None else _printable(ast.unparse(node))
