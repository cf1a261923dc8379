"""What a child of the nursery does with its life, by its role. Imported once, in the nursery, before the first fork."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import sys
import traceback

import cloudpickle  # noqa: F401 - loaded here, so that no worker loads it again

from scriptling import log
from scriptling.builtins import install_builtins
from scriptling.evaluator import Evaluator
from scriptling.stores import places
from workers import memory
from workers.calls.journal import Writer
from workers.children import setup, task
from workers.children.asking import Asker
from workers.children.fitness import limit_memory
from workers.children.worker import Post, Worker
from workers.confinement.process import confine_process, confine_thread
from workers.home import Home
from workers.nursery import Live, Role, Spawn
from workers.sockets import MOST_SOCKETS, Line
from workers.store.object_store import ObjectStore

_FEWEST_SOCKETS = 16
_DOORS = 2  # of the descriptors that every child is born with, those for its line


def make_live(home: Home) -> Live:
    """Return what a new child does; called in the nursery, so that what is done here is done once for all."""
    log.configure(home.settings.log_level, home.settings.log_format)
    install_builtins()
    memory.keep_freed()
    places.configure(home.memory, home.settings.kv_storage)
    import multiprocess  # noqa: PLC0415 - as cloudpickle above
    import multiprocess.popen_fork  # noqa: F401, PLC0415

    gc.collect()
    gc.freeze()  # what is shared with the children stays shared

    def live(request: Spawn, descriptors: list[int]) -> None:
        code = 1
        try:
            _prepare()
            code = _run_role(home, request, descriptors)
        except BaseException:
            traceback.print_exc()
        finally:
            _flush()
            # Not by the interpreter's own end: it would wait for threads that user code has left running.
            os._exit(code)

    return live


def _prepare() -> None:
    faulthandler.enable(file=2)
    for stream in (sys.stdout, sys.stderr):
        # By lines, PYTHONUNBUFFERED or not: pieces of one would be torn apart by what other processes write.
        stream.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    sys.stdin = os.fdopen(0, closefd=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue


def _run_role(home: Home, request: Spawn, descriptors: list[int]) -> int:
    user_code = request.role != Role.SETUP  # the setup script is the operator's, who has asked for the bounds
    if user_code:
        limit_memory(home.settings.max_memory)
        confine_process(home.settings, home.stores)
    line = Line(descriptors[:_DOORS], home.identity(request.name), _most_sockets(home.settings.workers))
    try:
        if user_code:
            confine_thread(home.settings)
        return _play_role(home, request, descriptors[_DOORS:], line)
    finally:
        line.close()


def _most_sockets(workers: int) -> int:
    """Return how many sockets a child may have, so that all together leave the front-end most of its descriptors."""
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_FEWEST_SOCKETS, min(descriptors // (4 * workers), MOST_SOCKETS))


def _play_role(home: Home, request: Spawn, descriptors: list[int], line: Line) -> int:
    if request.role == Role.SETUP:
        return setup.run(home.settings, line, Asker(line, request.name, home.key, home.settings.max_depth))
    evaluator = Evaluator(home.settings.import_path, home.settings.reload)
    evaluator.install()
    if request.role == Role.TASK:
        return task.run(home.settings, line, Asker(line, request.name, home.key, home.settings.max_depth), evaluator)
    if request.role == Role.STORE:
        ObjectStore(request.name, home.key, line, home.settings, request.generation).run(evaluator)
    else:
        claims, journal = descriptors
        Worker(Post(request.name, home.key, line, claims, Writer(journal)), home.settings, evaluator).run()
    return 0
