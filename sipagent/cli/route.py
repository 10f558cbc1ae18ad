"""`sipagent route`: who answers a call, and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sipagent.cli.arguments import add_call_arguments
from sipagent.cli.output import console, print_hanging, print_json
from sipagent.clock import utc_now
from sipagent.config import Question, RouteVerdict, ask, load_configuration, zone_of
from sipagent.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
Asks the configuration who would answer a call, and why: a sentence for each route it looks at. Nothing is
called, and no limit is counted; what happens when all places are taken is said."""
    parser.epilog = """\
examples:
  sipagent route --to +15550100000
  sipagent route --to +15550100000 --from +15550100123 --at "2026-12-24 10:00"
  sipagent route --to +15550100000 --from anonymous --header X-Tenant=acme
  sipagent route --to +15550100000 --at 2026-12-25T09:00 --expect night-desk     a test, for CI

exit code: 0 when an agent answers (with --expect: when it is that one, or that status), 1 otherwise"""
    parser.add_argument(
        "--config", type=Path, default=Path("sipagent.yaml"), metavar="FILE", help="sipagent.yaml by default"
    )
    add_call_arguments(parser)
    parser.add_argument("--expect", metavar="AGENT|STATUS", help="exit with 1 unless it is this one")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 when an agent answers, or who was expected."""
    loaded = load_configuration(arguments.config)
    at: datetime = arguments.at or utc_now()
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone_of(loaded.door))
    verdict = ask(
        loaded.door,
        Question(at=at, to=arguments.to, caller=arguments.caller, headers=tuple(arguments.header)),
        loaded.carriers,
    )
    _check_expected(arguments.expect, tuple(loaded.door.profiles))
    as_expected = _as_expected(verdict, arguments.expect)
    if arguments.json:
        print_json({"ok": as_expected, "fingerprint": loaded.fingerprint, **asdict(verdict)})
    else:
        _print(verdict, arguments.expect, as_expected, console())
    return 0 if as_expected else 1


def _check_expected(expected: str | None, agents: tuple[str, ...]) -> None:
    if expected is not None and not expected.isdecimal() and expected not in agents:
        raise UserError(f"there is no agent {expected!r}; there are: {', '.join(agents)}")


def _as_expected(verdict: RouteVerdict, expected: str | None) -> bool:
    if expected is None:
        return verdict.agent is not None
    return expected == (str(verdict.sip_status) if verdict.agent is None else verdict.agent)


def _print(verdict: RouteVerdict, expected: str | None, as_expected: bool, out: Console) -> None:
    caller, dialled = verdict.caller or "a withheld number", verdict.dialled or "an unknown number"
    out.print(f"A call from {caller} to {dialled}, {verdict.at:%A %d %B %Y, %H:%M} ({verdict.at.tzname()})")
    for name, then in verdict.calendars.items():
        state = ("open" if then.open else "closed") + (f" ({then.reason})" if then.reason else "")
        until = f" until {then.until:%a %d %b, %H:%M}" if then.until is not None else ""
        out.print(Text(f"  {name} is {state}{until}", style="dim"))
    out.print()
    for sentence in verdict.why:
        print_hanging(out, "  · ", sentence, mark_style="dim")
    out.print()
    if verdict.agent is not None:
        out.print(Text.assemble((verdict.agent, "bold green"), f" answers, by {verdict.route}."))
        if verdict.plan is not None:
            print_hanging(out, "A call of a carrier: ", verdict.plan, mark_style="dim", style="dim")
        out.print(Text(f"When there is no place: {verdict.when_full}.", style="dim"))
    else:
        refused = Text.assemble(("Nobody answers", "bold red"), f": SIP status {verdict.sip_status}")
        out.print(refused.append(f" ({verdict.reason})."))
    if not as_expected and expected is not None:
        out.print(f"Expected was {expected}.", style="red")
