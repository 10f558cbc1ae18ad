"""Turns a checked document into what answers calls: agents with their tools, and the routes to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sipagent.calls.guardrails import Moderate
from sipagent.calls.routing import FrontDoor
from sipagent.calls.variables import VariableSource
from sipagent.config.compile_access import compile_access
from sipagent.config.compile_agents import AgentCompiler
from sipagent.config.compile_calendars import compile_calendars
from sipagent.config.compile_carriers import compile_carriers
from sipagent.config.compile_limits import compile_callers, compile_limits, compile_numbers
from sipagent.config.compile_recordings import check_recordings
from sipagent.config.compile_routes import compile_routes
from sipagent.config.compile_variables import compile_business, compile_lookups, compile_own
from sipagent.config.compiling import Compiling
from sipagent.config.environment import read_base_url
from sipagent.config.files import FilesRead
from sipagent.config.loader import Document, Draft, in_file_order, read_document
from sipagent.config.secrets import Secrets
from sipagent.errors import ConfigurationError


def load_base_url(path: Path | str, variables: Mapping[str, str] | None = None) -> str:
    """Where the Realtime API is: what ``OPENAI_BASE_URL`` of ``variables`` says, by default those of the
    process, or else the file at ``path``; without a slash at the end.

    Blocks: it reads the file. Raises `ConfigurationError` with every mistake in it, and `UserError` when the
    variable holds no URL.
    """
    # The variable wins, so that one file serves in production and against the simulator.
    written = read_document(Path(path)).configuration.openai.address
    return read_base_url(variables) or written


def compile_configuration(
    document: Document,
    base_dir: Path,
    read: FilesRead | None = None,
    *,
    secrets: Secrets | None = None,
    moderate: Moderate | None = None,
    draft: Draft | None = None,
    door_only: bool = False,
) -> FrontDoor:
    """The agents and routes of ``document``; ``instructions_file`` and tools are found from ``base_dir``, and
    noted in ``read``. What secrets stand for is asked of ``secrets``, by default the process's environment;
    ``moderate`` asks the moderation endpoint, and without it such a guardrail lets everything pass. Where
    ``document`` is what is whole of a ``draft``, the mistakes of that are among those that are raised. With
    ``door_only``, keys of carriers and tokens of people are not looked at.

    Blocks: it reads files and runs the operator's modules. Raises :class:`ConfigurationError` with everything
    that does not fit together.
    """
    if read is None:
        read = FilesRead(base_dir)
        read.note_text(Path(document.source.file), document.source.text)
    if secrets is None:
        secrets = Secrets(os.environ, base_dir, read)
    compiling = Compiling(document, base_dir, read, secrets, None if draft is None else draft.broken)
    configuration = compiling.configuration
    business = compile_business(compiling)
    own = compile_own(compiling)
    before_the_answer = VariableSource(
        business=business, calendars=frozenset(configuration.calendars), own=own
    )
    lookups = compile_lookups(compiling, before_the_answer)
    looked_up = {
        f"{name}.{taken}": entry.defaults.get(taken, "")
        for name, entry in configuration.lookup.items()
        for taken in entry.take
    }
    agents = AgentCompiler(
        compiling,
        VariableSource(
            business=business, calendars=before_the_answer.calendars, own=own, looked_up=looked_up
        ),
        moderate,
    )
    profiles = {name: agents.profile(name) for name in configuration.agents}
    calendars = compile_calendars(compiling)
    routes = compile_routes(compiling)
    numbers, callers, limits = (
        compile_numbers(compiling),
        compile_callers(compiling),
        compile_limits(compiling),
    )
    check_recordings(compiling)
    if not door_only:
        # For what is wrong with them: whoever answers calls needs nothing of them.
        compile_carriers(compiling)
        compile_access(compiling)
    earlier = () if draft is None else draft.problems
    explained = {(problem.file, problem.line, problem.column) for problem in earlier}
    problems = [
        problem
        for problem in compiling.problems
        if (problem.file, problem.line, problem.column) not in explained
    ]
    if problems or earlier:
        raise ConfigurationError(*in_file_order([*earlier, *problems]))
    return FrontDoor(
        profiles={name: profile for name, profile in profiles.items() if profile is not None},
        routes=routes,
        numbers=numbers,
        callers=callers,
        calendars=calendars,
        limits=limits,
        business=business,
        variables=own,
        lookups=lookups,
        fingerprint=read.fingerprint,
    )
