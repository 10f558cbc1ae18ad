"""Turns the tools of an agent into functions that the model may call."""

from __future__ import annotations

from dataclasses import dataclass

from sipagent.calls.profile import CallTool
from sipagent.calls.variables import VariableSource
from sipagent.config.compiling import Compiling
from sipagent.config.effective import Effective
from sipagent.config.schema import PythonTool
from sipagent.config.source import KeyPath
from sipagent.config.tools import load_tool
from sipagent.config.values import BadValueError
from sipagent.realtime import FunctionTool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTools:
    """What one agent can do."""

    functions: tuple[FunctionTool, ...]
    call_tools: tuple[CallTool, ...]
    names: tuple[str, ...]
    """By which the model knows them."""


class ToolCompiler:
    """Compiles each tool of the file once, however many agents inherit it."""

    def __init__(self, compiling: Compiling, source: VariableSource) -> None:
        self._compiling = compiling
        self._source = source
        self._functions: dict[KeyPath, FunctionTool | None] = {}

    def agent_tools(self, effective: Effective) -> AgentTools:
        """The tools of one agent; reports those that cannot be."""
        functions: list[FunctionTool] = []
        call_tools: list[CallTool] = []
        names: list[str] = []
        for index, entry in enumerate(effective.keys("tools").tools):
            path = (*effective.path("tools"), index)
            if isinstance(entry, PythonTool):
                tool = self._python(path, entry)
                if tool is None:
                    continue
                functions.append(tool)
                name = tool.name
            elif entry in set(CallTool):
                call_tools.append(CallTool(entry))
                name = entry
            else:
                continue
            if name in names:
                message = f"Two tools are called `{name}`: the model could not tell them apart."
                self._compiling.report(path, message, "Give one of them another `name:`, or remove it.")
            names.append(name)
        return AgentTools(functions=tuple(functions), call_tools=tuple(call_tools), names=tuple(names))

    def _python(self, path: KeyPath, entry: PythonTool) -> FunctionTool | None:
        if path not in self._functions:
            try:
                self._functions[path] = load_tool(entry, folder=self._compiling.folder)
            except BadValueError as error:
                self._functions[path] = None
                self._compiling.report((*path, "python"), error.message, error.remedy)
        return self._functions[path]
