"""Runs sipp."""

from __future__ import annotations

from pathlib import Path

from tests.callers.programs import program, run
from tests.callers.scenario import Scenario


async def call_by_sipp(
    port: int,
    scenario: Scenario,
    folder: Path,
    *more: str,
    transport: str = "udp",
    source: str = "127.0.0.1",
    user: str = "proj_demo",
) -> str:
    """Let sipp call ``user`` at ``port`` from ``source``; fails unless all goes as ``scenario`` says."""
    command = [
        program("sipp", "sip-tester"),
        f"127.0.0.1:{port}",
        *("-sf", str(scenario.write(folder)), "-s", user, "-i", source, "-mi", source),
        *("-nostdin", "-trace_err", "-error_file", str(folder / "errors.log"), "-timeout", "60"),
        *(["-t", "t1"] if transport == "tcp" else []),
        *more,
    ]
    code, output = await run(*command, folder=folder, within_s=90)
    errors = folder / "errors.log"
    explained = errors.read_text(errors="replace") if errors.exists() else ""
    assert code == 0, f"sipp ended with {code}:\n{output[-3000:]}\n{explained[-3000:]}"
    return output
