"""Entry of ``python -m benchmarks``: from arguments to a run to a report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import charts, growth, machine, options, pages, report
from benchmarks.runner import Plan, run
from benchmarks.server import ours
from benchmarks.targets import verdicts
from benchmarks.workloads import ALL


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status: 1 if somebody who took part broke."""
    arguments = options.parse(argv)
    if arguments.list:
        return _list()
    return _growth(arguments) if arguments.what == "growth" else _compare(arguments)


def _list() -> int:
    for workload in ALL:
        sys.stdout.write(f"{workload.name:<12}{workload.title}\n")
    for name, plot in growth.PLOTS.items():
        sys.stdout.write(f"{name:<12}growth: {plot.y} against {plot.x}\n")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _compare(arguments: argparse.Namespace) -> int:
    described = machine.describe()
    workloads = [each for each in ALL if not arguments.only or each.name in arguments.only]
    plan = Plan(arguments.rounds, arguments.seconds, (ours(), *arguments.peer))
    outcome = run(workloads, plan, _say)
    reached = verdicts(outcome)
    sentence = machine.sentence(described)
    sys.stdout.write(f"\n{sentence}\n\n{report.text(outcome, workloads, reached)}")
    if arguments.json:
        _write(arguments.json, _json(report.as_json(outcome, reached, described)))
    if arguments.svg:
        _write(arguments.svg, charts.comparison(outcome, sentence))
    if arguments.docs:
        pages.update(arguments.docs, "figures", report.markdown(outcome, workloads, reached, sentence))
    return 1 if any(absence.broke for absence in outcome.absences) else 0


def _growth(arguments: argparse.Namespace) -> int:
    described = machine.describe()
    plots = {name: plot for name, plot in growth.PLOTS.items() if not arguments.only or name in arguments.only}
    grown = growth.run(plots, arguments.quick, _say)
    sys.stdout.write(growth.text(grown))
    if arguments.json:
        _write(arguments.json, _json(growth.as_json(grown, described)))
    if arguments.svg:
        _write(arguments.svg, growth.picture(grown))
    if arguments.docs:
        pages.update(arguments.docs, "growth", growth.markdown(grown, machine.sentence(described)))
    return 0


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
