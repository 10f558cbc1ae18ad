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
from sipagent.cli.record import at_utc, print_record
from sipagent.config import read_database_url
from sipagent.errors import StoreError, UserError
from sipagent.identifiers import CallId
from sipagent.store import CallRecord, CallStore, ConfigurationLoaded, open_store
from sipagent.store.as_json import configuration_as_json, record_as_json, summary_as_json

T = TypeVar("T")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = "Shows what the database (SIPAGENT_DATABASE_URL, or --database) remembers of calls."
    parser.epilog = """\
examples:
  sipagent calls list
  sipagent calls list --reason caller_hung_up --limit 10
  sipagent calls show rtc_u1_0123
  sipagent calls show rtc_u1_0123 --json | jq .transcript
  sipagent calls configuration
  sipagent calls configuration 0a1b2c3d4e5f > as-it-was.yaml"""
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
        description="Shows one call: states, notes, transcript, tools, usage, latencies, configuration.",
        epilog="""\
examples:
  sipagent calls show rtc_u1_0123
  sipagent calls show rtc_u1_0123 --json | jq -r '.transcript[].text'""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    showing.add_argument("call_id", metavar="CALL_ID")
    configuration = commands.add_parser(
        "configuration",
        help="the configurations that served calls, or the text of one",
        description="""\
Lists the configurations that served calls, the one loaded last first; or prints one as it was, with the files
it pulled in (Python modules left out) and without secrets.""",
        epilog="""\
examples:
  sipagent calls configuration
  sipagent calls configuration 0a1b2c3d4e5f > as-it-was.yaml""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    configuration.add_argument("fingerprint", metavar="FINGERPRINT", nargs="?")
    configuration.add_argument(
        "--limit", type=positive_count, default=50, metavar="N", help="list at most so many (50)"
    )
    for command in (listing, showing, configuration):
        command.add_argument("--database", metavar="URL", help="such as sqlite:///sipagent.db")
        command.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List or show."""
    match arguments.action:
        case "list":
            return _list(arguments)
        case "show":
            return _show(arguments)
        case _:
            return _list_configurations(arguments) if not arguments.fingerprint else _configuration(arguments)


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
    async def ask(store: CallStore) -> tuple[CallRecord | None, ConfigurationLoaded | None]:
        record = await store.call(CallId(arguments.call_id))
        if record is None or record.configuration is None:
            return record, None
        return record, await store.configuration(record.configuration)

    record, configuration = _ask(arguments.database, ask)
    if record is None:
        raise UserError(
            f"there is no call {arguments.call_id!r}; `sipagent calls list` names those there are"
        )
    if arguments.json:
        print_json(record_as_json(record))
    else:
        print_record(record, console(), configuration)
    return 0


def _list_configurations(arguments: argparse.Namespace) -> int:
    found = _ask(arguments.database, lambda store: store.configurations(limit=arguments.limit))
    if arguments.json:
        listed = [configuration_as_json(one) for one in found]
        print_json([{key: value for key, value in one.items() if key != "text"} for one in listed])
        return 0
    out = console()
    if not found:
        out.print("No configurations.")
        return 0
    table = Table("configuration", "generation", "loaded (UTC)", "holds", box=None)
    for one in found:
        table.add_row(one.fingerprint, str(one.number), at_utc(one.at), one.summary)
    out.print(table)
    return 0


def _configuration(arguments: argparse.Namespace) -> int:
    found = _ask(arguments.database, lambda store: store.configuration(arguments.fingerprint))
    if found is None:
        raise UserError(
            f"there is no configuration {arguments.fingerprint!r}; "
            "`sipagent calls configuration` names those there are"
        )
    if arguments.json:
        print_json(configuration_as_json(found))
    elif (out := console()).is_terminal:
        out.print(found.text, end="")
    else:
        print(found.text, end="")  # a file is to hold what it held
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
