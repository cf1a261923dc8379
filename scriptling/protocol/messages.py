"""Messages of the plugin methods, and the schema (protocol sections 3 and 4).

Members that are not known are ignored, and ``null`` counts as missing. Arguments stay JSON text (:class:`msgspec.Raw`)
until :class:`~scriptling.protocol.values.ValueDecoder` makes values of them.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from scriptling.errors import ErrorCode, RpcError

T = TypeVar("T")

PROTOCOL_VERSION: Final = "1.0"
TRANSPORT: Final = "json"

REMOTE_OBJECTS: Final = "remote_objects"
BIG_INTEGERS: Final = "big_integers"
CALL_TIMEOUT: Final = "call_timeout"
CAPABILITIES: Final = (REMOTE_OBJECTS, BIG_INTEGERS)
"""What both sides of ours can take from the other."""

SERVER_CAPABILITIES: Final = (*CAPABILITIES, CALL_TIMEOUT)
"""With what only a server can: the member ``timeout`` of calls."""

# What ``host.log`` is answered with, and any other call that returns None: the Value for it.
NULL_VALUE: Final = b'{"type":"null"}'


class Method:
    """Names of the methods: the host's first, then the two that a plugin calls."""

    HANDSHAKE: Final = "scriptling.handshake"
    ENVIRONMENT_OPEN: Final = "environment.open"
    ENVIRONMENT_CLOSE: Final = "environment.close"
    FUNCTION_CALL: Final = "function.call"
    OBJECT_NEW: Final = "object.new"
    OBJECT_CALL: Final = "object.call_method"
    OBJECT_DESTROY: Final = "object.destroy"
    SHUTDOWN: Final = "plugin.shutdown"
    CALLBACK_CALL: Final = "callback.call"
    HOST_LOG: Final = "host.log"


# -- calls -------------------------------------------------------------------------------------------------------------
#
# ``timeout`` is an extension of ours: seconds that the caller waits; for peers with the capability ``call_timeout``.


class CallHead(msgspec.Struct, omit_defaults=True, rename={"class_name": "class"}):
    """What routing needs to know of any call; the rest of the parameters is skipped.

    :ivar timeout: seconds that it may execute, ours; None where the caller sets no bound
    """

    name: str = ""
    class_name: str = ""
    object_id: str = ""
    method: str = ""
    timeout: float | None = None


class FunctionCall(msgspec.Struct, omit_defaults=True):
    """Parameters of ``function.call``."""

    name: str
    args: list[Raw] = []
    kwargs: dict[str, Raw] = {}
    timeout: float | None = None


class ObjectNew(msgspec.Struct, omit_defaults=True, rename={"class_name": "class"}):
    """Parameters of ``object.new``, which returns a :class:`~scriptling.protocol.values.RemoteRef`."""

    class_name: str
    args: list[Raw] = []
    kwargs: dict[str, Raw] = {}
    timeout: float | None = None


class ObjectCall(msgspec.Struct, omit_defaults=True):
    """Parameters of ``object.call_method``; for a property, no argument reads it and one writes it."""

    object_id: str
    method: str
    args: list[Raw] = []
    kwargs: dict[str, Raw] = {}
    timeout: float | None = None


class ObjectDestroy(msgspec.Struct):
    """Parameters of ``object.destroy``."""

    object_id: str


class CallbackCall(msgspec.Struct, omit_defaults=True):
    """Parameters of ``callback.call``."""

    id: str
    args: list[Raw] = []
    kwargs: dict[str, Raw] = {}


class HostLog(msgspec.Struct, omit_defaults=True):
    """Parameters of ``host.log``; ``args`` alternate keys and values."""

    level: str
    message: str
    args: list[Raw] = []


# -- handshake and schema ----------------------------------------------------------------------------------------------


class HandshakeParams(msgspec.Struct):
    """Parameters of ``scriptling.handshake``; hosts leave out what they like."""

    protocol: str = PROTOCOL_VERSION
    host: str = ""
    host_version: str = ""
    transports: list[str] = []
    capabilities: list[str] = []


class LibraryInfo(msgspec.Struct):
    """What a plugin says of itself; the name has no ``plugin.`` prefix."""

    name: str = ""
    version: str = ""
    description: str = ""


class ParameterSchema(msgspec.Struct, omit_defaults=True):
    """One parameter of a signature.

    :ivar kind: ``positional_only``, ``positional_or_keyword``, ``var_positional``, ``keyword_only``, ``var_keyword``
    :ivar default: source text of the default
    :ivar annotation: source text of the annotation
    """

    name: str
    kind: str = "positional_or_keyword"
    default: str | None = None
    annotation: str | None = None


