"""`python -m rtsep` is `rtsep`."""

import sys

from rtsep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
