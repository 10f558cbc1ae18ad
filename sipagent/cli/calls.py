"""`sipagent calls`: what is remembered of calls."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from rich.table import Table

from sipagent.cli.arguments import moment, positive_count
from sipagent.cli.output import console, print_json
from sipagent.cli.record import at_utc, print_record, record_as_json, summary_as_json
from sipagent.config import read_database_url
from sipagent.errors import StoreError, UserError
from sipagent.identifiers import CallId
from sipagent.store import CallStore, open_store

T = TypeVar("T")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = "Shows what the database (SIPAGENT_DATABASE_URL, or --database) remembers of calls."
    parser.epilog = """\
examples:
  sipagent calls list
  sipagent calls list --reason caller_hung_up --limit 10
  sipagent calls show rtc_u1_0123
  sipagent calls show rtc_u1_0123 --json | jq .transcript"""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = commands.add_parser(
        "list",
        help="the latest calls",
        description="Lists calls, newest first.",
        epilog="""\
examples:
  sipagent calls list --agent front-desk
  sipagent calls list --before 2026-11-30T09:00 --json""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listing.add_argument("--limit", type=positive_count, default=50, metavar="N", help="at most so many (50)")
    listing.add_argument(
        "--before", type=moment, metavar="TIME", help="only calls that began before then (UTC)"
    )
    listing.add_argument("--agent", metavar="NAME", help="only calls that this agent answered")
    listing.add_argument("--reason", metavar="REASON", help="only calls that ended so, such as agent_hung_up")
    showing = commands.add_parser(
        "show",
        help="one call, with all that is known of it",
        description="Shows one call: states, transcript, tools, usage and latencies.",
        epilog="""\
examples:
  sipagent calls show rtc_u1_0123
  sipagent calls show rtc_u1_0123 --json | jq -r '.transcript[].text'""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    showing.add_argument("call_id", metavar="CALL_ID")
    for command in (listing, showing):
        command.add_argument("--database", metavar="URL", help="such as sqlite:///sipagent.db")
        command.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List or show."""
    return _list(arguments) if arguments.action == "list" else _show(arguments)


def _list(arguments: argparse.Namespace) -> int:
    summaries = _ask(
        arguments.database,
        lambda store: store.calls(
            limit=arguments.limit, before=arguments.before, agent=arguments.agent, reason=arguments.reason
        ),
    )
    if arguments.json:
        print_json([summary_as_json(summary) for summary in summaries])
        return 0
    out = console()
    if not summaries:
        out.print("No calls.")
        return 0
    table = Table(
        "call", "began (UTC)", "from", "to", "agent", "state", "ended because", "fault of", box=None
    )
    for summary in summaries:
        ending = summary.end_reason or "–"
        values = (summary.caller, summary.dialled, summary.agent, summary.state, ending, summary.fault_owner)
        table.add_row(summary.call_id, at_utc(summary.started_at), *(value or "–" for value in values))
    out.print(table)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    record = _ask(arguments.database, lambda store: store.call(CallId(arguments.call_id)))
    if record is None:
        raise UserError(
            f"there is no call {arguments.call_id!r}; `sipagent calls list` names those there are"
        )
    if arguments.json:
        print_json(record_as_json(record))
    else:
        print_record(record, console())
    return 0


def _ask(url: str | None, question: Callable[[CallStore], Awaitable[T]]) -> T:
    """The answer of the database at ``url``, or of the one that the environment names."""
    url = url or read_database_url()
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        # Opening would create it, and an empty database answers "no calls" to a mistyped name.
        raise StoreError(f"there is no database {file}; name one with --database or SIPAGENT_DATABASE_URL")

    async def ask() -> T:
        store = open_store(url)
        await store.open()
        try:
            return await question(store)
        finally:
            await store.aclose()

    return asyncio.run(ask())
