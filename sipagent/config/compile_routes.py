"""Turns the routes of the file into those that calls are matched against."""

from __future__ import annotations

from sipagent.calls.numbers import NumberPattern
from sipagent.calls.routing import Route, When
from sipagent.config.compile_limits import compile_alternative
from sipagent.config.compiling import Compiling
from sipagent.config.schema import RouteEntry
from sipagent.config.source import KeyPath
from sipagent.config.values import suggestion


def compile_routes(compiling: Compiling) -> tuple[Route, ...]:
    """The routes in order; reports those that name what is not there, or can never match."""
    routes = [
        _route(compiling, ("routes", index), entry)
        for index, entry in enumerate(compiling.configuration.routes)
    ]
    _check_names(compiling)
    entries = compiling.configuration.routes
    for index, entry in enumerate(entries):
        if (taker := _who_takes(entry, entries[:index])) is not None:
            compiling.report(
                ("routes", index),
                f"This route can never match: {taker} before it.",
                "Remove it, or move it up: the first match wins.",
            )
    return tuple(routes)


def _route(compiling: Compiling, path: KeyPath, entry: RouteEntry) -> Route:
    agents, calendars = compiling.names("agents"), compiling.configuration.calendars
    if entry.agent is not None and entry.agent not in agents:
        compiling.report(
            (*path, "agent"),
            f"There is no agent `{entry.agent}`.",
            suggestion(entry.agent, agents),
            relies_on=[("agents", entry.agent)],
        )
    when = None
    if entry.when is not None:
        _check_calendar(compiling, (*path, "when", "calendar"), entry.when.calendar)
        when = When(calendar=entry.when.calendar, state=entry.when.state)
        if entry.when.state == "holiday" and (
            (calendar := calendars.get(entry.when.calendar)) is not None and calendar.holidays is None
        ):
            compiling.report(
                (*path, "when", "is"),
                f"The calendar `{entry.when.calendar}` knows no holidays.",
                "Add `holidays: {country: …}` to it.",
                relies_on=[("calendars", entry.when.calendar, "holidays")],
            )
    if entry.hours is not None:
        _check_calendar(compiling, (*path, "hours"), entry.hours)
    return Route(
        agent=entry.agent,
        reject=entry.reject,
        name=entry.name,
        to=tuple(NumberPattern(text) for text in entry.to or ()),
        caller=tuple(NumberPattern(text) for text in entry.caller or ()),
        headers={name: tuple(values) for name, values in (entry.header or {}).items()},
        when=when,
        hours=entry.hours,
        when_closed=compile_alternative(compiling, (*path, "when_closed"), entry.when_closed),
        when_full=compile_alternative(compiling, (*path, "when_full"), entry.when_full),
    )


def _check_calendar(compiling: Compiling, path: KeyPath, name: str) -> None:
    calendars = compiling.names("calendars")
    if name not in calendars:
        remedy = suggestion(name, calendars) if calendars else "Describe it below `calendars:`."
        compiling.report(path, f"There is no calendar `{name}`.", remedy, relies_on=[("calendars", name)])


def _check_names(compiling: Compiling) -> None:
    taken: dict[str, int] = {}
    for index, entry in enumerate(compiling.configuration.routes):
        if entry.name is None:
            continue
        if (first := taken.get(entry.name)) is not None:
            compiling.report(
                ("routes", index, "name"),
                f"Route {first + 1} is called `{entry.name}` too.",
                "Choose another name: records could not tell them apart.",
            )
        taken.setdefault(entry.name, index)


# Routes that can never match -------------------------------------------------------------------------


def _who_takes(route: RouteEntry, earlier: list[RouteEntry]) -> str | None:
    """Which earlier routes take every call of ``route``, in words; None where some call is left."""
    before = [(index, each) for index, each in enumerate(earlier) if _covers(each, route)]
    for index, each in before:
        if each.when is None or each.when == route.when:
            return f"{_called(index, each)} takes its calls"
        if route.when is not None and (each.when.calendar, each.when.state, route.when.state) == (
            route.when.calendar,
            "closed",
            "holiday",
        ):
            return f"{_called(index, each)} takes its calls"
    # One route while a calendar is open and another while it is closed leave nothing to a third.
    for index, each in before:
        for other_index, other in before:
            if (
                each.when is not None
                and other.when is not None
                and each.when.calendar == other.when.calendar
                and (each.when.state, other.when.state) == ("open", "closed")
            ):
                return f"{_called(index, each)} and {_called(other_index, other)} take its calls"
    return None


def _called(index: int, route: RouteEntry) -> str:
    return f"route {index + 1}" if route.name is None else f"route {index + 1} ({route.name})"


def _covers(wide: RouteEntry, narrow: RouteEntry) -> bool:
    """Whether every call that fits the numbers and headers of ``narrow`` fits those of ``wide``."""
    if not _numbers_cover(wide.to, narrow.to) or not _numbers_cover(wide.caller, narrow.caller):
        return False
    given = {name.lower(): values for name, values in (narrow.header or {}).items()}
    return all(
        name.lower() in given and all(_any_covers(values, value) for value in given[name.lower()])
        for name, values in (wide.header or {}).items()
    )


def _numbers_cover(wide: list[str] | None, narrow: list[str] | None) -> bool:
    return wide is None or (narrow is not None and all(_any_covers(wide, each) for each in narrow))


def _any_covers(wide: list[str], narrow: str) -> bool:
    return any(
        each == narrow or (each.endswith("*") and narrow.rstrip("*").startswith(each[:-1])) for each in wide
    )
