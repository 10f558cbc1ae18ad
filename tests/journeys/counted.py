"""`sipagent` with its arguments, which says on SIGUSR1 how many Python objects it holds."""

from __future__ import annotations

import gc
import signal
import sys

from sipagent.cli import main


def say(*_: object) -> None:
    """``objects N`` on standard error, after a whole collection."""
    gc.collect()
    sys.stderr.write(f"objects {len(gc.get_objects())}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, say)
    sys.exit(main(sys.argv[1:]))
