"""The documentation holds: what the README shows works as shown, links lead somewhere, and code can be compiled."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scriptling.errors import ErrorCode
from tests.wire.network import on_a_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SCRIPTLING_")} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
}


def blocks(page: Path) -> list[str]:
    """Return the Python code that a page shows."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the names by which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the README has its readers write."""
    for code in blocks(ROOT / "README.md"):
        name = code.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(code, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["client.py", "async_client.py"])
def test_the_clients_of_the_readme_print_what_their_comments_say(name: str, folder: Path) -> None:
    expected = re.findall(r"print\(.*\)  # (.*)", (folder / name).read_text(encoding="utf-8"))
    command = [sys.executable, "-m", "scriptling", name]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=50, cwd=folder, env=ENVIRONMENT, check=False, stdin=-3
    )
    assert done.stdout.splitlines() == expected, done.stderr
    assert expected


def test_the_request_of_the_readme_is_answered_as_it_says(folder: Path) -> None:
    shown = re.search(r"^\$ curl .*?-d '(.*?)'\n(.*?)$", README, re.MULTILINE | re.DOTALL)
    assert shown
    with on_a_port(folder / "setup.py", environment=ENVIRONMENT) as port:
        answer = port.post(shown[1].encode())
    assert answer.json == json.loads(shown[2])


def test_the_page_on_metrics_has_all_of_them_and_no_other(folder: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    with on_a_port(folder / "setup.py", environment=ENVIRONMENT) as port:
        served = re.findall(r"^# TYPE (\w+)", port.request("GET", "/metrics").body.decode(), re.MULTILINE)
    assert sorted(served) == sorted(re.findall(r"`(scriptling_\w+)`", page))


def test_the_readme_begins_with_how_to_run_and_how_to_test() -> None:
    first = README[: README.index("## ")]
    assert re.findall(r"^\$ (make \w+)", first, re.MULTILINE) == ["make run", "make test"]


def test_the_readme_leads_to_every_page() -> None:
    assert {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} <= {*re.findall(r"\]\(([^)#]+)", README)}


def test_every_code_of_an_error_is_explained() -> None:
    table = re.findall(r"^\| (-32.*?) \|", (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(code) for row in table for code in row.split(", ")} == {*ErrorCode}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_can_be_compiled(page: Path) -> None:
    for code in blocks(page):
        compile(code, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
