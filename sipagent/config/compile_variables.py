"""What the texts of a configuration can name: business, own values, lookups, calendars."""

from __future__ import annotations

from typing import Any

from sipagent.calls.lookup import BodyTemplate, Lookup
from sipagent.calls.template import Template, TemplateError
from sipagent.calls.variables import Business, VariableSource, name_problem
from sipagent.config.compiling import Compiling
from sipagent.config.schema import LookupEntry
from sipagent.config.source import KeyPath
from sipagent.config.values import suggestion
from sipagent.errors import UserError


def compile_business(compiling: Compiling) -> Business:
    """Whose telephone it is; without a zone its clock is UTC."""
    entry = compiling.configuration.business
    if entry.timezone is None:
        return Business(name=entry.name, language=entry.language)
    return Business(name=entry.name, timezone=entry.timezone, language=entry.language)


def compile_own(compiling: Compiling) -> dict[str, str]:
    """The operator's own values."""
    own = compiling.configuration.variables
    for name in own:
        if problem := name_problem(name):
            compiling.report(("variables", name), problem, "Choose another name.", at_key=True)
    return dict(own)


def compile_lookups(compiling: Compiling, source: VariableSource) -> tuple[Lookup, ...]:
    """What is fetched before the answer; ``source`` has what is known by then."""
    lookups = []
    for name, entry in compiling.configuration.lookup.items():
        path: KeyPath = ("lookup", name)
        if problem := name_problem(name):
            compiling.report(path, problem, "Choose another name.", at_key=True)
        elif name in compiling.configuration.variables:
            compiling.report(
                path, f"`{name}` is also one of `variables`.", "Give one of them another name.", at_key=True
            )
        else:
            lookups.append(_lookup(compiling, path, name, entry, source))
    return tuple(lookup for lookup in lookups if lookup is not None)


def _lookup(
    compiling: Compiling, path: KeyPath, name: str, entry: LookupEntry, source: VariableSource
) -> Lookup | None:
    before = len(compiling.problems)
    for taken in entry.take:
        if problem := name_problem(taken):
            compiling.report((*path, "take", taken), problem, "Choose another name.", at_key=True)
    for taken in entry.defaults.keys() - entry.take.keys():
        message = f"`{taken}` is not taken from the answer, so it needs no default."
        compiling.report(
            (*path, "defaults", taken),
            message,
            suggestion(taken, entry.take),
            at_key=True,
            relies_on=[(*path, "take")],
        )
    # The address may hold a secret, and templates are looked at before it is put in.
    compiling.words((*path, "url"), entry.url, source, spoken=False, secrets=True)
    url = compiling.secret((*path, "url"), entry.url)
    headers = compiling.sendables((*path, "headers"), entry.headers)
    body = _body(compiling, (*path, "body"), entry.body, source)
    if len(compiling.problems) > before:
        return None
    try:
        return Lookup(
            name=name,
            url=Template(url),
            method=entry.method,
            headers=headers,
            body=body,
            timeout_s=entry.timeout_s,
            take=dict(entry.take),
            defaults=dict(entry.defaults),
        )
    except (UserError, TemplateError) as error:
        said = str(error).removeprefix(f"lookup {name}: ")
        at = "timeout" if "time-out" in said else "url"
        compiling.report((*path, at), f"{said[0].upper()}{said[1:]}.", "")
        return None


def _body(compiling: Compiling, path: KeyPath, value: Any, source: VariableSource) -> BodyTemplate:
    match value:
        case str():
            compiling.words(path, value, source, spoken=False, secrets=True)
            return compiling.filled(path, value)
        case dict():
            return {key: _body(compiling, (*path, key), inner, source) for key, inner in value.items()}
        case list():
            return [_body(compiling, (*path, index), inner, source) for index, inner in enumerate(value)]
        case _:
            assert value is None or isinstance(value, int | float), "YAML has no other values"
            return value
