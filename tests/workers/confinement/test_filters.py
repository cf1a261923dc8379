"""Filters of system calls, run by an interpreter of the kernel's language that is small enough to be believed."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable

import pytest

from workers.confinement.filters import (
    NO_LOCAL_SOCKETS,
    NO_NETWORK,
    OWN_PROCESSES_ONLY,
    Rule,
    is_known,
    program,
)

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE_NEWUSER, CLONE_VM, CLONE_THREAD = 0x10000000, 0x100, 0x10000

# Numbers as the C library knows them, on x86_64 and aarch64.
NUMBERS = {
    "read": (0, 63),
    "openat": (257, 56),
    "connect": (42, 203),
    "ptrace": (101, 117),
    "io_uring_setup": (425, 425),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "unshare": (272, 97),
    "clone": (56, 220),
    "clone3": (435, 435),
    "prlimit64": (302, 261),
    "socket": (41, 198),
    "socketpair": (53, 199),
}
ALL = (*OWN_PROCESSES_ONLY, *NO_NETWORK)


def judge(cpu: str, rules: Iterable[Rule], call: str | int, first: int = 0, architecture: int | None = None) -> int:
    """Return what a filter says of a call: 0, an errno, or ``KILL``."""
    number = call if isinstance(call, int) else NUMBERS[call][list(ARCHITECTURES).index(cpu)]
    known = ARCHITECTURES[cpu] if architecture is None else architecture
    data = struct.pack("=IIQ6Q", number, known, 0, first & (1 << 64) - 1, *[0] * 5)
    said = run(program(cpu, rules), data)
    return 0 if said == ALLOW else KILL if said == KILL else said - ERRNO


def run(text: bytes, data: bytes) -> int:
    steps = list(struct.iter_unpack("=HBBI", text))
    at, word = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            (word,) = struct.unpack_from("=I", data, value)
        else:
            holds = {0x15: word == value, 0x35: word >= value, 0x45: bool(word & value)}[code]
            at += if_true if holds else if_false


@pytest.fixture(params=ARCHITECTURES)
def cpu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("call", ["read", "openat", "connect"])
def test_what_no_rule_names_is_allowed(cpu: str, call: str) -> None:
    assert judge(cpu, ALL, call) == 0


@pytest.mark.parametrize("call", ["ptrace", "io_uring_setup", "pidfd_getfd", "mount", "unshare"])
def test_named_calls_are_refused(cpu: str, call: str) -> None:
    assert judge(cpu, ALL, call) == errno.EPERM


def test_new_threads_and_processes_are_allowed_and_new_namespaces_are_not(cpu: str) -> None:
    assert judge(cpu, ALL, "clone", CLONE_VM | CLONE_THREAD) == 0
    assert judge(cpu, ALL, "clone", CLONE_VM | CLONE_NEWUSER) == errno.EPERM
    assert judge(cpu, ALL, "clone3") == errno.ENOSYS, "libraries fall back to clone then"


def test_limits_may_be_set_for_oneself_only(cpu: str) -> None:
    assert judge(cpu, ALL, "prlimit64", 0) == 0
    assert judge(cpu, ALL, "prlimit64", os.getpid()) == errno.EPERM


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_VSOCK, 99, -1])
def test_without_network_only_local_sockets_are_made(cpu: str, family: int) -> None:
    assert judge(cpu, ALL, "socket", family) == errno.EPERM
    assert judge(cpu, ALL, "socketpair", family) == errno.EPERM
    assert judge(cpu, OWN_PROCESSES_ONLY, "socket", family) == 0


def test_without_network_local_sockets_are_made(cpu: str) -> None:
    assert judge(cpu, ALL, "socket", socket.AF_UNIX) == 0
    assert judge(cpu, ALL, "socketpair", socket.AF_UNIX) == 0


def test_without_local_sockets_others_and_pairs_are_made(cpu: str) -> None:
    assert judge(cpu, NO_LOCAL_SOCKETS, "socket", socket.AF_UNIX) == errno.EPERM
    assert judge(cpu, NO_LOCAL_SOCKETS, "socket", socket.AF_INET) == 0
    assert judge(cpu, NO_LOCAL_SOCKETS, "socketpair", socket.AF_UNIX) == 0


def test_upper_half_of_a_family_does_not_hide_it(cpu: str) -> None:
    """The kernel reads an int, whatever else is in the register."""
    assert judge(cpu, NO_LOCAL_SOCKETS, "socket", 1 << 32 | socket.AF_UNIX) == errno.EPERM
    assert judge(cpu, NO_NETWORK, "socket", 1 << 32 | socket.AF_INET) == errno.EPERM


def test_other_ways_to_number_calls_are_refused(cpu: str) -> None:
    assert judge(cpu, ALL, "read", architecture=0x40000003) == KILL
    assert judge(cpu, ALL, 0x40000000 | 101) == errno.ENOSYS


def test_processors_without_numbers_are_known_to_be_unknown() -> None:
    assert is_known("x86_64")
    assert is_known("aarch64")
    assert not is_known("riscv64")
