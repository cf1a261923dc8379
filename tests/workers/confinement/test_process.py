"""What a machine lacks for the confinement that was asked for."""

from __future__ import annotations

import pytest

from scriptling.settings import Settings
from workers.confinement.process import find_lack, find_weakness

SANDBOX = Settings(sandbox=True)
PATHS = Settings(allowed_paths=("/data",))
NO_NETWORK = Settings(no_network=True)


@pytest.mark.parametrize("settings", [SANDBOX, PATHS, NO_NETWORK, Settings()])
def test_new_kernel_lacks_nothing(settings: Settings) -> None:
    assert find_lack(settings, 7, True, "x86_64") == ""
    assert find_lack(settings, 3, True, "aarch64") == ""


@pytest.mark.parametrize("settings", [SANDBOX, PATHS])
def test_sandbox_needs_a_landlock_that_keeps_files_whole(settings: Settings) -> None:
    assert "Landlock, which this kernel does not have" in find_lack(settings, 0, True, "x86_64")
    lack = find_lack(settings, 2, True, "x86_64")
    assert "version 3 (Linux 6.2 or newer)" in lack
    assert "this kernel has version 2" in lack


@pytest.mark.parametrize("settings", [SANDBOX, NO_NETWORK])
def test_filters_of_calls_are_needed(settings: Settings) -> None:
    assert "needs seccomp" in find_lack(settings, 7, False, "x86_64")
    assert "this processor is riscv64" in find_lack(settings, 7, True, "riscv64")


def test_without_network_there_is_no_need_for_landlock() -> None:
    assert find_lack(NO_NETWORK, 0, True, "x86_64") == ""


def test_nothing_is_needed_where_nothing_is_asked_for() -> None:
    assert find_lack(Settings(), 0, False, "riscv64") == ""


def test_sentence_names_the_flag() -> None:
    assert find_lack(SANDBOX, 0, True, "x86_64").startswith("--sandbox ")
    assert find_lack(NO_NETWORK, 7, False, "x86_64").startswith("--no-network ")


def test_older_kernel_is_said_to_let_signals_through() -> None:
    assert "Linux 6.12" in find_weakness(SANDBOX, 5)
    assert find_weakness(SANDBOX, 6) == ""
    assert find_weakness(NO_NETWORK, 0) == ""
