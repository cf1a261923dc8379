"""Which files user code in a sandbox may use, and how. Pure but for the names of Python's own folders.

Rights are bits of Landlock (``landlock(7)``). A right that a kernel does not know is one that it does not refuse; what
needs which version of Landlock stands beside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from enum import IntFlag
from typing import NamedTuple


class Right(IntFlag):
    """What may be done with a file, or with what is in a folder."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13  # version 2; before that nothing may be moved from folder to folder
    TRUNCATE = 1 << 14  # version 3; before that it cannot be refused
    IOCTL_DEV = 1 << 15  # version 5


OLDEST = 3
"""The first version of Landlock (Linux 6.2) that can keep files from being changed."""

_SINCE = {Right.REFER: 2, Right.TRUNCATE: 3, Right.IOCTL_DEV: 5}
_OF_FILES = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV

READ = Right.READ_FILE | Right.READ_DIR | Right.EXECUTE
CHANGE = (
    READ
    | Right.WRITE_FILE
    | Right.TRUNCATE
    | Right.REFER
    | Right.REMOVE_DIR
    | Right.REMOVE_FILE
    | Right.MAKE_DIR
    | Right.MAKE_REG
    | Right.MAKE_SOCK
    | Right.MAKE_FIFO
    | Right.MAKE_SYM
)
_DEVICE = Right.READ_FILE | Right.WRITE_FILE | Right.IOCTL_DEV

_READ_ONLY = ":ro"

# Programs and libraries of the system.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
# What the C library, OpenSSL, time zones and the like look up; nothing in it is secret.
_CONFIGURATION = (  # noqa: SIM905 - one a line would take a page
    "/etc/alternatives /etc/ca-certificates /etc/crypto-policies /etc/debian_version /etc/fonts /etc/gai.conf "
    "/etc/group /etc/host.conf /etc/hostname /etc/hosts /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d "
    "/etc/locale.alias /etc/localtime /etc/magic /etc/mime.types /etc/networks /etc/nsswitch.conf /etc/os-release "
    "/etc/passwd /etc/pki/ca-trust /etc/pki/tls/certs /etc/pki/tls/cert.pem /etc/pki/tls/openssl.cnf "
    "/etc/protocols /etc/resolv.conf /etc/services /etc/ssl/certs /etc/ssl/cert.pem /etc/ssl/openssl.cnf /etc/terminfo "
    "/etc/timezone /run/systemd/resolve/stub-resolv.conf /run/systemd/resolve/resolv.conf"
).split()
_FACTS = (  # noqa: SIM905 - as above
    "/proc/cpuinfo /proc/filesystems /proc/loadavg /proc/meminfo /proc/stat /proc/uptime /proc/version "
    "/proc/sys/kernel/cap_last_cap /proc/sys/kernel/osrelease /proc/sys/kernel/ostype /proc/sys/kernel/random "
    "/proc/sys/vm/overcommit_memory /sys/devices/system/cpu /sys/fs/cgroup /sys/kernel/mm/transparent_hugepage"
).split()
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Grant(NamedTuple):
    """What may be done with one file, or with everything below one folder."""

    path: str
    rights: Right


def handled(version: int) -> Right:
    """Return every right that a version of Landlock can refuse."""
    return Right(sum(right for right in Right if _SINCE.get(right, 1) <= version))


def applicable(grant: Grant, version: int, is_folder: bool) -> Right:
    """Return the rights of a grant that the kernel takes: those that it knows, and that such a place can have."""
    rights = grant.rights & handled(version)
    return rights if is_folder else rights & _OF_FILES


def allowed(paths: Iterable[str]) -> list[Grant]:
    """Return the grants for the operands of ``--allowed-paths``."""
    return [_allowed(path) for path in paths]


def _allowed(path: str) -> Grant:
    if path.endswith(_READ_ONLY):
        return Grant(path.removesuffix(_READ_ONLY), READ)
    return Grant(path, CHANGE)


def necessary(libraries: Iterable[str], own: Iterable[str], process: int) -> list[Grant]:
    """Return what user code gets in every sandbox: to read system, Python and libraries, and the usual devices.

    :param libraries: folders of the script's own libraries, and whatever else is on ``sys.path``
    :param own: folders of packages that this program may still have to import from
    :param process: pid of the process that is confined; it may read about itself
    """
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.realpath(sys.executable)}
    readable = [*_SYSTEM, *_CONFIGURATION, *_FACTS, *sorted(python), *libraries, *own, f"/proc/{process}"]
    return [Grant(path, READ) for path in readable if path] + [Grant(path, _DEVICE) for path in _DEVICES]
