"""Messages between our own processes, and their encoding.

Every frame is one msgpack text of a tagged array, so that decoding checks its shape and runs no code: whoever manages
to connect to one of our sockets gets nothing unpickled. The one exception to "one struct, one frame" is
:func:`replies_frame`, which joins replies that a worker has already encoded into its journal.

Two sockets carry them: *calls* (front-end to worker, object store or setup, and back) and *relay* (whatever a running
call asks of the host or of the object stores).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from scriptling.protocol.messages import ClassSchema, FunctionSchema
from scriptling.registry import Declaration
from scriptling.tasks import Outcome, TaskSpec
from workers.front_end.metrics import Report


class Kind(IntEnum):
    """What a call does to its target."""

    FUNCTION = 0
    NEW = 1
    METHOD = 2
    DESTROY = 3
    ADOPT = 4
    RPC_METHOD = 5
    RPC_NOTIFICATION = 6
    FORGET = 7  # destroys everything that the session of the call owns
    HTTP = 8  # one request, for middleware and route
    SOCKET = 9  # one WebSocket, for as long as it lives


class Flag(IntEnum):
    """Bits of :attr:`Call.flags`: what the host that called can take, and how long it may be thought to be there."""

    BIG_INTEGERS = 1
    CALLBACKS = 2
    LEASED = 4  # nobody will say that it has gone: what it makes is destroyed when it is not used for long


class Call(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One call on its way to where it runs.

    :ivar seq: the dispatcher's number for it, unique in the life of the server
    :ivar target: name of a function, class, or JSON-RPC method or notification, or an object id
    :ivar method: name of the method, where ``target`` is an object to call
    :ivar params: the JSON text of the request's ``params``, exactly as the host sent it (ADOPT: a pickled instance)
    :ivar session: number of the owner of what it makes
    :ivar timeout: seconds it may execute; 0 is for ever
    """

    seq: int
    kind: int
    target: str
    method: str
    params: bytes
    flags: int
    session: int
    timeout: float


