"""What is asked of the kernel: Landlock, seccomp, and how much of them there is. The only place with their numbers.

Nothing here can be taken back: what a thread has given up is gone for it and for all that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

from workers.confinement.paths import Grant, applicable, handled

# The same numbers on every architecture.
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION = 1  # flag of _CREATE_RULESET: only tell the version
_PATH_BENEATH = 1  # kind of rule
_NETWORK_SINCE = 4
_SCOPE_SINCE = 6
_NO_ABSTRACT_SOCKETS, _NO_SIGNALS = 1, 2  # to processes that are not confined as this one is

_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers; 0 if it has none, or none that is switched on."""
    version: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    return max(version, 0)


def has_seccomp() -> bool:
    """Whether the kernel filters system calls."""
    supported = _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, None, 0, 0)
    assert supported == -1  # there is no program at address 0
    return ctypes.get_errno() == errno.EFAULT


def separates_signals(version: int) -> bool:
    """Whether this version of Landlock keeps processes from sending signals to those outside."""
    return version >= _SCOPE_SINCE


def give_up_privileges() -> None:
    """Let no program that is started from here have more rights than this process; the kernel asks for this first.

    :raises OSError: it cannot be done
    """
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def restrict_files(grants: Iterable[Grant], version: int) -> None:
    """Leave this thread, and those that it starts, nothing but what the grants name; what does not exist is left out.

    :param version: of Landlock
    :raises OSError: it cannot be done
    """
    ruleset = _create_ruleset(version)
    try:
        for grant in grants:
            _add(ruleset, grant, version)
        _check(_libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _create_ruleset(version: int) -> int:
    attributes = struct.pack("=Q", handled(version))
    if version >= _NETWORK_SINCE:
        attributes += struct.pack("=Q", 0)  # the network is the filter's business, which knows more than TCP
    if version >= _SCOPE_SINCE:
        attributes += struct.pack("=Q", _NO_ABSTRACT_SOCKETS | _NO_SIGNALS)
    size = ctypes.c_size_t(len(attributes))
    return _check(_libc.syscall(_CREATE_RULESET, attributes, size, ctypes.c_uint(0)), "landlock_create_ruleset")


def _add(ruleset: int, grant: Grant, version: int) -> None:
    try:
        place = os.open(grant.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = applicable(grant, version, stat.S_ISDIR(os.fstat(place).st_mode))
        rule = struct.pack("=Qi", rights, place)
        numbers = ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH)
        _check(_libc.syscall(_ADD_RULE, *numbers, rule, ctypes.c_uint(0)), f"landlock_add_rule for {grant.path}")
    finally:
        os.close(place)


def filter_calls(program: bytes) -> None:
    """Have every system call of this thread, and of those that it starts, pass a filter beside those it passes already.

    :raises OSError: it cannot be done
    """
    filter = _Program(len(program) // 8, program)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter), 0, 0), "seccomp")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
