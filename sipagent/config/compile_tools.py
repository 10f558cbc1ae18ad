"""Turns the tools of an agent into functions that the model may call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sipagent.calls.profile import CallTool
from sipagent.calls.tools.digits import DigitTool, make_digits_tool
from sipagent.calls.tools.handing_over import SEND_TO_AGENT, tool_name
from sipagent.calls.tools.language import SET_LANGUAGE, make_language_tool
from sipagent.calls.tools.manners import DEFAULT_PATIENCE_S, with_manners
from sipagent.calls.tools.manners import ToolManners as Manners
from sipagent.calls.tools.mcp_spec import McpTools
from sipagent.calls.tools.messages import MessageTool, Notify, make_message_tool
from sipagent.config.compile_hosted import compile_hosted
from sipagent.config.compile_http import compile_http_tool
from sipagent.config.compile_mcp import McpCompiler
from sipagent.config.effective import Effective
from sipagent.config.schema import (
    CollectDigits,
    CollectDigitsEntry,
    HttpToolEntry,
    McpToolEntry,
    PythonTool,
    TakeMessage,
    TakeMessageEntry,
    ToolManners,
)
from sipagent.config.source import KeyPath
from sipagent.config.tool_texts import ToolTexts
from sipagent.config.tools import load_tool
from sipagent.config.values import BadValueError
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, HostedMCPTool, RealtimeSessionModelSettings

Made = FunctionTool | HostedMCPTool | McpTools
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTools:
    """What one agent can do."""

    tools: tuple[FunctionTool | HostedMCPTool, ...]
    mcp_tools: tuple[McpTools, ...]
    call_tools: tuple[CallTool, ...]
    hands_over: bool
    """Whether it may use its handoffs."""
    names: tuple[str, ...]
    """By which the model knows its functions; those of ``mcp_tools`` are not known yet."""


class ToolCompiler:
    """Compiles each tool of the file once, however many agents inherit it."""

    def __init__(self, texts: ToolTexts) -> None:
        self._texts = texts
        self._compiling = texts.compiling
        self._mcp = McpCompiler(texts)
        self._made: dict[KeyPath, Made | None] = {}

    def agent_tools(
        self, effective: Effective, languages: Sequence[str], settings: RealtimeSessionModelSettings
    ) -> AgentTools:
        """The tools of one agent that speaks ``languages``; reports those that cannot be."""
        made: list[FunctionTool | HostedMCPTool] = []
        mcp_tools: list[McpTools] = []
        call_tools: list[CallTool] = []
        names: list[str] = []
        hands_over = False
        for index, entry in enumerate(effective.keys("tools").tools):
            path = (*effective.path("tools"), index)
            new: list[str] = []
            if entry == SEND_TO_AGENT:
                hands_over = True
                new = [SEND_TO_AGENT] if SEND_TO_AGENT in names else []
                names.extend(tool_name(each) for each in effective.keys("handoffs").handoffs)
            elif entry == SET_LANGUAGE:
                tool = self._language(path, effective, languages, settings)
                if tool is not None:
                    made.append(tool)
                new = [SET_LANGUAGE]
            elif isinstance(entry, str):
                call_tools.append(CallTool(entry))
                new = [entry]
            elif isinstance(shared := self._shared(path, entry), McpTools):
                mcp_tools.append(shared)
            elif shared is not None:
                made.append(shared)
                new = [shared.name] if isinstance(shared, FunctionTool) else []
            for name in new:
                if name in names:
                    message = f"Two tools are called `{name}`: the model could not tell them apart."
                    self._compiling.report(path, message, "Give one of them another `name:`, or remove it.")
            names.extend(new)
        return AgentTools(
            tools=tuple(made),
            mcp_tools=tuple(mcp_tools),
            call_tools=tuple(call_tools),
            hands_over=hands_over,
            names=tuple(names),
        )

    def _language(
        self,
        path: KeyPath,
        effective: Effective,
        languages: Sequence[str],
        settings: RealtimeSessionModelSettings,
    ) -> FunctionTool | None:
        if len(set(languages)) < 2:
            self._compiling.report(
                path,
                f"`{effective.name}` has the tool set_language and fewer than two languages.",
                "Add `languages: [en, de]`, with those it may speak.",
                relies_on=[*effective.places("languages", "language"), ("business", "language")],
            )
            return None
        transcription: Any = settings.get("input_audio_transcription")
        return make_language_tool(languages, transcription=transcription)

    def _shared(self, path: KeyPath, entry: object) -> Made | None:
        """A tool that is the same for every agent that inherits it."""
        if path not in self._made:
            self._made[path] = self._make(path, entry)
        return self._made[path]

    def _make(self, path: KeyPath, entry: object) -> Made | None:
        match entry:
            case PythonTool():
                return self._python(path, entry)
            case HttpToolEntry(http=http):
                inner = (*path, "http")
                made = compile_http_tool(self._texts, inner, http)
                tool, changes_something = (None, False) if made is None else made
                return self._with_manners(inner, tool, http, frozenset(http.arguments), changes_something)
            case McpToolEntry(mcp=mcp):
                if mcp.hosted is None:
                    return self._mcp.tools((*path, "mcp"), mcp)
                return compile_hosted(self._compiling, (*path, "mcp"), mcp, mcp.hosted)
            case CollectDigitsEntry(collect_digits=digits):
                return self._digits((*path, "collect_digits"), digits)
            case TakeMessageEntry(take_message=message):
                return self._message((*path, "take_message"), message)
            case _:
                raise AssertionError(f"a kind of tool without a way to make it: {entry!r}")

    def _python(self, path: KeyPath, entry: PythonTool) -> FunctionTool | None:
        try:
            tool = load_tool(entry, folder=self._compiling.folder)
        except BadValueError as error:
            self._compiling.report((*path, "python"), error.message, error.remedy)
            return None
        names = frozenset(tool.params_json_schema.get("properties", {}))
        return self._with_manners(path, tool, entry, names, entry.side_effects or False)

    def _digits(self, path: KeyPath, entry: CollectDigits) -> FunctionTool | None:
        prompt = self._texts.spoken((*path, "prompt"), entry.prompt)
        try_again = self._texts.spoken((*path, "try_again"), entry.try_again)
        return self._checked(
            path,
            lambda: make_digits_tool(
                DigitTool(
                    name=entry.name,
                    description=entry.description or "",
                    prompt=prompt,
                    minimum=entry.length.min,
                    maximum=entry.length.max,
                    end_key=entry.end_key,
                    first_timeout_s=entry.first_timeout_s,
                    digit_timeout_s=entry.digit_timeout_s,
                    pattern=entry.pattern,
                    attempts=entry.attempts,
                    try_again=try_again,
                    masked=entry.masked,
                    reveal_last=entry.reveal_last,
                )
            ),
        )

    def _message(self, path: KeyPath, entry: TakeMessage) -> FunctionTool | None:
        notify: Notify | None = None
        if entry.notify is not None:
            at = (*path, "notify")
            before = len(self._compiling.problems)
            url = self._compiling.secret((*at, "url"), entry.notify.url)
            headers = self._compiling.sendables((*at, "headers"), entry.notify.headers)
            if len(self._compiling.problems) > before:
                return None
            timeout_s, retries, idempotent = (
                entry.notify.timeout_s,
                entry.notify.retries,
                entry.notify.idempotent,
            )
            if (
                notify := self._checked(
                    at,
                    lambda: Notify(
                        url=url, headers=headers, timeout_s=timeout_s, retries=retries, idempotent=idempotent
                    ),
                )
            ) is None:
                return None
        return self._checked(
            path,
            lambda: make_message_tool(
                MessageTool(
                    name=entry.name,
                    description=entry.description or "",
                    fields=dict(entry.fields),
                    notify=notify,
                )
            ),
        )

    def _with_manners(
        self,
        path: KeyPath,
        tool: FunctionTool | None,
        entry: ToolManners,
        names: frozenset[str],
        side_effects: bool,
    ) -> FunctionTool | None:
        """``tool`` with the arguments ``names`` as it behaves towards the caller; plain where nothing is said
        of that. Where there is no tool, what is said of its manners is looked at all the same."""
        before = len(self._compiling.problems)
        filler = self._texts.tool_text((*path, "filler"), entry.filler, names, spoken=True)
        confirm = self._texts.tool_text((*path, "confirm"), entry.confirm, names, spoken=True)
        if tool is None or len(self._compiling.problems) > before:
            return None
        if filler is None and confirm is None and not side_effects:
            return tool
        patience_s = DEFAULT_PATIENCE_S if entry.patience_s is None else entry.patience_s
        return self._checked(
            path,
            lambda: with_manners(
                tool,
                Manners(filler=filler, patience_s=patience_s, confirm=confirm, side_effects=side_effects),
            ),
        )

    def _checked(self, path: KeyPath, make: Callable[[], T]) -> T | None:
        """What ``make`` gives, or None after reporting why it gives nothing."""
        try:
            return make()
        except UserError as error:
            self._texts.refused(path, error)
            return None
