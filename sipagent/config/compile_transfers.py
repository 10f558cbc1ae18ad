"""Turns the targets of transfers into where calls may go, and holds them against the carriers of the file."""

from __future__ import annotations

from sipagent.calls.profile import CallTool, TransferTarget
from sipagent.config.compiling import Compiling
from sipagent.config.effective import Effective
from sipagent.config.schema import TransferEntry
from sipagent.config.schema.agents import MESSAGE
from sipagent.config.source import KeyPath
from sipagent.config.values import suggestion

_CARRIERS: KeyPath = ("carriers",)


def transfer_targets(
    compiling: Compiling, effective: Effective, call_tools: tuple[CallTool, ...]
) -> tuple[TransferTarget, ...]:
    """Where an agent with ``call_tools`` may send calls; reports targets without the tool, the tool
    without targets, and whatever a target names that there is not."""
    entries = effective.keys("transfer").transfer
    if CallTool.TRANSFER in call_tools:
        if not entries:
            index = effective.keys("tools").tools.index("transfer")
            message = f"`{effective.name}` has the tool transfer and nowhere to transfer to."
            compiling.report(
                (*effective.path("tools"), index),
                message,
                "Add `transfer:` with at least one target.",
                relies_on=effective.places("transfer", "tools"),
            )
    elif entries and effective.own("transfer"):
        message = f"`{effective.name}` has targets to transfer to, but not the tool."
        compiling.report(
            effective.path("transfer"),
            message,
            "Add `- transfer` to its tools.",
            at_key=True,
            relies_on=effective.places("tools"),
        )
    return tuple(_target(compiling, effective, name, entry) for name, entry in entries.items())


def _target(compiling: Compiling, effective: Effective, name: str, entry: TransferEntry) -> TransferTarget:
    path = (*effective.path("transfer"), name)
    agents, calendars = compiling.names("agents"), compiling.names("calendars")
    if entry.hours is not None and entry.hours not in calendars:
        compiling.report(
            (*path, "hours"),
            f"There is no calendar `{entry.hours}`.",
            suggestion(entry.hours, calendars) if calendars else "Describe it below `calendars:`.",
            relies_on=[("calendars", entry.hours)],
        )
    if entry.otherwise is not None and entry.otherwise != MESSAGE:
        handoffs = effective.keys("handoffs").handoffs
        if entry.otherwise not in agents:
            compiling.report(
                (*path, "otherwise"),
                f"There is no agent `{entry.otherwise}`.",
                suggestion(entry.otherwise, (MESSAGE, *agents)),
                relies_on=[("agents", entry.otherwise)],
            )
        elif entry.otherwise not in handoffs:
            compiling.report(
                (*path, "otherwise"),
                f"`{effective.name}` may not hand over to `{entry.otherwise}`.",
                f"Add it to `handoffs:` of {effective.name}, or write {MESSAGE}.",
                relies_on=effective.places("handoffs"),
            )
    _check_way(compiling, path, entry)
    return TransferTarget(
        name=name,
        uris=tuple(entry.to),
        label=entry.label,
        description=entry.description,
        calendar=entry.hours,
        otherwise=entry.otherwise,
        confirm_s=entry.confirm_s,
        way=entry.way,
    )


def _check_way(compiling: Compiling, path: KeyPath, entry: TransferEntry) -> None:
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
