"""Turns consent lines and the folder of recordings into what is recorded, and finds what never could be."""

from __future__ import annotations

from collections.abc import Iterable

from sipagent.calls.profile import Recording
from sipagent.calls.template import Template
from sipagent.config.compile_carriers import steps_of
from sipagent.config.compiling import Compiling
from sipagent.config.effective import Effective
from sipagent.config.source import KeyPath


def compile_recording(
    compiling: Compiling, effective: Effective, consent: Template | None
) -> Recording | None:
    """What is recorded of the calls that an agent answers, whose consent line reads ``consent``; None where
    nothing is, or after reporting that nobody says where to."""
    if effective.keys("recording").recording is None:
        return None
    entry = compiling.configuration.recordings
    path = effective.path("recording")
    if entry is None:
        compiling.report(
            path,
            "Calls are to be recorded, and nothing says where recordings are kept.",
            "Add `recordings: {folder: recordings, keep: 30d}` at the top.",
            at_key=True,
            relies_on=[("recordings",)],
        )
        return None
    if consent is None:
        return None
    return Recording(consent=consent, folder=compiling.folder / entry.folder, keep_days=entry.keep_days)


def check_recordings(compiling: Compiling) -> None:
    """Report agents that are to record and never could: only of a call whose audio passes through us is there
    something to be recorded."""
    configuration = compiling.configuration
    heard = agents_heard(compiling)
    inherited: list[str] = []
    for name, agent in configuration.agents.items():
        effective = Effective(name, agent, configuration.defaults)
        if effective.keys("recording").recording is None:
            continue
        if not effective.own("recording"):
            inherited.append(name)
        elif name not in heard:
            _report(compiling, effective.path("recording"), name)
    if inherited and not heard.intersection(inherited):
        _report(compiling, ("defaults", "recording"), ", ".join(inherited))


def agents_heard(compiling: Compiling) -> frozenset[str]:
    """The agents that calls may come to whose audio passes through us."""
    configuration = compiling.configuration
    carriers, limits = configuration.carriers, configuration.limits.when_full
    if carriers is None:
        return frozenset()
    found: set[str] = set()
    for route in configuration.routes:
        if carriers.asterisk is None and "stream" not in steps_of(carriers, route.answer):
            continue
        full = route.when_full or limits
        instead = (each.agent for each in (route.when_closed, full) if each is not None)
        found.update(name for name in (route.agent, *instead) if name is not None)
    return frozenset(_with_handoffs(compiling, found))


def _with_handoffs(compiling: Compiling, names: Iterable[str]) -> set[str]:
    configuration = compiling.configuration
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name not in configuration.agents:
            continue
        found.add(name)
        effective = Effective(name, configuration.agents[name], configuration.defaults)
        waiting.extend(effective.keys("handoffs").handoffs)
    return found


def _report(compiling: Compiling, path: KeyPath, names: str) -> None:
    if compiling.configuration.carriers is None:
        remedy = "Add `carriers:` with the step stream in their `answer:`, or remove it."
    else:
        remedy = "Add the step stream to the `answer:` of its calls, or remove it."
    compiling.report(
        path,
        f"Nothing of the calls of {names} passes through here, so there is nothing to record: "
        "the audio of SIP calls goes to OpenAI by itself.",
        remedy,
        at_key=True,
        relies_on=[("carriers",), ("routes",)],
    )
