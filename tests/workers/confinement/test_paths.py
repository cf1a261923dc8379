"""Which rights to which files; what each version of Landlock can be asked for."""

from __future__ import annotations

import sys

from workers.confinement.paths import CHANGE, READ, Grant, Right, allowed, applicable, handled, necessary


def test_operands_say_whether_a_path_may_be_changed() -> None:
    assert allowed(["/data", "/etc/thing:ro", "/with:colon"]) == [
        Grant("/data", CHANGE),
        Grant("/etc/thing", READ),
        Grant("/with:colon", CHANGE),
    ]


def test_reading_changes_nothing_and_changing_makes_no_devices() -> None:
    writing = Right.WRITE_FILE | Right.TRUNCATE | Right.REMOVE_FILE | Right.REMOVE_DIR | Right.MAKE_REG | Right.REFER
    assert not READ & writing
    assert CHANGE & writing == writing
    assert not CHANGE & (Right.MAKE_BLOCK | Right.MAKE_CHAR | Right.IOCTL_DEV)


def test_kernels_are_asked_for_what_they_know() -> None:
    assert handled(1) == (1 << 13) - 1
    assert handled(2) == (1 << 14) - 1
    assert handled(3) == handled(4) == (1 << 15) - 1
    assert handled(5) == handled(7) == handled(99) == (1 << 16) - 1
    assert applicable(Grant("/x", CHANGE), 1, is_folder=True) & Right.REFER == 0


def test_files_get_the_rights_that_files_can_have() -> None:
    assert applicable(Grant("/x", READ), 7, is_folder=False) == Right.READ_FILE | Right.EXECUTE
    of_a_file = Right.READ_FILE | Right.WRITE_FILE | Right.TRUNCATE | Right.EXECUTE
    assert applicable(Grant("/x", CHANGE), 7, is_folder=False) == of_a_file


def test_every_sandbox_reads_python_libraries_and_itself() -> None:
    grants = dict(necessary(["/plugin", "/more"], ["/ours"], 42))
    for path in (sys.prefix, sys.base_prefix, "/usr", "/plugin", "/more", "/ours", "/proc/42"):
        assert grants[path] == READ


def test_no_sandbox_reads_everything_or_writes_beyond_devices() -> None:
    grants = necessary([], [], 42)
    assert not {"/", "/etc", "/proc", "/home", "/root", "/tmp", "/run", "/var"} & {grant.path for grant in grants}
    assert all(grant.path.startswith("/dev/") for grant in grants if grant.rights & Right.WRITE_FILE)
