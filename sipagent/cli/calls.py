"""`sipagent calls`: what is remembered of calls."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sipagent.cli import orders
from sipagent.cli.arguments import moment, positive_count
from sipagent.cli.database import ask_database
from sipagent.cli.output import console, print_json, print_table
from sipagent.cli.record import at_utc, print_commands, print_record, print_reports
from sipagent.config import EndReason
from sipagent.config.loader import suggestion
from sipagent.errors import UserError
from sipagent.identifiers import CallId
from sipagent.store import (
    AuditLine,
    CallRecord,
    CallSummary,
    CarrierReported,
    ClaimedCall,
    ConfigurationLoaded,
    Store,
)
from sipagent.store.as_json import (
    audit_as_json,
    configuration_as_json,
    record_as_json,
    report_as_json,
    summary_as_json,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
Shows what the database (SIPAGENT_DATABASE_URL, or --database) remembers of calls, and acts on those that are
up, whichever process holds them."""
    parser.epilog = """\
examples:
  sipagent calls list
  sipagent calls list --reason caller_hung_up --limit 10
  sipagent calls show rtc_u1_0123
  sipagent calls show rtc_u1_0123 --json | jq .transcript
  sipagent calls configuration
  sipagent calls configuration 0a1b2c3d4e5f > as-it-was.yaml
  sipagent calls list --live
  sipagent calls say rtc_u1_0123 "We close in five minutes."
  sipagent calls transfer rtc_u1_0123 billing
  sipagent calls hangup rtc_u1_0123"""
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
    listing.add_argument("--live", action="store_true", help="only calls that are up, and who holds them")
    listing.add_argument("--limit", type=positive_count, default=50, metavar="N", help="at most so many (50)")
    listing.add_argument(
        "--before", type=moment, metavar="TIME", help="only calls that began before then (UTC)"
    )
    listing.add_argument("--agent", metavar="NAME", help="only calls that this agent answered")
    listing.add_argument(
        "--reason", type=_end_reason, metavar="REASON", help="only calls that ended so, such as agent_hung_up"
    )
    showing = commands.add_parser(
        "show",
        help="one call, with all that is known of it",
        description="""\
Shows one call: states, notes, what its carrier reported, recording, transcript, tools, usage, latencies,
configuration. The carrier's name of the caller's leg (CA… at Twilio) finds the call too, and what is known of
a leg that never reached us.""",
        epilog="""\
examples:
  sipagent calls show rtc_u1_0123
  sipagent calls show CA0123456789abcdef0123456789abcdef
  sipagent calls show rtc_u1_0123 --json | jq -r '.transcript[].text'""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    showing.add_argument("call_id", metavar="CALL_ID", help="as `sipagent calls list` names it")
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
    configuration.add_argument(
        "fingerprint", metavar="FINGERPRINT", nargs="?", help="the one to print; all are listed without"
    )
    configuration.add_argument(
        "--limit", type=positive_count, default=50, metavar="N", help="list at most so many (50)"
    )
    acting = orders.configure(commands.add_parser)
    for command in (listing, showing, configuration, *acting):
        command.add_argument("--database", metavar="URL", help="such as sqlite:///sipagent.db")
        command.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List or show."""
    match arguments.action:
        case "list":
            return _list(arguments)
        case "show":
            return _show(arguments)
        case "hangup" | "transfer" | "say" | "workers":
            return orders.run(arguments)
        case _:
            return _list_configurations(arguments) if not arguments.fingerprint else _configuration(arguments)


def _list(arguments: argparse.Namespace) -> int:
    if arguments.live:
        return _list_live(arguments)
    summaries = ask_database(
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
    rows = []
    for summary in summaries:
        ending = summary.end_reason or "–"
        values = (summary.caller, summary.dialled, summary.agent, summary.state, ending, summary.fault_owner)
        rows.append((summary.call_id, at_utc(summary.started_at), *(value or "–" for value in values)))
    head = ("call", "began (UTC)", "from", "to", "agent", "state", "ended because", "fault of")
    print_table(out, head, rows)
    return 0


def _list_live(arguments: argparse.Namespace) -> int:
    async def ask(store: Store) -> Sequence[tuple[ClaimedCall, CallSummary | None]]:
        held = [claim for worker in await store.workers() for claim in await store.claims(worker.worker)]
        held.sort(key=lambda claim: claim.claimed_at, reverse=True)
        records = [await store.call(claim.call_id) for claim in held[: arguments.limit]]
        summaries = [None if record is None else record.summary for record in records]
        return list(zip(held[: arguments.limit], summaries, strict=True))

    found = ask_database(arguments.database, ask)
    if arguments.json:
        print_json(
            [
                {
                    **({"call_id": claim.call_id} if summary is None else summary_as_json(summary)),
                    "worker": claim.worker,
                    "epoch": claim.epoch,
                    "claimed_at": claim.claimed_at,
                }
                for claim, summary in found
            ]
        )
        return 0
    out = console()
    if not found:
        out.print("No calls are up.")
        return 0
    rows = []
    for claim, summary in found:
        about = () if summary is None else (summary.caller, summary.dialled, summary.agent, summary.state)
        cells = (*(value or "–" for value in about or (None,) * 4), claim.worker)
        rows.append((claim.call_id, at_utc(claim.claimed_at), *cells))
    print_table(out, ("call", "claimed (UTC)", "from", "to", "agent", "state", "worker"), rows)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What is known by one name, of a call or of a carrier's leg."""

    record: CallRecord | None
    configuration: ConfigurationLoaded | None = None
    asked: Sequence[AuditLine] = ()
    same_leg: Sequence[CallId] = ()
    """Other calls that came by the leg."""
    reports: Sequence[CarrierReported] = ()
    """Of a leg without a call."""


async def _known_as(name: str, store: Store) -> _Shown:
    record = await store.call(CallId(name))
    if record is None and (calls := await store.calls_of_leg(name)):
        record = await store.call(calls[0].call_id)
    if record is None:
        return _Shown(record=None, reports=await store.carrier_reports(name))
    call_id, leg, fingerprint = record.summary.call_id, record.carrier_call_id, record.configuration
    of_leg = () if leg is None else await store.calls_of_leg(leg)
    return _Shown(
        record=record,
        configuration=None if fingerprint is None else await store.configuration(fingerprint),
        asked=await store.audit(call_id),
        same_leg=[call.call_id for call in of_leg if call.call_id != call_id],
    )


def _show(arguments: argparse.Namespace) -> int:
    from sipagent.app import carrier_says  # not for those who only list: it brings the whole service

    name = arguments.call_id
    shown = ask_database(arguments.database, lambda store: _known_as(name, store))
    record = shown.record
    if record is None and not shown.reports:
        raise UserError(f"there is no call {name!r}; `sipagent calls list` names those there are")
    if record is None and arguments.json:
        reports = [report_as_json(report) for report in shown.reports]
        print_json({"call_id": None, "carrier_call_id": name, "carrier_reports": reports})
    elif record is None:
        out = console()
        out.print(f"No call of ours came by leg {name}.")
        print_reports(shown.reports, out, began=None, leg=name)
    elif arguments.json:
        commands = [audit_as_json(line) for line in shown.asked]
        objections = [asdict(one) for one in carrier_says(record)]
        print_json(
            {
                **record_as_json(record),
                "carrier_says": objections,
                "same_leg": shown.same_leg,
                "commands": commands,
            }
        )
    else:
        out = console()
        print_record(
            record, out, shown.configuration, shown.same_leg, [one.words for one in carrier_says(record)]
        )
        print_commands(shown.asked, out)
    return 0


def _list_configurations(arguments: argparse.Namespace) -> int:
    found = ask_database(arguments.database, lambda store: store.configurations(limit=arguments.limit))
    if arguments.json:
        listed = [configuration_as_json(one) for one in found]
        print_json([{key: value for key, value in one.items() if key != "text"} for one in listed])
        return 0
    out = console()
    if not found:
        out.print("No configurations.")
        return 0
    rows = [(one.fingerprint, str(one.number), at_utc(one.at), one.summary) for one in found]
    print_table(out, ("configuration", "generation", "loaded (UTC)", "holds"), rows)
    return 0


def _configuration(arguments: argparse.Namespace) -> int:
    found = ask_database(arguments.database, lambda store: store.configuration(arguments.fingerprint))
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


def _end_reason(text: str) -> str:
    """One of `EndReason`, as records name it."""
    known = [reason.value for reason in EndReason]
    if text not in known:
        raise argparse.ArgumentTypeError(
            f"no call ends as {text!r}. {suggestion(text, known)} `sipagent guide endings` explains them."
        )
    return text
