"""`sipagent init`: a configuration to begin with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sipagent.cli.output import console, print_json
from sipagent.config import environment_text, published_schema, starter_text
from sipagent.errors import UserError

CONFIGURATION = "sipagent.yaml"
SCHEMA = "sipagent.schema.json"
_NEXT = (
    ("sipagent check", "whether it is right, or what is wrong on which line"),
    ("sipagent explain", "what holds for each agent, and where that is written"),
    ("sipagent route --to +15550100000", "who answers a call, and why"),
    ("sipagent chat --simulator --agent front-desk", "talk with it in writing, without a key"),
    ("cp .env.example .env", "then fill in your keys, and `set -a; . ./.env; set +a`"),
    ("sipagent doctor --live", "what is still missing for real calls"),
    ("sipagent serve", "answer them"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = f"""\
Writes {CONFIGURATION} (with comments), .env.example (the variables that the service needs) and {SCHEMA}
(completion in editors) into a folder. A file that is there already is never touched."""
    parser.epilog = """\
examples:
  sipagent init                    into this folder
  sipagent init calls              into the folder calls, which is made
  sipagent init --json | jq .written"""
    parser.add_argument(
        "folder",
        nargs="?",
        default=Path(),
        type=Path,
        metavar="FOLDER",
        help="where to; this folder by default",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write what is not there yet, and say what comes next."""
    folder: Path = arguments.folder
    texts = {
        CONFIGURATION: starter_text(),
        ".env.example": environment_text(),
        SCHEMA: schema_text(),
    }
    written: list[Path] = []
    kept: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (written if _write_new(folder / name, text) else kept).append(folder / name)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    if arguments.json:
        print_json(
            {"ok": True, "written": [str(path) for path in written], "kept": [str(path) for path in kept]}
        )
    else:
        _print(written, kept, folder, console())
    return 0


def schema_text() -> str:
    """The JSON Schema of configurations, as a file."""
    return json.dumps(published_schema(), indent=2, ensure_ascii=False) + "\n"


def _write_new(path: Path, text: str) -> bool:
    """Whether it was written; False when there was something already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _print(written: list[Path], kept: list[Path], folder: Path, out: Console) -> None:
    for path in written:
        out.print(Text.assemble(("Wrote ", "green"), str(path)))
    for path in kept:
        out.print(Text.assemble(("Kept  ", "dim"), str(path), (", which was there already", "dim")))
    out.print()
    out.print("Next:")
    if folder != Path():
        out.print(f"  cd {folder}")
    width = max(len(command) for command, _ in _NEXT)
    for command, why in _NEXT:
        out.print(Text.assemble(f"  {command:<{width}}  ", (why, "dim")))
