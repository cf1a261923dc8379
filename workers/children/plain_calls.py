"""What a worker does with calls of a script's own JSON-RPC methods: plain JSON in, plain JSON out."""

from __future__ import annotations

from types import CoroutineType

from scriptling.errors import RpcError
from scriptling.evaluator import Evaluator
from scriptling.protocol.plain import decode_plain, encode_plain
from scriptling.registry import Declaration
from scriptling.settings import Settings
from workers.children.outcomes import check_size, report, run_coroutine
from workers.frames import Call, Kind


class PlainCalls:
    """The handlers of methods and notifications."""

    def __init__(self, evaluator: Evaluator, declaration: Declaration, settings: Settings) -> None:
        self._evaluator = evaluator
        self._settings = settings
        self._handlers = {
            (Kind.RPC_NOTIFICATION if each.is_notification else Kind.RPC_METHOD, each.name): each.handler
            for each in declaration.methods
        }

    def run(self, call: Call) -> bytes:
        """Run one call, and return the JSON text of its result.

        :raises RpcError: the handler has returned or raised one
        :raises BaseException: whatever else the handler raises
        """
        if call.kind == Kind.RPC_METHOD:
            return self._call(call)
        try:
            self._call(call)
        except BaseException as error:
            report(f"the notification {call.target!r}", error)
        return b"null"

    def _call(self, call: Call) -> bytes:
        depth = self._settings.max_depth
        params = decode_plain(call.params, "params", depth) if call.params else None
        result = self._evaluator.function(self._handlers[Kind(call.kind), call.target])(params)
        if type(result) is CoroutineType:
            result = run_coroutine(result)
        if isinstance(result, RpcError):
            raise result
        return check_size(encode_plain(result, "result", depth), self._settings.max_message)
