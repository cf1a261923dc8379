"""Entry of ``make faults``: every check at full scale, one after the other; a table of what was measured.

Wants a machine for itself. Exit status 0 if every check held in every run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from benchmarks import machine, pages
from tests.faults import figures, table
from tests.faults.figures import Figure

FOLDER = Path(__file__).parent
ELSEWHERE = FOLDER.parent / "conformance" / "test_stdout.py"  # check 27


@dataclass(eq=False)
class Tally:
    """How the tests of one run came out.

    :ivar status: the exit status of pytest
    """

    status: int = 0
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.skipped:
            self.skipped[report.nodeid] = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else "")
        elif report.when == "call":
            self.passed += 1


def run(arguments: list[str], path: Path) -> Tally:
    """Run the checks once; their figures are appended to a file."""
    tally = Tally()
    flags = ["-q", "-o", "faulthandler_timeout=0", f"--{figures.OPTION}", str(path)]
    tally.status = pytest.main([*flags, *(arguments or [str(FOLDER), str(ELSEWHERE)])], plugins=[figures, tally])
    return tally


def outcome(described: str, tallies: list[Tally], path: Path) -> str:
    """Return what there is to say about all runs, as Markdown; ``described`` is the machine."""
    measured = [msgspec.json.decode(line, type=Figure) for line in path.read_bytes().splitlines()]
    results = [f"{tally.passed} tests passed, {len(tally.failed)} failed" for tally in tallies]
    runs = "1 run" if len(tallies) == 1 else f"{len(tallies)} runs"
    lines = [f"{described}. {runs}: {'; '.join(results)}.", ""]
    for tally in tallies:
        lines += [f"- failed: `{name}`" for name in tally.failed]
    for name, reason in {name: reason for tally in tallies for name, reason in tally.skipped.items()}.items():
        lines.append(f"- skipped: `{name}`: {reason}")
    return "\n".join([*lines, "", table.markdown(measured)])


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--docs", type=Path, help="a page with marks, to put the outcome between")
    parser.add_argument("--runs", type=int, default=1, help="how many times; the table has the worst of each figure")
    parser.add_argument("tests", nargs="*", help="only these, or flags of pytest after --")
    arguments = parser.parse_args()
    described = machine.sentence(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures")
        path.touch()
        tallies = [run(arguments.tests, path) for _ in range(arguments.runs)]
        text = outcome(described, tallies, path)
    sys.stdout.write(f"\n{text}\n")
    if arguments.docs:
        pages.update(arguments.docs, "faults", text, "make faults")
    return max(tally.status for tally in tallies)


if __name__ == "__main__":
    sys.exit(main())
