"""`sipagent guide`: pages for users."""

from __future__ import annotations

import argparse
import sys

from rich.markdown import Markdown

from sipagent.cli.output import console, print_json
from sipagent.config.loader import suggestion
from sipagent.errors import UserError
from sipagent.guide import page_names, page_title, read_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = "Shows a page of the guide; without a name, which pages there are."
    parser.epilog = """\
examples:
  sipagent guide
  sipagent guide simulator
  sipagent guide configuration > configuration.md     plain Markdown when it is no terminal"""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the page to show")
    parser.add_argument("--json", action="store_true", help="print the page, or the list of pages, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or one page."""
    if arguments.name is not None:
        return _show(arguments.name, as_json=arguments.json)
    pages = [{"name": name, "title": page_title(name)} for name in page_names()]
    if arguments.json:
        print_json(pages)
        return 0
    width = max((len(page["name"]) for page in pages), default=0)
    for page in pages:
        print(f"{page['name']:<{width}}  {page['title']}")
    if sys.stdout.isatty():
        print("\nsipagent guide NAME shows one.")
    return 0


def _show(name: str, *, as_json: bool) -> int:
    text = read_page(name)
    if text is None:
        raise UserError(f"there is no page {name!r}. {suggestion(name, page_names())}")
    if as_json:
        print_json({"name": name, "title": page_title(name), "markdown": text})
    elif sys.stdout.isatty():
        console().print(Markdown(text), soft_wrap=False)
    else:
        print(text, end="")
    return 0
