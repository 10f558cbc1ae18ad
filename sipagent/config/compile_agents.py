"""Turns each agent of the file into a profile that can answer calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sipagent.calls.guardrails import Moderate
from sipagent.calls.manners import GOOD_MANNERS, IdleStep, LoopLimits, Manners, WrapUp
from sipagent.calls.preparation import TemplateInstructions
from sipagent.calls.profile import AgentProfile, Greeting, Recording
from sipagent.calls.template import Template
from sipagent.calls.tools.language import LANGUAGES
from sipagent.calls.variables import VariableSource
from sipagent.config.compile_guardrails import GuardrailCompiler
from sipagent.config.compile_mcp import may_have
from sipagent.config.compile_recordings import compile_recording
from sipagent.config.compile_session import session_settings
from sipagent.config.compile_tools import AgentTools, ToolCompiler
from sipagent.config.compile_transfers import transfer_targets
from sipagent.config.compiling import Compiling
from sipagent.config.effective import Effective
from sipagent.config.source import KeyPath
from sipagent.config.tool_texts import ToolTexts
from sipagent.config.values import suggestion
from sipagent.realtime import RealtimeAgent, RealtimeSessionModelSettings

_TOOL_CHOICES = ("auto", "none", "required")


class AgentCompiler:
    """Compiles agents one by one; what they share through `defaults` is compiled and reported once."""

    def __init__(
        self, compiling: Compiling, source: VariableSource, moderate: Moderate | None = None
    ) -> None:
        """``source`` has what texts may name; ``moderate`` asks the moderation endpoint."""
        self._compiling = compiling
        self._source = source
        self._tools = ToolCompiler(ToolTexts(compiling, source))
        self._guards = GuardrailCompiler(compiling, source, moderate)
        self._words: dict[tuple[KeyPath, bool], Template | None] = {}

    def profile(self, name: str) -> AgentProfile | None:
        """The agent called ``name``, or None after reporting why it cannot answer."""
        configuration = self._compiling.configuration
        before = len(self._compiling.problems)
        effective = Effective(name, configuration.agents[name], configuration.defaults)
        instructions = self._instructions(effective)
        languages = self._languages(effective)
        settings = session_settings(effective, languages)
        tools = self._tools.agent_tools(effective, languages, settings)
        guardrails = self._guards.of_agent(effective)
        self._choose_tool(effective, settings, tools)
        profile_parts: dict[str, Any] = {
            "greeting": self._greeting(effective),
            "languages": languages,
            "handoffs": self._handoffs(effective, tools),
            "transfer_targets": transfer_targets(self._compiling, effective, tools.call_tools),
            "manners": self._manners(effective),
            "recording": self._recording(effective),
        }
        if len(self._compiling.problems) > before or instructions is None:
            return None
        return AgentProfile(
            name=name,
            agent=RealtimeAgent(
                name=name,
                handoff_description=effective.keys("description").description,
                instructions=_as_agent_has_it(instructions, languages),
                tools=list(tools.tools),
                output_guardrails=guardrails.output,
                input_guardrails=guardrails.input,
            ),
            settings=settings,
            call_tools=tools.call_tools,
            mcp_tools=tools.mcp_tools,
            **profile_parts,
        )

    # Words -----------------------------------------------------------------------------------------

    def _said(self, path: KeyPath, text: str | None, *, spoken: bool = True) -> Template | None:
        """The template at ``path``; None without one, or after reporting, once, what is wrong with it."""
        if text is None:
            return None
        if (path, spoken) not in self._words:
            self._words[path, spoken] = self._compiling.words(path, text, self._source, spoken=spoken)
        return self._words[path, spoken]

    def _instructions(self, effective: Effective) -> Template | None:
        level, keys = effective.level("instructions", "instructions_file")
        if keys.instructions is not None and keys.instructions_file is not None:
            message = "`instructions` and `instructions_file` stand side by side."
            self._compiling.report((*level, "instructions_file"), message, "Keep one of them.", at_key=True)
            return None
        if keys.instructions is not None:
            return self._said((*level, "instructions"), keys.instructions, spoken=False)
        if keys.instructions_file is None:
            message = f"The agent `{effective.name}` has no instructions."
            remedy = "Add `instructions: |` and tell it who it is and what to do."
            self._compiling.report(
                effective.place,
                message,
                remedy,
                at_key=True,
                relies_on=effective.places("instructions", "instructions_file"),
            )
            return None
        path = (*level, "instructions_file")
        if (path, False) not in self._words:
            self._words[path, False] = self._compiling.instructions(
                path, keys.instructions_file, self._source
            )
        return self._words[path, False]

    def _greeting(self, effective: Effective) -> Greeting | None:
        entry = effective.keys("greeting").greeting
        if entry is None:
            return None
        path = effective.path("greeting")
        inner = (*path, "text")
        if not self._compiling.document.source.has(inner):
            inner = path
        words = self._said(inner, entry.text)
        return None if words is None else Greeting(text=words, interruptible=entry.interruptible)

    def _recording(self, effective: Effective) -> Recording | None:
        entry = effective.keys("recording").recording
        path = effective.path("recording")
        inner = (*path, "consent")
        if not self._compiling.document.source.has(inner):
            inner = path
        words = None if entry is None else self._said(inner, entry.consent)
        return compile_recording(self._compiling, effective, words)

    def _languages(self, effective: Effective) -> tuple[str, ...]:
        language = effective.keys("language").language
        languages = effective.keys("languages").languages
        if language is None and languages is None:
            language = self._compiling.configuration.business.language
        if language is not None and languages is not None:
            if language in languages:
                return tuple(dict.fromkeys((language, *languages)))
            # Written on different levels, the nearer one counts; on one level it is a contradiction.
            if effective.own("language") == effective.own("languages"):
                message = f"`language` is {language}, which is none of `languages`."
                self._compiling.report(
                    effective.path("language"),
                    message,
                    "Add it there, or remove one of the keys.",
                    relies_on=effective.places("language", "languages"),
                )
                return ()
            return (language,) if effective.own("language") else tuple(languages)
        return tuple(languages or ()) if language is None else (language,)

    # Where calls may go ----------------------------------------------------------------------------

    def _choose_tool(
        self, effective: Effective, settings: RealtimeSessionModelSettings, tools: AgentTools
    ) -> None:
        choice = effective.keys("tool_choice").tool_choice
        if choice in _TOOL_CHOICES:
            settings["tool_choice"] = choice
        elif choice in tools.names or any(may_have(each, choice) for each in tools.mcp_tools):
            settings["tool_choice"] = {"type": "function", "name": choice}
        else:
            self._compiling.report(
                effective.path("tool_choice"),
                f"`{choice}` is no tool of {effective.name}.",
                suggestion(choice, (*_TOOL_CHOICES, *tools.names)),
                relies_on=effective.places("tools", "handoffs", "tool_choice"),
            )

    def _handoffs(self, effective: Effective, tools: AgentTools) -> tuple[str, ...]:
        agents = self._compiling.names("agents")
        path = effective.path("handoffs")
        names: list[str] = []
        for index, name in enumerate(effective.keys("handoffs").handoffs):
            at = (*path, index)
            if name not in agents:
                self._compiling.report(
                    at,
                    f"There is no agent `{name}`.",
                    suggestion(name, agents),
                    relies_on=[("agents", name)],
                )
            elif name == effective.name:
                if effective.own("handoffs"):
                    self._compiling.report(at, f"`{name}` cannot hand over to itself.", "Remove it.")
                continue
            elif name in names:
                self._compiling.report(at, f"`{name}` stands here twice.", "Remove one of them.")
            elif name in self._compiling.configuration.agents and not _description(self._compiling, name):
                self._compiling.report(
                    ("agents", name),
                    f"`{name}` has no `description`, by which other agents know when to hand over to it.",
                    "Add `description:` with what it is for.",
                    at_key=True,
                    relies_on=[("agents", name, "description"), ("defaults", "description")],
                )
            names.append(name)
        if tools.hands_over and not names:
            index = effective.keys("tools").tools.index("send_to_agent")
            self._compiling.report(
                (*effective.path("tools"), index),
                f"`{effective.name}` has the tool send_to_agent and nobody to hand over to.",
                "Add `handoffs:` with the names of agents.",
                relies_on=effective.places("handoffs", "tools"),
            )
        elif names and not tools.hands_over and effective.own("handoffs"):
            self._compiling.report(
                path,
                f"`{effective.name}` has agents to hand over to, but not the tool.",
                "Add `- send_to_agent` to its tools.",
                at_key=True,
                relies_on=effective.places("tools", "handoffs"),
            )
        return tuple(names) if tools.hands_over else ()

    # The end of a call -----------------------------------------------------------------------------

    def _manners(self, effective: Effective) -> Manners:
        spend = self._compiling.configuration.limits.spend
        spend_say = None if spend is None else self._said(("limits", "spend", "say"), spend.say)
        if not effective.written("ending"):
            return _with_spend(GOOD_MANNERS, spend_say)
        entry = effective.keys("ending").ending
        path = effective.path("ending")
        idle = []
        for index, step in enumerate(entry.idle):
            at = (*path, "idle", index)
            say, hang_up = self._said((*at, "say"), step.say), self._said((*at, "hang_up"), step.hang_up)
            if say is not None or hang_up is not None:
                idle.append(IdleStep(after_s=step.after_s, say=say, hang_up=hang_up))
        wrap_up = None
        if entry.wrap_up is not None:
            say = self._said((*path, "wrap_up", "say"), entry.wrap_up.say)
            wrap_up = WrapUp(before_s=entry.wrap_up.before_s, say=say)
            if entry.maximum_duration_s is not None and entry.wrap_up.before_s > entry.maximum_duration_s / 2:
                written = self._compiling.document.source.has((*path, "wrap_up", "before"))
                if written:
                    self._compiling.report(
                        (*path, "wrap_up", "before"),
                        f"Wrapping up {entry.wrap_up.before_s:g} s before the end leaves little of "
                        f"{entry.maximum_duration_s:g} s.",
                        "Write at most half of `maximum_duration`.",
                    )
                wrap_up = WrapUp(before_s=entry.maximum_duration_s / 2, say=say)
        manners = Manners(
            idle=tuple(idle),
            maximum_duration_s=entry.maximum_duration_s,
            wrap_up=wrap_up,
            goodbye=self._said((*path, "goodbye"), entry.goodbye),
            loops=LoopLimits() if entry.loops else None,
        )
        return _with_spend(manners, spend_say)


def _with_spend(manners: Manners, say: Template | None) -> Manners:
    return replace(manners, spend_say=say)


def _description(compiling: Compiling, name: str) -> str | None:
    configuration = compiling.configuration
    return Effective(name, configuration.agents[name], configuration.defaults).keys("description").description


def _as_agent_has_it(instructions: Template, languages: Sequence[str]) -> str | TemplateInstructions:
    """Text where nothing depends on the call: it is written once then."""
    if languages:
        instructions = Template(f"{instructions.text}\n\n{_language_rule(languages)}")
    return TemplateInstructions(instructions) if instructions.names else instructions.render({})


def _language_rule(languages: Sequence[str]) -> str:
    first, *others = (LANGUAGES.get(tag.partition("-")[0], tag) for tag in dict.fromkeys(languages))
    if not others:
        return f"Speak {first}."
    return f"Speak {first} at first, and {' or '.join(others)} with callers who want that."
