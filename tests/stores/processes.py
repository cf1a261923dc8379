"""Processes of their own that use a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PRELUDE = (
    "import sys, os\nfrom pathlib import Path\nfrom scriptling.stores.registry import *\n"
    "store = Store(Environment(lambda: Path(sys.argv[1]), durable=False), lambda: 1)\n"
)


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process in which ``store`` is what is kept in the folder named first."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(code: str, *arguments: object) -> str:
    output, _ = start(code, *arguments).communicate(timeout=50)
    return output.strip()
