"""`sipagent` with its arguments, which says on SIGUSR1 how many Python objects it holds."""

from __future__ import annotations

import gc
import signal
import sys
import weakref

from sqlalchemy import Engine

from sipagent.cli import main


def say(*_: object) -> None:
    """``objects N`` on standard error, after a whole collection.

    Statements that SQLAlchemy has compiled are thrown away first: there is one for each shape of a batch, and
    some shapes are rare. Weak references to what is gone are left out: a connection of SQLite keeps one for
    each cursor that it had, and drops them two hundred at a time.
    """
    for one in gc.get_objects():
        if isinstance(one, Engine):
            one.clear_compiled_cache()
    gc.collect()
    count = sum(not (isinstance(one, weakref.ref) and one() is None) for one in gc.get_objects())
    sys.stderr.write(f"objects {count}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, say)
    sys.exit(main(sys.argv[1:]))
