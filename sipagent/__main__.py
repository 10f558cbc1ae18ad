"""`python -m sipagent` is the command `sipagent`."""

import sys

from sipagent.cli import main

if __name__ == "__main__":
    sys.exit(main())
