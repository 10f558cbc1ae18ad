"""The example company with two hundred routes, for the bench: all that is decided without asking anybody."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example" / "company"
ROUTES = 200
MANY = 100_000
VARIABLES = {"NORTHPIER_API": "http://127.0.0.1:9", "NORTHPIER_TOKEN": "nobody-asks-for-it"}
"""What the file wants of the environment; nothing is asked there."""


def write_full(folder: Path) -> Path:
    """Write the configuration into ``folder``, with what belongs to it; returns the YAML file.

    Of its two hundred routes the last two are the company's own: every call passes all of those before. They
    want numbers, beginnings of numbers, callers, headers, and hours. What would ask over HTTP before the
    answer is left out, and caps are as high as the bench needs.
    """
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (folder / "sipagent.yaml", folder / "front-desk.md"):
        text = file.read_text(encoding="utf-8")
        text = text.replace("{{customer.name}}", "{{caller}}").replace("{{customer.contract}}", "{{street}}")
        file.write_text(text, encoding="utf-8")
    configuration: dict[str, Any] = yaml.safe_load((folder / "sipagent.yaml").read_text(encoding="utf-8"))
    del configuration["lookup"]
    own = [route for route in configuration["routes"] if "to" not in route and route["name"] != "holiday"]
    configuration["routes"] = [*(_passed_by(number) for number in range(ROUTES - len(own))), *own]
    calls = {"total": MANY, "per_agent": {"front-desk": MANY}, "reserved": {"night-desk": 1}}
    configuration["limits"]["calls"] = {**calls, "per_caller": MANY, "per_minute": MANY}
    configuration["limits"]["spend"].update(per_call=100, per_day=MANY)
    file = folder / "sipagent.yaml"
    file.write_text(yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def _passed_by(number: int) -> dict[str, Any]:
    """A route that takes none of the bench's calls."""
    conditions: tuple[dict[str, Any], ...] = (
        {"to": f"+1555020{number:04d}"},
        {"to": f"+155503{number:03d}*"},
        {"from": [f"+1555040{number:04d}", f"+155505{number:03d}*"]},
        {"header": {"X-Tenant": f"tenant-{number}"}},
        {"to": f"+1555060{number:04d}", "when": {"calendar": "office", "is": "open"}},
    )
    return {"name": f"branch {number}", **conditions[number % len(conditions)], "agent": "front-desk"}
