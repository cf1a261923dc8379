"""The whole harness once, with very few calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.__main__ import main
from benchmarks.model import OURS


def test_one_small_workload_from_start_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "figures.svg"
    arguments = ["--only", "batch", "--rounds", "1", "--seconds", "0.01", "--json", str(figures), "--svg", str(picture)]
    assert main([*arguments, "--peer", "nobody=/there/is/no/such/program"]) == 0
    report = json.loads(figures.read_text())
    assert {result["contestant"] for result in report["results"]} == {OURS}
    assert all(value > 0 for result in report["results"] for value in result["values"])
    assert {absence["contestant"] for absence in report["skipped"]} == {"nobody"}
    assert picture.read_text().startswith("<svg")
    assert "Must reach" in capsys.readouterr().out


def test_growth_of_calls_in_flight() -> None:
    plot = growth.PLOTS["inflight"]._replace(sizes=(1, 4))
    grown = growth.run({"inflight": plot}, False, lambda _: None)
    assert [size for size, _ in grown["inflight"].points] == [1, 4]
    assert growth.text(grown).startswith("Calls in flight: ")


def test_workloads_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("add", "callbacks", "memory", "functions"))
