"""When a process is confined, and whether it can be.

A process gives up files and system calls while it has one thread, because a thread that exists already keeps what it
has. The threads of ZeroMQ that are started next are confined like all others, with one exception: they may make
sockets to connect to those of the run folder. Threads of user code give that up as well.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import scriptling
import workers
from scriptling.settings import Settings
from workers.confinement import filters, kernel, paths

_OWN = tuple(str(Path(package.__path__[0])) for package in (scriptling, workers))


def find_lack(settings: Settings, version: int, seccomp: bool, cpu: str) -> str:
    """Return what keeps this machine from confining user code as the settings ask; "" if nothing does.

    :param version: of Landlock; 0 is none
    :param seccomp: whether the kernel filters system calls
    :param cpu: kind of processor
    """
    flag = "--sandbox" if settings.sandboxed else "--no-network"
    if not (settings.sandboxed or settings.no_network):
        return ""
    if settings.sandboxed and not version:
        return f"{flag} needs Landlock, which this kernel does not have, or has not switched on (lsm=landlock,…)"
    if settings.sandboxed and version < paths.OLDEST:
        return (
            f"{flag} needs Landlock of version {paths.OLDEST} (Linux 6.2 or newer); this kernel has version {version}"
        )
    if not seccomp:
        return f"{flag} needs seccomp filters, which this kernel does not have"
    if not filters.is_known(cpu):
        return f"{flag} is available on x86_64 and aarch64; this processor is {cpu}"
    return ""


def find_lack_here(settings: Settings) -> str:
    """Return what :func:`find_lack` says of this machine."""
    return find_lack(settings, kernel.landlock_version(), kernel.has_seccomp(), os.uname().machine)


def find_weakness(settings: Settings, version: int) -> str:
    """Return what a sandbox does not stop on this kernel although newer ones would; "" if there is nothing."""
    if settings.sandboxed and not kernel.separates_signals(version):
        return "this kernel lets code in the sandbox send signals to other processes of the user; Linux 6.12 does not"
    return ""


def confine_process(settings: Settings, writable: Collection[str]) -> None:
    """Give up what user code is not to have; the calling thread must be the only one.

    :param writable: folders that user code needs besides those of the settings; made here, as later they cannot be
    :raises OSError: it cannot be done; nothing must run in this process then
    """
    if not (settings.sandboxed or settings.no_network):
        return
    kernel.give_up_privileges()
    if settings.sandboxed:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for folder in writable:
            with suppress(OSError):  # whoever opens it will say what is wrong
                Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        kernel.restrict_files(_grants(settings, writable), kernel.landlock_version())
    kernel.filter_calls(filters.program(os.uname().machine, _rules(settings)))


def confine_thread(settings: Settings) -> None:
    """Give up local sockets in the calling thread, which is the one that starts all threads of user code.

    :raises OSError: as above
    """
    if settings.sandboxed:
        kernel.filter_calls(filters.program(os.uname().machine, filters.NO_LOCAL_SOCKETS))


def _rules(settings: Settings) -> list[filters.Rule]:
    return [*filters.OWN_PROCESSES_ONLY, *(filters.NO_NETWORK if settings.no_network else ())]


def _grants(settings: Settings, writable: Iterable[str]) -> list[paths.Grant]:
    libraries = [*settings.import_path, *(entry for entry in sys.path if Path(entry).is_absolute())]
    return [
        *paths.necessary(libraries, _OWN, os.getpid()),
        *paths.allowed(settings.allowed_paths),
        *(paths.Grant(folder, paths.CHANGE) for folder in writable),
    ]
