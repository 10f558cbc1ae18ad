"""`sipagent schema`: the JSON Schema of configurations, for editors."""

from __future__ import annotations

import argparse
from pathlib import Path

from sipagent.cli.init import SCHEMA, schema_text
from sipagent.cli.output import console, print_json
from sipagent.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = f"""\
Prints the JSON Schema of configurations (draft 2020-12), or writes it into a file. Editors complete and check
with it when the configuration's first line names it:

  # yaml-language-server: $schema=./{SCHEMA}"""
    parser.epilog = f"""\
examples:
  sipagent schema | jq '.properties | keys'
  sipagent schema --write                        ./{SCHEMA}, anew after an upgrade
  sipagent schema --write .vscode/sipagent.json"""
    parser.add_argument(
        "--write",
        nargs="?",
        const=Path(SCHEMA),
        type=Path,
        metavar="FILE",
        help=f"write it instead, by default into {SCHEMA}; what is there is replaced",
    )
    parser.add_argument("--json", action="store_true", help="with --write: print what was written as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print or write it."""
    if arguments.write is None:
        print(schema_text(), end="")
        return 0
    try:
        arguments.write.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{arguments.write} cannot be written: {error.strerror}") from error
    if arguments.json:
        print_json({"ok": True, "file": str(arguments.write)})
    else:
        console().print(f"Wrote {arguments.write}")
    return 0
