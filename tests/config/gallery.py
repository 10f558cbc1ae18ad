"""The gallery of broken configurations: each file, and what is said about it, word for word.

``python -m tests.config.gallery`` writes down what is said now; read it aloud before it is committed. A
first line ``# environment: NAME=value`` sets variables for one file.
"""

from __future__ import annotations

from pathlib import Path

from sipagent.config import load_configuration
from sipagent.errors import ConfigurationError

GALLERY = Path(__file__).parents[1] / "fixtures" / "broken"
RIGHT_IN_FORM = frozenset(
    {
        "admin_tokens",
        "bad_template",
        "callers_on_both_lists",
        "carriers_meaning",
        "carriers_plans",
        "carriers_secrets",
        "carriers_tls",
        "closed_and_open",
        "days_overlap",
        "duplicate_key",
        "ending_order",
        "ending_wrap_up",
        "filter_in_template",
        "gap_in_speech",
        "guardrail_meaning",
        "handoff_without_description",
        "handoff_without_tool",
        "holiday_regions",
        "http_body",
        "http_texts",
        "impossible_limits",
        "instructions_file_variable",
        "limits_of_agents",
        "literal_secret",
        "lookup_meaning",
        "lookup_timeout",
        "mcp_local",
        "merge_key",
        "missing_secret",
        "no_calendars",
        "no_carriers",
        "no_holidays",
        "no_instructions",
        "no_such_agent",
        "no_such_calendar",
        "no_such_file",
        "no_zone",
        "own_names",
        "python_tool",
        "route_names",
        "secret_file",
        "secret_in_words",
        "secret_references",
        "spend",
        "spend_unknown_model",
        "targets_without_tool",
        "tool_choice",
        "tool_twice",
        "tool_without_targets",
        "transfer_otherwise",
        "trap_date",
        "trap_norway",
        "trap_number",
        "trap_octal",
        "trap_on_key",
        "unknown_variable",
        "unknown_variable_in_block",
        "unreachable_by_calendar",
        "unreachable_routes",
        "zones",
        "when_full_of_an_agent",
    }
)
"""Those of which the published schema cannot tell that they are wrong: what is wrong is what they mean."""
_ENVIRONMENT = "# environment:"


def broken_files() -> list[Path]:
    """Every file of the gallery."""
    return sorted(GALLERY.glob("*.yaml"))


def said_about(file: Path) -> str:
    """What `sipagent check` prints about ``file``, one problem a line, named as seen from the gallery."""
    first = file.read_bytes().split(b"\n", 1)[0].decode("latin-1")
    words = first.removeprefix(_ENVIRONMENT).split() if first.startswith(_ENVIRONMENT) else []
    variables = {name: value for name, _, value in (word.partition("=") for word in words)}
    try:
        load_configuration(file, variables)
    except ConfigurationError as error:
        return (
            "".join(f"{problem}\n" for problem in error.problems)
            .replace(f"{GALLERY}/", "")
            .replace(f"({GALLERY})", "(.)")
        )
    return ""


def main() -> None:
    """Write what is said about every file beside it."""
    for file in broken_files():
        file.with_suffix(".txt").write_text(said_about(file), encoding="utf-8")


if __name__ == "__main__":
    main()
