"""Who answers what running calls ask of the host and of the object stores."""

from __future__ import annotations

from dataclasses import dataclass

from scriptling.protocol.jsonrpc import Response, encode_error_object
from scriptling.protocol.messages import NULL_VALUE, Method
from workers.calls.dispatch import Dispatcher
from workers.calls.tickets import Ticket
from workers.frames import Ask, Kind, Want
from workers.front_end.session import Session
from workers.questions.relay import Loss, Question, Relay

_KINDS = {Want.METHOD: Kind.METHOD, Want.ADOPT: Kind.ADOPT}


class HostResponder:
    """Callbacks: the host at the root of the call answers (protocol section 4)."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def ask(self, question: Question, ask: Ask) -> None:
        """Send the host a request; see :class:`workers.questions.relay.Responder`."""
        session = _root(question)
        question.number = session.call_host(
            Method.CALLBACK_CALL, ask.params, lambda response: self._answered(question, response)
        )

    def _answered(self, question: Question, response: Response) -> None:
        if response.error is not None:
            self._relay.settle(question, True, encode_error_object(response.error))
        else:
            payload = NULL_VALUE if response.result in {b"", b"null"} else response.result
            self._relay.settle(question, False, payload)

    def withdraw(self, question: Question) -> None:
        """Ignore what the host will answer."""
        _root(question).forget(question.number)

    def drop(self, loss: Loss) -> None:
        """Release nothing: whoever asks holds nothing of the host's."""


class StoreResponder:
    """Methods of objects, and instances that move to a store: the object stores answer."""

    def __init__(self, relay: Relay, dispatcher: Dispatcher) -> None:
        self._relay = relay
        self._dispatcher = dispatcher

    def ask(self, question: Question, ask: Ask) -> None:
        """Make a call of it; see :class:`workers.questions.relay.Responder`."""
        caller = StoreAnswer(self._relay, question, _root(question))
        seq = self._dispatcher.next_seq()
        self._dispatcher.submit_to_store(
            Ticket(seq, caller, _KINDS[ask.kind], ask.target, ask.method, ask.params, question.flags, question.timeout)
        )

    def withdraw(self, question: Question) -> None:
        """Let the call run to its end; its answer is dropped."""

    def drop(self, loss: Loss) -> None:
        """Release nothing: objects belong to sessions."""


@dataclass(eq=False)
class StoreAnswer:
    """Takes an object store's answer to a question, where a session takes it for a host's call.

    :ivar root: see :class:`workers.questions.relay.Rooted`
    """

    relay: Relay
    question: Question
    root: Session

    @property
    def session(self) -> int:
        """See :class:`workers.calls.tickets.Caller`."""
        return self.root.session

    def answer(self, ticket: Ticket, failed: bool, payload: bytes) -> None:
        """See :class:`workers.calls.tickets.Caller`."""
        self.relay.settle(self.question, failed, payload)


def _root(question: Question) -> Session:
    assert question.session is not None  # the relay refuses questions of those who have none
    return question.session