class Reply(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What came of a call.

    :ivar failed: whether ``payload`` is an error object and not a result
    :ivar payload: JSON text, ready to be put into the answer
    :ivar elapsed: nanoseconds of execution
    """

    seq: int
    failed: bool
    payload: bytes
    elapsed: int


# Front-end to its children


class Calls(msgspec.Struct, array_like=True, frozen=True, tag="calls"):
    """Work, in the order in which it should be begun."""

    calls: list[Call]


class Init(msgspec.Struct, array_like=True, frozen=True, tag="init"):
    """What the setup script declared; a child begins nothing before it has this.

    :ivar classes: the classes as the store resolved them; empty on the way to the store
    """

    declaration: Declaration
    classes: Sequence[ClassSchema] = ()


class Started(msgspec.Struct, array_like=True, frozen=True, tag="started"):
    """To setup: the server answers calls from now on."""


class Run(msgspec.Struct, array_like=True, frozen=True, tag="run"):
    """To the process of a task, which exists for this one: run it."""

    spec: TaskSpec


class Noted(msgspec.Struct, array_like=True, frozen=True, tag="noted"):
    """To the process of a task: what came of it is known, so that it may end."""


class Ping(msgspec.Struct, array_like=True, frozen=True, tag="ping"):
    """To a worker: say hello again, so that it is known to live."""


class Withdraw(msgspec.Struct, array_like=True, frozen=True, tag="withdraw"):
    """To the store: do not begin these calls, whose caller has gone; they are answered with an error.

    :ivar targets: the objects that they are for
    """

    seqs: list[int]
    targets: list[str]


class Stop(msgspec.Struct, array_like=True, frozen=True, tag="stop"):
    """End in order.

    A worker does at once, a task when it notices, the store after every ``__del__``, setup after its script's clean-up.
    """


# Children to the front-end


class Hello(msgspec.Struct, array_like=True, frozen=True, tag="hello"):
    """The first frame of every child: it is connected and can take frames."""


class Replies(msgspec.Struct, array_like=True, frozen=True, tag="replies"):
    """Done calls. ``first`` is the index of the first of them among all replies of this worker."""

    first: int
    replies: list[Reply]


class Registered(msgspec.Struct, array_like=True, frozen=True, tag="registered"):
    """From setup, when the script starts the server: everything it declared, and what its functions look like."""

    declaration: Declaration
    functions: Sequence[FunctionSchema]
    problems: Sequence[str]


class Classes(msgspec.Struct, array_like=True, frozen=True, tag="classes"):
    """From the store, in answer to :class:`Init`: the classes as resolved, or why one could not be."""

    classes: Sequence[ClassSchema]
    problem: str


class Stopped(msgspec.Struct, array_like=True, frozen=True, tag="stopped"):
    """From setup or store: done with everything that :class:`Stop` asked for."""

    exit_code: int = 0


class Ran(msgspec.Struct, array_like=True, frozen=True, tag="ran"):
    """From the process of a task: what came of it."""

    outcome: Outcome


# On the relay socket


class Want(IntEnum):
    """What an :class:`Ask` wants."""

    CALLBACK = 0
    METHOD = 1
    ADOPT = 2
    SYNC = 3
    TASK = 4
    SOCKET = 5

    @property
    def parks(self) -> bool:
        """Whether who asks blocks on what other calls do, and not on the host or the store."""
        return self >= Want.SYNC


class Ask(msgspec.Struct, array_like=True, frozen=True, tag="ask"):
    """A running call asks something, and waits for one :class:`Answer`.

    :ivar key: the run's secret, which only our own processes hold
    :ivar child: name of the process that asks
    :ivar seq: the call that is running; 0 in a process that has a script to run and no call
    :ivar target: what is asked: callback id, object id, class name, or the name of whatever is shared
    :ivar method: name of the method to call, or of the operation
    :ivar params: as of the request to be made, see :class:`Call`; or as whoever answers understands it
    :ivar patience: seconds after which the answer is that the time is over; None is for ever
    """

    key: str
    child: str
    seq: int
    kind: Want
    target: str
    method: str
    params: bytes
    patience: float | None = None


class Log(msgspec.Struct, array_like=True, frozen=True, tag="log"):
    """A log record for the host of a call; not answered, and sent even if the call is over when it arrives.

    :ivar session: number of the session that the call came by
    :ivar params: JSON text of the params of ``host.log``
    """

    key: str
    session: int
    params: bytes


class Answer(msgspec.Struct, array_like=True, frozen=True, tag="answer"):
    """The outcome of an :class:`Ask`; ``payload`` as in :class:`Reply`."""

    failed: bool
    payload: bytes


ToChild = Calls | Run | Noted | Init | Started | Ping | Withdraw | Stop
FromChild = Replies | Ran | Hello | Registered | Classes | Report | Stopped

_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _decoder(of: Any) -> Callable[[bytes], Any]:
    """Return a function from bytes to ``of``; whatever is wrong with the bytes, it raises ``msgspec.DecodeError``."""
    decode = msgspec.msgpack.Decoder(of).decode

    def checked(data: bytes) -> Any:
        try:
            return decode(data)
        except _FAULTS as fault:
            raise msgspec.DecodeError(str(fault)) from None

    return checked


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_for_child: Callable[[bytes], ToChild] = _decoder(ToChild)
decode_from_child: Callable[[bytes], FromChild] = _decoder(FromChild)
decode_from_relay: Callable[[bytes], Ask | Log] = _decoder(Ask | Log)
decode_answer: Callable[[bytes], Answer] = _decoder(Answer)
decode_reply_list: Callable[[bytes], list[Reply]] = _decoder(list[Reply])
# A msgpack array32 of [tag, first, replies]; the replies' own array header follows.
_REPLIES_HEAD = b"\x93" + encode("replies")


def join_replies(count: int, encoded: bytes) -> bytes:
    """Return the msgpack list of ``count`` replies whose encodings stand one after the other in ``encoded``."""
    return b"\xdd" + count.to_bytes(4, "big") + encoded


def replies_frame(first: int, count: int, encoded: bytes) -> bytes:
    """Return the frame of a :class:`Replies` made of replies that are encoded already."""
    return _REPLIES_HEAD + encode(first) + join_replies(count, encoded)
