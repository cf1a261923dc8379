"""``python -m scriptling``: the same program as the ``scriptling`` command."""

import sys

from scriptling.cli import main

if __name__ == "__main__":
    sys.exit(main())
