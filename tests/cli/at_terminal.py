"""`sipagent` with its standard input as controlling terminal, as a shell would start it.

A new session has no controlling terminal, and without one Ctrl-C is a character like any other.
"""

from __future__ import annotations

import fcntl
import sys
import termios

from sipagent.cli import main

if __name__ == "__main__":
    fcntl.ioctl(sys.stdin.fileno(), termios.TIOCSCTTY, 0)
    sys.exit(main())
