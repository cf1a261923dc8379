"""A front-end without anything but its nursery: does what its input says, and writes each notice as a line.

Input: lines of JSON, ``["spawn", NAME]`` or ``["kill", NAME, SIGNAL]``. A child does what its name begins with.
Children write to stderr. At the end of its input this process ends its nursery and says so.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from workers import nursery
from workers.nursery import Born, Died, Kill, Live, Nursery, Role, Spawn
from workers.sockets import remove_run_folder


def say(fd: int, what: object) -> None:
    os.write(fd, json.dumps(what).encode() + b"\n")


def sleep_for_ever() -> NoReturn:
    while True:
        signal.pause()


def idle(descriptors: list[int]) -> None:
    facts = {
        "pid": os.getpid(),
        "leads": os.getsid(0) == os.getpid(),
        "holds": sorted(str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()),
        "given": descriptors,
        "default": [signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGHUP)],
    }
    say(2, facts)
    sleep_for_ever()


def leave(descriptors: list[int]) -> None:
    os._exit(3)


def crash(descriptors: list[int]) -> None:
    os.abort()


def write(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.write(descriptor, b"%d" % os.get_inheritable(descriptor))


def flee(descriptors: list[int]) -> None:
    """Leave behind a process that has left the group and the session, and another below it."""
    if not os.fork():
        os.setsid()
        grandchild = os.fork()
        if grandchild:
            say(2, {"fled": [os.getpid(), grandchild]})
        else:
            os.setsid()
        sleep_for_ever()
    sleep_for_ever()


def forsake(descriptors: list[int]) -> None:
    """Leave behind a process that ends by itself, and stay."""
    child = os.fork()
    if not child:
        grandchild = os.fork()
        if grandchild:
            say(2, {"forsaken": grandchild})
        else:
            time.sleep(0.01)
        os._exit(0)
    os.waitpid(child, 0)
    sleep_for_ever()


ACTS = {"idle": idle, "leave": leave, "crash": crash, "write": write, "flee": flee, "forsake": forsake}


def make_live() -> Live:
    if "barren" in sys.argv:
        raise RuntimeError("nothing can be born here")

    def live(request: Spawn, descriptors: list[int]) -> None:
        ACTS[request.name.partition("-")[0]](descriptors)

    return live


def obey(children: Nursery, line: bytes, descriptors: list[int]) -> None:
    what, name, *more = json.loads(line)
    if what == "spawn":
        children.send(Spawn(name, Role.WORKER, 1), descriptors if name.startswith("write") else [])
    else:
        children.send(Kill(name, *more))


def tell(children: Nursery) -> None:
    for notice in children.notices():
        kind = {Born: "born", Died: "died"}[type(notice)]
        value = notice.pid if isinstance(notice, Born) else notice.code
        say(1, [kind, notice.name, value])


def main(folder: str, pipe: str) -> None:
    children = nursery.fork(lambda: remove_run_folder(Path(folder)), 2, make_live)
    say(1, ["nursery", children._pid])
    while True:
        ready, _, _ = select.select([0, children.fileno()], [], [])
        if children.fileno() in ready:
            tell(children)
        if 0 in ready:
            lines = os.read(0, 1 << 16)  # whoever asks writes whole lines
            if not lines:
                break
            for line in lines.splitlines():
                obey(children, line, [int(pipe)])
    children.end()
    say(1, ["ended"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
