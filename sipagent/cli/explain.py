"""`sipagent explain`: what holds for an agent, and where each value is written."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sipagent.cli.output import console, print_json
from sipagent.config import Setting, explain, explain_carriers, read_document

_DEFAULT = "default"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
Shows the settings that hold for an agent, and where each comes from: a line of the agent, of `defaults:`, or
the default of sipagent. Secrets are shown as they are written: as references."""
    parser.epilog = """\
examples:
  sipagent explain                             every agent, and the carriers
  sipagent explain front-desk
  sipagent explain front-desk --written        only what the file says
  sipagent explain front-desk --json | jq '.agents["front-desk"][] | select(.key == "voice")'"""
    parser.add_argument("agent", nargs="?", metavar="AGENT", help="one agent; every one by default")
    parser.add_argument(
        "--config", type=Path, default=Path("sipagent.yaml"), metavar="FILE", help="sipagent.yaml by default"
    )
    parser.add_argument("--written", action="store_true", help="leave out what is sipagent's own default")
    parser.add_argument("--json", action="store_true", help="print the settings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print one agent, or all of them."""
    document = read_document(arguments.config)
    names = [arguments.agent] if arguments.agent is not None else list(document.configuration.agents)
    agents = {name: _settings(explain(document, name), arguments.written) for name in names}
    carriers: list[Setting] = []
    if arguments.agent is None:
        carriers = _settings(explain_carriers(document), arguments.written)
    if arguments.json:
        shown = {name: [asdict(each) for each in rows] for name, rows in agents.items()}
        print_json({"ok": True, "agents": shown, "carriers": [asdict(each) for each in carriers]})
        return 0
    out = console()
    for number, (name, rows) in enumerate(agents.items()):
        if number:
            out.print()
        out.print(Text(f"Agent {name}", style="bold"))
        _print(rows, out)
    if carriers:
        out.print()
        out.print(Text("Carriers", style="bold"))
        _print(carriers, out)
    return 0


def _settings(settings: Sequence[Setting], only_written: bool) -> list[Setting]:
    return [each for each in settings if not (only_written and each.origin == _DEFAULT)]


def _print(rows: Sequence[Setting], out: Console) -> None:
    """Key, origin and value; a value of several lines goes on below itself."""
    key_width = max((len(row.key) for row in rows), default=0)
    origin_width = max((len(row.origin) for row in rows), default=0)
    for row in rows:
        style = "dim" if row.origin == _DEFAULT else "default"
        lines = row.value.rstrip().splitlines() or [""]
        margin = " " * (2 + key_width + 2 + origin_width + 2)
        text = Text.assemble(
            (f"  {row.key:<{key_width}}", "cyan" if row.origin != _DEFAULT else "dim"),
            (f"  {row.origin:<{origin_width}}  ", "dim"),
            (lines[0], style),
        )
        out.print(text)
        for line in lines[1:]:
            out.print(Text(margin + line if line else "", style=style))
