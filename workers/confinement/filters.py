"""Filters of system calls, as programs for the kernel's seccomp. Pure: numbers in, bytes out.

A program sees the number of a system call and its arguments as plain words, never what they point to. So it can refuse
a whole call, or one by a flag or a family of sockets, but not by a path or an address.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_LOAD = 0x20  # a word of the call
_EQUAL = 0x15
_AT_LEAST = 0x35
_ANY_BIT = 0x45
_RETURN = 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where the words lie
_X32 = 0x40000000  # from here on the numbers are those of another way to call

_NEW_NAMESPACES = 0x7E020000  # the CLONE_NEW… flags

_CPUS = ("x86_64", "aarch64")
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Numbers on x86_64 and on aarch64; None where there is no such call.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "prlimit64": (302, 261),
    "socket": (41, 198),
    "socketpair": (53, 199),
    # other processes, and what is in their memory
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # ways around a filter, and parts of the kernel that plugins have no use for
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "fanotify_init": (300, 262),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "lookup_dcookie": (212, 18),
    # what files there are
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # the machine
    "setns": (308, 268),
    "unshare": (272, 97),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "acct": (163, 89),
    "syslog": (103, 116),
    "vhangup": (153, 58),
}
_WITH_CONDITIONS = frozenset(("clone", "clone3", "prlimit64", "socket", "socketpair"))


class When(Enum):
    """What the first argument has to be for a call to be refused."""

    ANYTHING = 0
    OTHER_THAN = 1
    EQUAL = 2
    WITH_ANY_BIT_OF = 3


class Rule(NamedTuple):
    """One call that is refused; calls without a rule are allowed.

    :ivar call: its name
    :ivar error: the ``errno`` that whoever makes it gets
    """

    call: str
    when: When = When.ANYTHING
    value: int = 0
    error: int = errno.EPERM


OWN_PROCESSES_ONLY: tuple[Rule, ...] = (
    *(Rule(call) for call in _NUMBERS if call not in _WITH_CONDITIONS),
    Rule("clone", When.WITH_ANY_BIT_OF, _NEW_NAMESPACES),
    Rule("clone3", error=errno.ENOSYS),  # its flags lie in memory; without it everybody takes clone
    Rule("prlimit64", When.OTHER_THAN, 0),  # 0 is the caller itself
)
"""Nothing that reaches into other processes, around the filter, or into what the whole machine shares."""

NO_NETWORK: tuple[Rule, ...] = (
    Rule("socket", When.OTHER_THAN, socket.AF_UNIX),
    Rule("socketpair", When.OTHER_THAN, socket.AF_UNIX),
)
"""No socket of any family that leaves the machine, or that speaks to the kernel."""

NO_LOCAL_SOCKETS: tuple[Rule, ...] = (Rule("socket", When.EQUAL, socket.AF_UNIX),)
"""No socket that could be connected to another program's; pairs of connected ones are allowed."""


def is_known(cpu: str) -> bool:
    """Whether there are numbers for this kind of processor, as ``os.uname().machine`` names it."""
    return cpu in _CPUS


def program(cpu: str, rules: Iterable[Rule]) -> bytes:
    """Return the filter that refuses what the rules say, at most one of them for each call, and allows the rest."""
    column = _CPUS.index(cpu)
    parts = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, _AUDIT[cpu], 1, 0),
        _step(_RETURN, _KILL_PROCESS),  # a program of another architecture, for which the numbers mean other things
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for rule in rules:
        number = _NUMBERS[rule.call][column]
        if number is not None:
            parts += _refuse(number, rule)
    parts.append(_step(_RETURN, _ALLOW))
    return b"".join(parts)


def _refuse(number: int, rule: Rule) -> Iterator[bytes]:
    refused = _step(_RETURN, _ERRNO | rule.error)
    if rule.when == When.ANYTHING:
        yield _step(_EQUAL, number, 0, 1)
        yield refused
        return
    yield _step(_EQUAL, number, 0, 4)
    yield _step(_LOAD, _FIRST_ARGUMENT)  # its lower half: of families, flags and process ids the kernel reads no more
    if rule.when == When.OTHER_THAN:
        yield _step(_EQUAL, rule.value, 1, 0)
    else:
        yield _step(_EQUAL if rule.when == When.EQUAL else _ANY_BIT, rule.value, 0, 1)
    yield refused
    yield _step(_RETURN, _ALLOW)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