class SignatureSchema(msgspec.Struct, omit_defaults=True):
    """A machine-readable signature, ours; a method's leaves out ``self``. ``returns`` is source text."""

    parameters: list[ParameterSchema] = []
    returns: str | None = None


class FunctionSchema(msgspec.Struct, omit_defaults=True):
    """A function, constructor or method. ``source`` is a wrapper that the host evaluates instead of making a proxy."""

    name: str
    description: str = ""
    source: str = ""
    signature: SignatureSchema | None = None


class PropertySchema(msgspec.Struct, omit_defaults=True):
    """A property, ``settable`` if it has a setter."""

    name: str
    description: str = ""
    settable: bool = False


class ClassSchema(msgspec.Struct, omit_defaults=True):
    """A class: its public methods and properties, inherited ones included."""

    name: str
    description: str = ""
    constructor: FunctionSchema | None = None
    methods: list[FunctionSchema] = []
    properties: list[PropertySchema] = []
    source: str = ""


class ConstantSchema(msgspec.Struct):
    """A constant; ``value`` is the JSON text of a Value."""

    name: str
    value: Raw = Raw(NULL_VALUE)


class Schema(msgspec.Struct):
    """Everything that a plugin offers; the three lists are always written."""

    functions: list[FunctionSchema] = []
    classes: list[ClassSchema] = []
    constants: list[ConstantSchema] = []


class HandshakeResult(msgspec.Struct):
    """Result of ``scriptling.handshake``."""

    library: LibraryInfo
    schema: Schema = msgspec.field(default_factory=Schema)
    protocol: str = PROTOCOL_VERSION
    transport: str = TRANSPORT
    capabilities: list[str] = []


# -- reading and writing -----------------------------------------------------------------------------------------------

_encode_json = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode_message(message: msgspec.Struct) -> bytes:
    """Return parameters or a result as JSON text.

    :raises UnicodeEncodeError: text in it holds half a surrogate pair
    """
    return _encode_json(message)


def decode_params(raw: bytes, type: type[T]) -> T:
    """Return the parameters of a request.

    :param raw: JSON text; empty where the request had none
    :raises RpcError: ``INVALID_PARAMS``, with a sentence that names the member
    """
    raw = raw or b"{}"
    try:
        return _decoder(type).decode(raw)
    except _FAULTS:
        pass
    try:
        members = {name: member for name, member in _decode_members(raw).items() if bytes(member) != b"null"}
        return _decoder(type).decode(_encode_json(members))
    except _FAULTS as fault:
        raise RpcError(ErrorCode.INVALID_PARAMS, f"invalid params: {_sentence(fault, 'params')}") from None


def decode_result(raw: bytes, type: type[T]) -> T:
    """Return a result, as lenient as other peers need: a ``null`` counts as missing at any depth.

    :param raw: JSON text; empty where the response had none
    :raises ValueError: it is not of the type; the sentence names the member
    """
    try:
        return _decoder(type).decode(raw)
    except _FAULTS:
        pass
    try:
        return _decoder(type).decode(_encode_json(_without_nulls(msgspec.json.decode(raw or b"{}"))))
    except _FAULTS as fault:
        raise ValueError(f"invalid result: {_sentence(fault, 'result')}") from None


def _decoder(type: type[T]) -> msgspec.json.Decoder[T]:
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.json.Decoder(type)
    return decoder


def _sentence(fault: Exception, root: str) -> str:
    """Return what is wrong, in terms of the message instead of the parser's."""
    if isinstance(fault, RecursionError):
        return f"{root} are nested too deeply" if root == "params" else f"the {root} is nested too deeply"
    text = str(fault).replace("`$", f"`{root}")
    return text[:1].lower() + text[1:]


def _without_nulls(wire: Any) -> Any:
    """Return parsed JSON without members that are null, and without signatures that are not ours."""
    if isinstance(wire, list):
        return [_without_nulls(item) for item in wire]
    if not isinstance(wire, dict):
        return wire
    return {key: _without_nulls(item) for key, item in wire.items() if item is not None and not _is_foreign(key, item)}


def _is_foreign(key: str, item: Any) -> bool:
    """Whether this is a ``signature`` that another implementation means otherwise."""
    if key != "signature":
        return False
    try:
        msgspec.convert(_without_nulls(item), SignatureSchema)
    except msgspec.ValidationError:
        return True
    return False
