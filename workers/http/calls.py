"""``POST /json-rpc``: each request is a conversation of its own, of one message or one batch (protocol section 1).

Nothing here waits: whoever has read a request begins an exchange, and is called when there is an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import NamedTuple

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.broken import too_large
from scriptling.protocol.jsonrpc import NULL_ID, Batch, Event, Invalid, Request, Response, encode_error, parse
from scriptling.settings import Settings
from workers.frames import Flag
from workers.front_end.frontend import FrontEnd
from workers.front_end.owners import MOST_TOKENS, SHARED
from workers.front_end.service import Ends
from workers.front_end.session import Session
from workers.http.replies import CLOSE, JSON, RETRY, Reply, Scope, sentence

MEBIBYTE = 1 << 20
_TYPES = frozenset({b"application/json", b"application/json-rpc", b"application/jsonrequest"})
_ONLY_POST = sentence(405, "POST a JSON-RPC message here", (b"allow", b"POST"))
_ONLY_JSON = sentence(415, "send JSON, with Content-Type: application/json and no Content-Encoding")
_NO_CONTENT = Reply(204)
_JSON = (JSON,)
_HALF_CLOSED = encode_error(
    NULL_ID,
    RpcError(
        ErrorCode.CANCELLED,
        "the client closed its side of the connection before its call had begun; keep it open until the answer comes",
    ),
)

_log = logging.getLogger("scriptling.server")


class Head(NamedTuple):
    """What the head of an accepted request says.

    :ivar owner: number of the owner of what its calls make
    :ivar timeout: seconds that its calls may execute; 0 is no bound
    """

    owner: int
    timeout: float


class Exchange:
    """One request that waits for its answer.

    :param answered: called once with the answer, unless the request is withdrawn before
    :ivar session: the conversation that it is, while it is open
    """

    __slots__ = ("_answered", "_calls", "_refused", "session")

    def __init__(self, calls: PostedCalls, answered: Callable[[Reply], None], refused: bool) -> None:
        self._calls = calls
        self._answered: Callable[[Reply], None] | None = answered
        self._refused = refused
        self.session: Session | None = None

    def put(self, message: bytes) -> None:
        """Take the message that the session sends."""
        self.finish(_unavailable(message) if self._refused else Reply(200, message, _JSON))

    def finish(self, reply: Reply) -> None:
        """Hand over the answer, if somebody waits for it."""
        answered = self._answered
        if answered is not None:
            self.withdraw()
            self._calls.traffic.sent += len(reply.body)
            try:
                answered(reply)
            except Exception:  # here is a turn of the front-end, which everybody shares
                _log.exception("an answer could not be given to the client that waits for it")

    def half_close(self) -> None:
        """Begin nothing more for a client that may have gone; answer it as soon as what has begun is done."""
        if self.session is not None and self._calls.give_up(self.session):
            self.finish(_unavailable(_HALF_CLOSED))

    def withdraw(self) -> None:
        """Wait for nothing any more: what has not begun never will."""
        if self._answered is not None:
            self._answered = None
            self._calls.ended(self.session)


class PostedCalls:
    """What is at ``/json-rpc`` for plain requests.

    :param wake: called when there is something to do for the front-end
    :ivar open: how many requests have not been answered
    :ivar longest: bytes that a body may have
    :ivar traffic: what bodies have come to
    """

    def __init__(self, front_end: FrontEnd, settings: Settings, wake: Callable[[], None]) -> None:
        self.open = 0
        self.longest = settings.max_message * MEBIBYTE
        self._front_end = front_end
        self._life = front_end.life
        self._settings = settings
        self._wake = wake
        self._flags: dict[int, int] = {}
        self.traffic = front_end.metrics.traffic_of("http")

    def admit(self, scope: Scope) -> Head | Reply:
        """Return what the head of a request says, or the answer to one that cannot be ours, before its body is read."""
        if scope["method"] != "POST":
            return _ONLY_POST
        headers = dict(scope["headers"])
        if (
            not _is_json(headers.get(b"content-type", b""))
            or headers.get(b"content-encoding", b"identity") != b"identity"
        ):
            return _ONLY_JSON
        if int(headers.get(b"content-length", 0)) > self.longest:
            return self.too_large()
        token = headers.get(b"scriptling-session", b"").decode("latin-1")
        try:
            return Head(self._life.owners.of(token, monotonic()), _seconds(headers.get(b"scriptling-timeout", b"")))
        except ValueError as error:
            return sentence(400, str(error))

    def too_large(self) -> Reply:
        """Return the answer to a body that is longer than bodies may be."""
        return Reply(413, encode_error(NULL_ID, too_large(self.longest)), (JSON, CLOSE))

    def begin(self, head: Head, body: bytes, answered: Callable[[Reply], None]) -> Exchange:
        """Take in a whole request whose head was admitted; ``answered`` may be called before this returns."""
        self.open += 1
        self.traffic.received += len(body)
        if len(body) > self.longest:
            exchange = Exchange(self, answered, refused=False)
            exchange.finish(self.too_large())
            return exchange
        event = _without_responses(parse(body, self._settings.max_batch))
        owed = _is_owed_an_answer(event)
        refusal = self._refusal(owed)
        exchange = Exchange(self, answered, refusal is not None)
        session = self._session(head, exchange.put)
        if refusal is None:
            exchange.session = session
            self._life.open(session)
        else:
            session.refuse(refusal)
        session.receive(event)
        if not owed:
            exchange.finish(_NO_CONTENT if refusal is None else _unavailable(encode_error(NULL_ID, refusal)))
        self._wake()
        return exchange

    def give_up(self, session: Session) -> bool:
        """Begin nothing more for a session; return whether that leaves anything of it unanswered."""
        session.left = True
        return bool(session.early) or self._life.withdraw(session)

    def _session(self, head: Head, send: Callable[[bytes], None]) -> Session:
        flags = Flag.LEASED | self._flags.get(head.owner, 0)
        session = Session(self._life.service, send, flags, head.owner, head.timeout)
        session.ends = Ends.NOTHING if head.owner == SHARED else Ends.OWNER
        return session

    def ended(self, session: Session | None) -> None:
        """Note that a request has been answered or withdrawn, and remember what its client has said it can take."""
        self.open -= 1
        if session is None:
            return
        learnt = session.flags & Flag.BIG_INTEGERS
        if learnt and session.session != SHARED:
            self._flags[session.session] = learnt
            if len(self._flags) > MOST_TOKENS:
                del self._flags[next(iter(self._flags))]
        self._life.close(session, owner_ends=False)

    def _refusal(self, owed: bool) -> RpcError | None:
        """Return why no new call is taken now, if that is so."""
        if self._life.ending.begun:
            return RpcError(ErrorCode.SHUTTING_DOWN, "the plugin is shutting down and takes no new calls")
        dispatcher = self._front_end.dispatcher
        waiting = self.open - 1  # a batch is one, for its client waits as others do
        if self._life.serving:
            waiting = min(waiting, len(dispatcher.queue))
        if dispatcher.is_full or waiting >= self._settings.max_queue:
            return RpcError(ErrorCode.OVERLOADED, "the server is overloaded: too many calls wait; try again later")
        if not (owed or self._life.serving):
            return RpcError(ErrorCode.OVERLOADED, "the server is not ready yet; try again later")
        return None


def _is_json(kind: bytes) -> bool:
    return kind in _TYPES or kind.partition(b";")[0].strip().lower() in _TYPES


def _seconds(text: bytes) -> float:
    """Return what the header ``Scriptling-Timeout`` says; 0 if it is missing.

    :raises ValueError: it says nothing of use
    """
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise ValueError("Scriptling-Timeout must be a number of seconds, more than 0")
    return seconds


def _without_responses(event: Event) -> Event:
    """Turn answers to requests of ours into faults: over HTTP we ask nothing."""
    if isinstance(event, Response):
        return _stray(event)
    if isinstance(event, Batch):
        event.items = [_stray(item) if isinstance(item, Response) else item for item in event.items]
    return event


def _stray(response: Response) -> Invalid:
    return Invalid(RpcError(ErrorCode.INVALID_REQUEST, "invalid request: method is missing"), response.id or NULL_ID)


def _is_owed_an_answer(event: Event) -> bool:
    if isinstance(event, Batch):
        return any(isinstance(item, Invalid) or (isinstance(item, Request) and item.id) for item in event.items)
    return isinstance(event, Invalid) or (isinstance(event, Request) and bool(event.id))


def _unavailable(body: bytes) -> Reply:
    return Reply(503, body, (JSON, RETRY))
