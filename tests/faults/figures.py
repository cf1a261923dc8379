"""What the tests of the checks have measured: one line of JSON for each figure, for the table of ``make faults``.

A plugin of pytest as well, with the flag ``--figures FILE``: with it every check runs at its full scale, and keeps its
bound without the room that a crowded machine is given otherwise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import msgspec
import pytest

Unit = Literal["s", "MiB", "×", "", "/s"]
OPTION = "figures"


class Figure(msgspec.Struct, frozen=True):
    """One thing that a check demands, and what came of it.

    :ivar check: its number
    :ivar what: what was measured, under which load
    :ivar relation: ``of`` counts how many of ``demanded`` were as they should
    :ivar unit: of both numbers
    """

    check: int
    what: str
    relation: Literal["≤", "≥", "of"]
    demanded: float
    measured: float
    unit: Unit = ""

    @property
    def holds(self) -> bool:
        """Whether it is as demanded."""
        if self.relation == "of":
            return self.measured == self.demanded
        return self.measured <= self.demanded if self.relation == "≤" else self.measured >= self.demanded


class Figures:
    """Keeps what a test has measured, and holds it against what is demanded.

    :param path: where to, if anybody wants to know; then the machine is quiet as well, and no room is given
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def at_most(self, check: int, what: str, measured: float, limit: float, unit: Unit = "s", room: float = 1) -> None:
        """Hold that a figure is within its limit, or ``room`` times that where other tests run beside this one."""
        self._keep(Figure(check, what, "≤", limit, measured, unit))
        assert measured <= limit * (1 if self._path else room), f"{what}: {measured:g} {unit}, not {limit:g} at most"

    def count(self, check: int, what: str, good: int, of: int) -> None:
        """Hold that all of a number of things were as they should; tests of the same thing are added up."""
        self._keep(Figure(check, what, "of", of, int(good)))
        assert good == of, f"{what}: only {good} of {of}"

    def _keep(self, figure: Figure) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(msgspec.to_builtins(figure), ensure_ascii=False) + "\n")


def percentile(times: list[float], share: float = 0.99) -> float:
    """Return the time that this share of the times does not exceed."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that names the file."""
    parser.addoption(
        f"--{OPTION}", type=Path, help="run every check at full scale, and append what is measured to a file"
    )


def path_of(config: pytest.Config) -> Path | None:
    """Return where figures are to be kept, if anybody wants them."""
    path: Path | None = config.getoption(OPTION, None)
    return path


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """Where tests put what they have measured."""
    return Figures(path_of(pytestconfig))
