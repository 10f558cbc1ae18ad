"""Holds the ways of transfers against the carriers that are to take them."""

from __future__ import annotations

from sipagent.config.compiling import Compiling
from sipagent.config.schema import TransferEntry
from sipagent.config.source import KeyPath

_CARRIERS: KeyPath = ("carriers",)


def check_way(compiling: Compiling, path: KeyPath, entry: TransferEntry) -> None:
    """Report a way of the target at ``path`` that no carrier of the file can go."""
    if entry.way == "refer":
        return
    carriers, place = compiling.configuration.carriers, (*path, "way")
    if carriers is None or (carriers.twilio is None and carriers.telnyx is None):
        compiling.report(
            place,
            f"`{entry.way}` has a carrier make the call, and the file names none that could.",
            "Add `twilio:` or `telnyx:` below `carriers:`, or write `way: refer`.",
            relies_on=[_CARRIERS],
        )
    elif entry.way == "warm" and carriers.telnyx is not None and carriers.telnyx.connection is None:
        compiling.report(
            place,
            "A warm transfer calls out, and nothing says by which application of Telnyx.",
            "Add `connection:` with its id below `carriers.telnyx`.",
            relies_on=[(*_CARRIERS, "telnyx", "connection")],
        )
