"""How the C library of our processes deals with memory that was freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 8 << 20  # bytes at the end of the heap
_MAPPED = 32 << 20  # bytes; the most that glibc would come to by itself


def keep_freed() -> None:
    """Keep some freed memory for the next large message, in this process and those that it forks.

    What a message of a megabyte needs would otherwise be given back to the kernel and asked for again at every step of
    its way; to have every page cleared and mapped costs more than everything else that is done with it. A C library
    that cannot be told so is left alone.
    """
    with suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_MMAP_THRESHOLD, _MAPPED)
        set_option(_TRIM_THRESHOLD, _KEPT)
