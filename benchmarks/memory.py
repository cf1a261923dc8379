"""Memory and CPU time of a process and everything below it (Linux, from /proc)."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants, parents first; those that end meanwhile are left out."""
    found = [pid]
    for process in found:
        for children in _tasks(process, "children"):
            found += map(int, _read(children).split())
    return found


def proportional(pid: int) -> float:
    """Return the memory in MiB of a process and all below it, pages that several of them share counted once."""
    return sum(_pss(process) for process in tree(pid)) / 1024


def _pss(pid: int) -> int:
    for line in _read(_PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that the living threads of one process have had, in seconds."""
    return sum(int((_read(each).split() or ["0"])[0]) for each in _tasks(pid, "schedstat")) / 1e9


def _tasks(pid: int, name: str) -> list[Path]:
    """Return a file of each thread of a process; none if it has ended, be it while this looks."""
    try:
        return list(_PROC.glob(f"{pid}/task/*/{name}"))
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # ended, or not ours to read
        return ""
