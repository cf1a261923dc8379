"""Memory that was freed serves the next large message without being asked of the kernel again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS_OF_LARGE_MESSAGES = """
import resource
from workers import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [bytes(1 << 20) for _ in range(4)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

memory.keep_freed()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_large_messages_do_not_take_new_pages_again_and_again() -> None:
    done = subprocess.run([sys.executable, "-c", _FAULTS_OF_LARGE_MESSAGES], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20  # and not one for each of 20,000 pages
