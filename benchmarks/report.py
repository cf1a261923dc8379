"""Figures as text for people, as Markdown for the docs, and as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from benchmarks.model import OURS, Absence, Outcome, Result, Workload
from benchmarks.stats import median, spread, times_better
from benchmarks.targets import Verdict

Row = tuple[str, ...]
HEADINGS: Row = ("", "median", "", "±", "rounds", f"{OURS} is better by")


def number(value: float) -> str:
    """Return a number with three digits that mean something; NaN is a dash."""
    if math.isnan(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def row(result: Result, ours: Result | None) -> Row:
    """Return the cells of one result."""
    better = f"{number(times_better(ours, result))} ×" if ours and ours is not result else ""
    cells = (number(median(result.values)), result.metric.unit, f"{spread(result.values):.0%}", str(len(result.values)))
    return (result.contestant, *cells, better)


def groups(outcome: Outcome, workload: str) -> Iterator[tuple[str, list[Row]]]:
    """Yield the title and the rows of each case and metric of a workload."""
    mine = [result for result in outcome.results if result.workload == workload]
    for case, in_case in groupby(mine, lambda result: result.case):
        results = list(in_case)
        for metric in dict.fromkeys(result.metric for result in results):
            same = [result for result in results if result.metric == metric]
            title = case if metric.name in {"rate", "time"} else f"{case}: {metric.name}"
            yield title, [row(result, outcome.find(workload, case, OURS, metric.name)) for result in same]


def text(outcome: Outcome, workloads: Sequence[Workload], verdicts: Sequence[Verdict]) -> str:
    """Return the whole report for a terminal."""
    lines: list[str] = []
    for workload in workloads:
        lines += ["", f"{workload.name}: {workload.title}"]
        for title, rows in groups(outcome, workload.name):
            lines += [f"  {title}", *(f"    {_line(cells)}" for cells in rows)]
    lines += ["", *absences(outcome.absences), "", "Must reach", *map(_verdict_line, verdicts)]
    return "\n".join(lines).strip() + "\n"


def _line(cells: Row) -> str:
    name, value, unit, give, _, better = cells
    return f"{name:<34}{value:>9} {unit:<12} ±{give:>4}" + (f"   {better:>8}" if better else "")


def absences(missing: Sequence[Absence]) -> list[str]:
    """Return a line for everybody who did not take part, equal reasons in one."""
    cases: dict[tuple[str, str, str, str], list[str]] = {}
    for absence in missing:
        key = ("broke" if absence.broke else "skipped", absence.workload, absence.contestant, absence.reason)
        cases.setdefault(key, []).append(absence.case)
    return [
        f"{what}: {contestant} in {workload} ({', '.join(names)}): {reason}"
        for (what, workload, contestant, reason), names in cases.items()
    ]


def verdict_cells(verdict: Verdict) -> Row:
    """Return what is demanded, the bound, what was measured, and what came of it."""
    target = verdict.target
    bound = f"{'≥' if target.least else '≤'} {_plain(target.bound)} {target.unit}"
    said = {True: "reached", False: "missed", None: "not measured"}[verdict.reached]
    return target.says, bound, f"{number(verdict.measured)} {target.unit}", said


def _plain(value: float) -> str:
    return f"{value:,.10g}"


def _verdict_line(verdict: Verdict) -> str:
    says, bound, measured, said = verdict_cells(verdict)
    return f"  {says:<46}{bound:<18}{measured:<18}{said}"


def markdown(outcome: Outcome, workloads: Sequence[Workload], verdicts: Sequence[Verdict], machine: str) -> str:
    """Return the tables of the docs."""
    parts = [f"Measured on: {machine}.", "### Must reach", _table(VERDICT_HEADINGS, map(verdict_cells, verdicts))]
    for workload in workloads:
        rows = [
            (title if i == 0 else "", *cells)
            for title, same in groups(outcome, workload.name)
            for i, cells in enumerate(same)
        ]
        if rows:
            parts += [f"### {workload.name}: {workload.title}", _table((*HEADINGS[:1], "who", *HEADINGS[1:]), rows)]
    missing = absences(outcome.absences)
    return "\n\n".join([*parts, *(["### Not measured", "\n".join(f"- {each}" for each in missing)] if missing else [])])


VERDICT_HEADINGS: Row = ("", "at least / at most", "measured", "")


def _table(headings: Row, rows: Any) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def as_json(outcome: Outcome, verdicts: Sequence[Verdict], machine: dict[str, Any]) -> dict[str, Any]:
    """Return all figures, every round's value included."""
    return {
        "machine": machine,
        "results": [_result(outcome, result) for result in outcome.results],
        "skipped": [vars(absence) for absence in outcome.absences],
        "targets": [_target(verdict) for verdict in verdicts],
    }


def _result(outcome: Outcome, result: Result) -> dict[str, Any]:
    ours = outcome.find(result.workload, result.case, OURS, result.metric.name)
    return {
        "workload": result.workload,
        "case": result.case,
        "metric": result.metric.name,
        "unit": result.metric.unit,
        "more_is_better": result.metric.more,
        "contestant": result.contestant,
        "median": median(result.values),
        "spread": spread(result.values),
        "ours_is_better_by": times_better(ours, result) if ours else None,
        "values": result.values,
    }


def _target(verdict: Verdict) -> dict[str, Any]:
    says, bound, _, said = verdict_cells(verdict)
    measured = None if math.isnan(verdict.measured) else verdict.measured
    return {"target": says, "bound": bound, "unit": verdict.target.unit, "measured": measured, "outcome": said}
