"""The life of a server as its hosts see it: opening, serving, ending, or never having begun."""

from __future__ import annotations

import logging
from collections.abc import Callable

from scriptling.errors import ErrorCode, RpcError
from scriptling.settings import Settings
from workers.calls.dispatch import Dispatcher
from workers.calls.pool import describe_end
from workers.calls.tickets import Caller
from workers.frames import Classes, Flag, Registered
from workers.front_end.ending import SETUP_FAILED, Ending, Phase
from workers.front_end.opening import Opening
from workers.front_end.owners import Owners
from workers.front_end.plain_service import PlainService
from workers.front_end.service import TOO_DEEP, Service
from workers.front_end.session import Session

_log = logging.getLogger("scriptling.server")


class Life:
    """What the server is, and what every session is told of it.

    :param clock: returns seconds that only go up
    :param begin: called once, when there is something to offer and just before the first host is answered
    :ivar decided: called when it is known what is served, or that nothing is, before any session is told
    :ivar leaving: called when the server begins to end
    :ivar recall: takes back from workers and store what they have not begun for a caller that has gone; set by whoever
        has them
    :ivar ending: begins with the first reason to stop
    :ivar owners: who owns what is made over a network
    :ivar serving: whether hosts are answered
    :ivar failed: whether they never will be
    """

    def __init__(
        self, settings: Settings, dispatcher: Dispatcher, clock: Callable[[], float], begin: Callable[[], None]
    ) -> None:
        self.ending = Ending()
        self.opening = Opening(settings.call_timeout)
        self.service = Service(dispatcher, self.begin_ending, settings.call_timeout)
        self.owners = Owners(settings.object_ttl)
        self.decided: list[Callable[[], None]] = []
        self.leaving: list[Callable[[], None]] = []
        self.recall: Callable[[Caller], None] = _nobody_to_ask
        self.serving = False
        self.failed = False
        self._dispatcher = dispatcher
        self._grace = settings.graceful_timeout
        self._clock = clock
        self._begin = begin
        self._sessions: dict[Session, None] = {}  # a set that keeps the order
        self._listeners: dict[int, Session] = {}
        self._refusal: RpcError | None = None

    def open(self, session: Session) -> None:
        """Take in a host; it is answered as soon as there is something to offer."""
        self._sessions[session] = None
        if session.flags & Flag.CALLBACKS:
            self._listeners[session.session] = session
        if self._refusal is not None:
            session.refuse(self._refusal)
        elif self.serving:
            session.open()

    def close(self, session: Session, owner_ends: bool) -> None:
        """Let a host go: what it waits for is not begun if it has not been, and not answered.

        :param owner_ends: whether nobody can come back who owns what it has made; that is destroyed
        """
        del self._sessions[session]
        if self._listeners.get(session.session) is session:
            del self._listeners[session.session]
        session.leave()
        if session.owed:
            self.withdraw(session)
        if owner_ends:
            self.service.forget(session.session)

    def withdraw(self, caller: Caller) -> bool:
        """Do not begin what a caller that has gone waits for; return whether there was anything of that kind."""
        self.recall(caller)
        return bool(self._dispatcher.withdraw(caller))

    def log_to(self, number: int, params: bytes) -> None:
        """Send a log record to the host that owns what is made under this number, if there is one and it listens.

        In the last phase there are only answers: user code that still runs could keep them from ever being all out.
        """
        session = self._listeners.get(number)
        if session is not None and self.ending.phase < Phase.FLUSHING:
            session.log(params)

    @property
    def sessions(self) -> int:
        """How many conversations there are."""
        return len(self._sessions)

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet if anything will be served: what came already is owed an answer."""
        return not (self.serving or self.failed)

    # Opening

    def registered(self, frame: Registered) -> None:
        """Take in what the setup script declared."""
        self.opening.registered = frame
        self._dispatcher.shards.place([declared.name for declared in frame.declaration.classes])
        self._serve_if_complete()

    def resolved(self, frame: Classes) -> None:
        """Take in the classes as an object store resolved them."""
        self.opening.classes = frame
        self._serve_if_complete()

    def _serve_if_complete(self) -> None:
        if not self.undecided:
            return
        if self.opening.problems:
            self.fail(SETUP_FAILED, *self.opening.problems)
        elif self.opening.complete:
            self.serving = True
            self._offer()
            self._begin()
            self._tell()
            for session in [*self._sessions]:  # one that has been answered may close
                session.open()

    def _tell(self) -> None:
        for told in self.decided:
            told()

    def _offer(self) -> None:
        opening = self.opening
        if opening.serves_plugin:
            self.service.offer = opening.offer()
        else:
            self.service.plain = PlainService(self._dispatcher, opening.declaration.methods, opening.timeout)

    def fail(self, exit_code: int, *problems: str) -> None:
        """Tell everybody that this server will not serve, or no more, and end."""
        for problem in problems:
            _log.error("%s", problem)
        what = "cannot go on" if self.serving else "could not start"
        self._refuse(RpcError(ErrorCode.INTERNAL_ERROR, f"the plugin {what}: {'; '.join(problems)}"))
        self.begin_ending(exit_code)
        self.ending.exit_code = self.ending.exit_code or exit_code  # the host may have gone before, which is no fault

    def _refuse(self, error: RpcError) -> None:
        self.failed = True
        self._refusal = error
        self._tell()
        for session in [*self._sessions]:
            session.refuse(error)

    # What becomes of the setup process

    def setup_ended(self, exit_code: int) -> None:
        """Note that the setup script has come to its end."""
        if self.undecided:
            how = "failed" if exit_code == SETUP_FAILED else f"ended with exit status {exit_code}"
            self.fail(exit_code, f"the setup script {how} before the server had started")
        elif not self.ending.begun:
            self.begin_ending(exit_code)
        elif self.serving:
            self.ending.exit_code = self.ending.exit_code or exit_code

    def setup_died(self, code: int) -> None:
        """Note that the process of the setup script was killed; the server does not need it to go on."""
        if self.serving:
            _log.warning("the setup script died: it %s; its clean-up code will not run", describe_end(code))
        else:
            self.fail(SETUP_FAILED, f"the setup script died before it had started the server: it {describe_end(code)}")

    # Ending

    def begin_ending(self, exit_code: int = 0, grace: float | None = None) -> None:
        """Take no new calls, and end in order.

        :param grace: seconds for all of it, if not those of the settings
        """
        self.service.draining = True
        self.ending.begin(self._clock(), self._grace if grace is None else grace, exit_code)
        for told in self.leaving:
            told()

    def stop(self) -> None:
        """End in order because a signal asks for it; do not wait for a setup script that has not started the server."""
        if self.undecided:
            self._refuse(RpcError(ErrorCode.SHUTTING_DOWN, "the plugin was stopped before it had started"))
            self.begin_ending(grace=0)
        else:
            self.begin_ending()

    def refuse_queued(self) -> None:
        """Answer queued calls that would wait for ever behind calls that wait for callbacks."""
        for ticket in self._dispatcher.give_up_queued():
            self._dispatcher.fail(ticket, RpcError(ErrorCode.TOO_DEEP, TOO_DEEP))

    def cut_off(self) -> None:
        """Answer what did not finish within the grace period, or did not even begin to be looked at."""
        for session in [*self._sessions]:
            if session.early:
                session.refuse(RpcError(ErrorCode.SHUTTING_DOWN, "the plugin shut down before it had started"))
        for ticket in self._dispatcher.abandon():
            text = f"the plugin shut down before {ticket.method or ticket.target} returned"
            self._dispatcher.fail(ticket, RpcError(ErrorCode.SHUTTING_DOWN, text))


def _nobody_to_ask(caller: Caller) -> None:
    return None
