"""FastAPI on uvicorn, with a ``ProcessPoolExecutor`` of two processes for the work: what many have for such a service.

Started by itself, with the port as its argument.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

handlers: Any = importlib.import_module("benchmarks.served.handlers")


@dataclass
class Numbers:
    """What is to be added."""

    a: int
    b: int


@dataclass
class Sum:
    """What came of it."""

    result: int


def main(port: int) -> None:
    """Serve until a signal ends it."""
    fastapi: Any = importlib.import_module("fastapi")
    uvicorn: Any = importlib.import_module("uvicorn")
    executor = ProcessPoolExecutor(2)

    async def add(numbers: Numbers) -> Sum:
        return Sum(await asyncio.wrap_future(executor.submit(handlers.add, numbers.a, numbers.b)))

    async def add_all(batch: list[Numbers]) -> list[Sum]:
        return list(await asyncio.gather(*map(add, batch)))

    application = fastapi.FastAPI()
    application.post("/add")(add)
    application.post("/batch")(add_all)
    uvicorn.run(application, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
