"""What holds for an agent, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sipagent.carrier.settings import FAREWELL
from sipagent.config.addresses import sip_host_of
from sipagent.config.compile_carriers import steps_of
from sipagent.config.effective import Effective
from sipagent.config.loader import Document
from sipagent.config.schema import AgentKeys, Entry
from sipagent.config.schema.plans import SayStep, StepEntry
from sipagent.config.secrets import looks_secret
from sipagent.config.source import KeyPath
from sipagent.config.values import suggestion
from sipagent.errors import UserError

DEFAULT = "default"
"""The origin of what the file does not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value that holds for an agent."""

    key: str
    """As a path: ``turn_detection.threshold``, ``tools[2].http.url``."""
    value: str
    """As it is written, on as many lines; secrets are references there, and stay so."""
    origin: str
    """``sipagent.yaml:12``, or `DEFAULT`."""


def explain(document: Document, agent: str) -> tuple[Setting, ...]:
    """Every setting of ``agent``, in the order of the guide, over `defaults` and over ours.

    Raises `UserError` when there is no such agent.
    """
    configuration = document.configuration
    if agent not in configuration.agents:
        file = document.source.file
        raise UserError(f"{file} has no agent {agent!r}. {suggestion(agent, configuration.agents)}")
    effective = Effective(agent, configuration.agents[agent], configuration.defaults)
    explainer = _Explainer(document)
    settings: list[Setting] = []
    for name in AgentKeys.model_fields:
        value, path = getattr(effective.keys(name), name), effective.path(name)
        if name == "language" and value is None and effective.keys("languages").languages is None:
            value, path = configuration.business.language, ("business", "language")
        settings.extend(explainer.settings(name, value, path, outermost=True))
    return tuple(settings)


def explain_carriers(document: Document) -> tuple[Setting, ...]:
    """Every setting of `carriers` and `recordings`, and each plan with all its steps, also the words that end
    one where the file has none; () without carriers."""
    configuration = document.configuration
    carriers = configuration.carriers
    if carriers is None:
        return ()
    explainer = _Explainer(document)
    settings: list[Setting] = []
    for name, info in type(carriers).model_fields.items():
        alias, value = info.alias or name, getattr(carriers, name)
        if name != "answer" and value is not None:
            settings.extend(explainer.settings(f"carriers.{alias}", value, ("carriers", alias)))
        if name == "sip" and carriers.sip is not None and carriers.sip.host is None:
            host = sip_host_of(configuration.openai.address)
            settings.append(Setting(key="carriers.sip.host", value=_shown(host), origin=DEFAULT))
    settings.extend(explainer.plan("carriers.answer", steps_of(carriers, None), ("carriers", "answer")))
    for index, route in enumerate(configuration.routes):
        if route.answer is not None:
            path: KeyPath = ("routes", index, "answer")
            settings.extend(explainer.plan(f"routes[{index + 1}].answer", route.answer, path))
    settings.extend(explainer.settings("recordings", configuration.recordings, ("recordings",)))
    return tuple(settings)


class _Explainer:
    def __init__(self, document: Document) -> None:
        self._source = document.source
        self._file = Path(document.source.file).name

    def settings(self, key: str, value: Any, path: KeyPath, *, outermost: bool = False) -> Iterator[Setting]:
        """What ``value``, which the file may write at ``path``, says."""
        written = self._source.has(path)
        if written and not isinstance(self._source.value_at(path), dict | list):
            # Short for a mapping, or a plain value: as the reader knows it.
            yield self._written(key, path)
        elif isinstance(value, Entry):
            for name, info in type(value).model_fields.items():
                inner, alias = getattr(value, name), info.alias or name
                if self._source.has((*path, alias)) or inner not in (None, [], {}):
                    yield from self.settings(f"{key}.{alias}", _with_unit(name, inner), (*path, alias))
        elif isinstance(value, dict) and value:
            for name, inner in value.items():
                yield from self.settings(f"{key}.{name}", inner, (*path, name))
        elif isinstance(value, list | tuple) and any(isinstance(each, Entry) for each in value):
            for index, inner in enumerate(value):
                yield from self.settings(f"{key}[{index + 1}]", inner, (*path, index))
        elif written:
            yield self._written(key, path)
        elif outermost or value is not None:
            yield Setting(key=key, value=_shown(value), origin=DEFAULT)

    def plan(self, key: str, steps: Sequence[StepEntry], path: KeyPath) -> Iterator[Setting]:
        """Each of ``steps``, which the file may write at ``path``, and the words that end every plan."""
        listed = self._source.has(path) and isinstance(self._source.value_at(path), list)
        for index, step in enumerate(steps):
            place = (*path, index) if listed else path
            yield from self.settings(f"{key}[{index + 1}]", step, place)
        if not isinstance(steps[-1], SayStep):
            yield Setting(key=f"{key}[{len(steps) + 1}].say", value=FAREWELL.words, origin=DEFAULT)

    def _written(self, key: str, path: KeyPath) -> Setting:
        value = self._source.value_at(path)
        shown = _shown(value)
        # A file that was not checked may hold a secret.
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and looks_secret(_sent_as(path), text) for text in texts):
            shown = "(a secret, which does not belong into the file)"
        return Setting(key=key, value=shown, origin=f"{self._file}:{self._source.values[path].line}")


def _sent_as(path: KeyPath) -> str:
    """The header, variable or key of a carrier that stands there; "" for what is shown to nobody."""
    sent = path[-1] == "authorization" or path[-2:-1] in (("headers",), ("query",), ("env",))
    if sent or path[0] == "carriers":
        key = next(key for key in reversed(path) if isinstance(key, str))
        return "" if key == "public_key" else key
    return ""


def _with_unit(name: str, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return f"{value:g}s" if name.endswith("_s") else f"{value}d" if name.endswith("_days") else value


def _shown(value: object) -> str:
    match value:
        case None | [] | {} | ():
            return "none"
        case bool():
            return "true" if value else "false"
        case (str() as host, int() as port):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case list() | tuple():
            return ", ".join(_shown(each) for each in value)
        case dict():
            return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
        case _:
            return str(value)
