"""The command line of the harness."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth import PLOTS
from benchmarks.server import Command
from benchmarks.workloads import ALL

ROUNDS, SECONDS = 5, 0.35
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.1

_EPILOG = """\
A peer's command may hold {setup}, the setup script to serve, and {workers}, the number of worker processes; without
the latter it does not take part where that number is varied.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of arguments."""
    made = argparse.ArgumentParser("python -m benchmarks", epilog=_EPILOG)
    made.description = "Measure this project's server beside peers and limits. 'growth' draws costs against sizes."
    made.add_argument("what", nargs="?", choices=["compare", "growth"], default="compare")
    made.add_argument("--quick", action="store_true", help="short rounds, for a first look")
    made.add_argument("--only", type=_names, metavar="WORKLOAD[,…]", help="run only these (see --list)")
    made.add_argument("--peer", action="append", type=_peer, default=[], metavar="NAME='command line'")
    made.add_argument("--rounds", type=_positive, metavar="N", help="rounds of every case, at least")
    made.add_argument("--seconds", type=float, metavar="S", help="seconds of a round of one contestant")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    made.add_argument("--svg", type=Path, metavar="FILE", help="draw the comparison, or the growth")
    made.add_argument("--docs", type=Path, metavar="FILE", help="put the tables between the marks in a page")
    made.add_argument("--list", action="store_true", help="name the workloads, and stop")
    return made


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; on errors, say which, and exit with 2."""
    arguments = parser().parse_args(argv)
    arguments.rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    arguments.seconds = arguments.seconds or (QUICK_SECONDS if arguments.quick else SECONDS)
    return arguments


def _names(text: str) -> list[str]:

    names, known = text.split(","), {*(workload.name for workload in ALL), *PLOTS}
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"no workload {name!r} (there are: {', '.join(sorted(known))})")
    return names


def _peer(text: str) -> Command:
    try:
        return Command.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
