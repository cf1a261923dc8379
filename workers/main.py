"""``serve``: from settings to a running server and its exit code. The composition root of this package."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from scriptling import log
from scriptling.options import UsageError
from scriptling.settings import Settings
from scriptling.stores import places
from workers import nursery, reactor
from workers.errlog import ErrorLog
from workers.hiding import hide
from workers.home import Home
from workers.http.listening import CANNOT_LISTEN, ListenError, listen
from workers.nursery import Live, Nursery
from workers.reactor import Reactor
from workers.sockets import Hub, RunFolder, remove_run_folder
from workers.stdio.streams import give_up_streams, take_streams

_FAULT = 1  # exit code

_log = logging.getLogger("scriptling.server")

_Run = Callable[[Home, Nursery, ErrorLog], int]
"""Serves to the end over one transport, and returns the exit code."""


def serve(settings: Settings) -> int:
    """Serve the setup script of the settings, until the host has gone or a signal ends it.

    :returns: the exit code (cli.md): 0 in the end, 3 if there was nothing to serve, 4 if it cannot listen, 130 or 143
        if it was forced
    :raises UsageError: the kernel cannot confine user code as the settings ask
    """
    if settings.sandboxed or settings.no_network:
        _check_confinement(settings)
    _fill_standard_streams()
    try:
        run = _open_transport(settings)
        memory, folder = places.make_memory_folder(), RunFolder()  # what is left of the first goes with the next start
    except (ListenError, OSError) as error:
        sys.stderr.write(f"scriptling: {error}\n")
        return CANNOT_LISTEN if isinstance(error, ListenError) else _FAULT
    home = Home(folder.path, memory, os.urandom(16).hex(), settings._replace(bearer_token=""))
    return _serve_from(home, run)


def _serve_from(home: Home, run: _Run) -> int:
    """Start what every server has, serve, and leave nothing behind."""
    errors = ErrorLog(2)
    children = nursery.fork(lambda: clean_up(home), errors.write_end, lambda: make_live(home))
    os.close(errors.write_end)
    _allow_many_descriptors()
    log.configure(home.settings.log_level, home.settings.log_format, errors.put)
    if home.settings.sandboxed:
        _tell_weakness(home.settings)
    try:
        return run(home, children, errors)
    except ListenError as error:
        errors.put(f"scriptling: {error}\n".encode())
        return CANNOT_LISTEN
    finally:
        children.end()
        while errors.pump():
            pass
        errors.sink.flush()
        clean_up(home)


def clean_up(home: Home) -> None:
    """Remove what is on disk and in memory; done by the nursery, and again if that was killed."""
    remove_run_folder(home.folder)
    places.remove_memory_folder(home.memory)


def _open_transport(settings: Settings) -> _Run:
    """Take hold of the transport before anything else is started.

    :raises ListenError: there is no having it
    """
    if settings.server:
        listener = listen(settings.server)
        give_up_streams()
        hide(settings.bearer_token)
        return partial(_serve_port, listener, settings.bearer_token)
    source, sink = take_streams()
    return partial(_serve_host, source, sink)


def _serve_port(listener: socket.socket, token: str, home: Home, children: Nursery, errors: ErrorLog) -> int:
    from workers import memory  # noqa: PLC0415 - only servers on a port need it
    from workers.http import server as http_server  # noqa: PLC0415 - only servers on a port need it

    memory.keep_freed()
    return http_server.serve(home, children, errors, listener, token)


def _check_confinement(settings: Settings) -> None:
    from workers.confinement.process import find_lack_here  # noqa: PLC0415 - most servers ask for none

    lack = find_lack_here(settings)
    if lack:
        raise UsageError(f"{lack}; the server was not started, because its code would not be confined")


def _tell_weakness(settings: Settings) -> None:
    from workers.confinement.kernel import landlock_version  # noqa: PLC0415 - as above
    from workers.confinement.process import find_weakness  # noqa: PLC0415 - as above

    weakness = find_weakness(settings, landlock_version())
    if weakness:
        _log.warning("%s", weakness)


def _fill_standard_streams() -> None:
    """Open whatever of 0, 1 and 2 is closed, so that nothing else comes to lie there."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _allow_many_descriptors() -> None:
    """Let the front-end have as many descriptors as it may: every thread of a child that asks takes one."""
    import resource  # noqa: PLC0415 - not in children, whose user code may rely on the usual limit

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def make_live(home: Home) -> Live:
    """Return what a child does with its life; called in the nursery."""
    from workers.children import roles as children  # noqa: PLC0415 - what only children need, imported by their nursery

    return children.make_live(home)


def _serve_host(source: int, sink: int, home: Home, children: Nursery, errors: ErrorLog) -> int:
    from workers import memory  # noqa: PLC0415 - while the nursery imports what it needs
    from workers.front_end.frontend import FrontEnd  # noqa: PLC0415
    from workers.front_end.signals import Signals  # noqa: PLC0415
    from workers.stdio.host import StdioHost  # noqa: PLC0415

    memory.keep_freed()
    loop = Reactor()
    hub = Hub(home.folder)
    front_end = FrontEnd(home, children, hub, loop)
    signals = Signals(front_end)
    loop.watch(signals.fileno(), reactor.READ, signals.take)
    loop.watch(errors.read_end, reactor.READ, lambda events: _pass_on(errors, loop))
    StdioHost(front_end, loop, home.settings, source, sink)
    front_end.start()
    while not (front_end.life.ending.over or signals.forced):
        patience = front_end.turn()
        if errors.sink.size:
            errors.sink.flush()
        loop.turn(patience)
    front_end.flush()  # what has come with the last turn has been refused
    hub.close()
    return signals.forced or front_end.life.ending.exit_code


def _pass_on(errors: ErrorLog, loop: Reactor) -> None:
    if not errors.pump() and errors.ended:
        loop.forget(errors.read_end)
