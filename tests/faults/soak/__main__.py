"""Entry of ``make soak``: two servers under every fault at once, for half an hour; a table of what became of them.

Wants a machine for itself. Exit status 0 if every id was answered once and rightly, and the end was as the beginning.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks import machine, pages
from tests.faults.soak.ledger import ViolationError
from tests.faults.soak.run import soak
from tests.faults.soak.servers import Plan

_FEWEST = 3  # periods: one to warm up, one to begin with, one to end with


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--docs", type=Path, help="a page with marks, to put the outcome between")
    parser.add_argument("--minutes", type=float, default=30, help="how long, the minute to warm up included")
    parser.add_argument("--samples", type=Path, help="a file for every period of each server, a line of JSON each")
    arguments = parser.parse_args()
    periods = max(_FEWEST, round(arguments.minutes))
    plan = Plan(period=arguments.minutes * 60 / periods, periods=periods)
    described = machine.sentence(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = soak(plan, Path(folder))
        except ViolationError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    text = f"{described}. {arguments.minutes:g} minutes.\n\n{outcome.markdown()}"
    sys.stdout.write(f"{text}\n")
    if arguments.samples:
        kept = [(server.name, period) for server in outcome.servers for period in server.periods]
        arguments.samples.write_bytes(b"\n".join(map(msgspec.json.encode, kept)))
    if arguments.docs:
        pages.update(arguments.docs, "soak", text, "make soak")
    return 0 if all(trend.holds for trend in outcome.trends) else 1


if __name__ == "__main__":
    sys.exit(main())
