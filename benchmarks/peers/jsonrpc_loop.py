"""A single-process JSON-RPC server as people write it today: ``jsonrpcserver`` in a loop over lines.

Unlike the other modules here, this one is run by itself and answers the load generator.
"""

from __future__ import annotations

import sys

from benchmarks.peers import needed


def main() -> None:
    """Answer until stdin ends."""
    jsonrpcserver = needed("jsonrpcserver")

    def add(a: int, b: int) -> object:
        return jsonrpcserver.Success(a + b)

    for line in sys.stdin:
        sys.stdout.write(jsonrpcserver.dispatch(line, methods={"add": add}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
