"""Line echo: reads what is there, splits lines, writes them. What the load generator reaches here is its ceiling."""

from __future__ import annotations

import os


def main() -> None:
    """Echo until stdin ends."""
    rest = b""
    while data := os.read(0, 1 << 18):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            answer = memoryview(b"\n".join(lines) + b"\n")
            while answer:
                answer = answer[os.write(1, answer) :]


if __name__ == "__main__":
    main()
