"""Turns the MCP servers that we ask ourselves into what is started, and into what agents have of them."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import PurePath
from urllib.parse import urlsplit

from sipagent.calls.tools.manners import DEFAULT_PATIENCE_S, ToolManners
from sipagent.calls.tools.mcp_spec import CALL_TIMEOUT_S, McpServerSpec, McpTools
from sipagent.config.schema import McpTool
from sipagent.config.source import KeyPath
from sipagent.config.tool_texts import ToolTexts
from sipagent.errors import UserError

_OUR_PYTHON = ("python", "python3")
_RUNNERS = frozenset(
    {*_OUR_PYTHON, "node", "npx", "bunx", "deno", "uv", "uvx", "pipx", "docker", "sh", "bash"}
)
"""Programs that run others, whose names say more."""
_RUNNERS_WORDS = frozenset({"run", "exec", "tool", "x"})


class McpCompiler:
    """Compiles the servers of one file; equal ones come out equal."""

    def __init__(self, texts: ToolTexts) -> None:
        self._texts = texts
        self._compiling = texts.compiling
        self._known: dict[str, McpServerSpec] = {}
        self._library = find_spec("mcp") is not None

    def tools(self, path: KeyPath, entry: McpTool) -> McpTools | None:
        """What the entry at ``path`` offers, or None after reporting what is wrong with it."""
        before = len(self._compiling.problems)
        manners = self._manners(path, entry)
        spec = self._spec(path, entry)
        if not self._library:
            key = "url" if entry.command is None else "command"
            message = "Servers that are asked from here need the package mcp, which is not installed."
            self._compiling.report((*path, key), message, "pip install 'sipagent[mcp]'", at_key=True)
        if spec is None or len(self._compiling.problems) > before:
            return None
        return McpTools(
            server=spec,
            allowed=None if entry.allowed_tools is None else tuple(entry.allowed_tools),
            timeout_s=CALL_TIMEOUT_S if entry.timeout_s is None else entry.timeout_s,
            manners=manners,
            side_effects=entry.side_effects,
            place=path,
        )

    def _manners(self, path: KeyPath, entry: McpTool) -> ToolManners | None:
        # Which arguments the tools have is known when their server runs, and looked at then.
        filler = self._texts.tool_text((*path, "filler"), entry.filler, None, spoken=True)
        confirm = self._texts.tool_text((*path, "confirm"), entry.confirm, None, spoken=True)
        if filler is None and confirm is None:
            return None
        patience_s = DEFAULT_PATIENCE_S if entry.patience_s is None else entry.patience_s
        return ToolManners(filler=filler, patience_s=patience_s, confirm=confirm)

    def _spec(self, path: KeyPath, entry: McpTool) -> McpServerSpec | None:
        before = len(self._compiling.problems)
        command = tuple(
            self._compiling.secret((*path, "command", index), word)
            for index, word in enumerate(entry.command or ())
        )
        url = None if entry.url is None else self._compiling.secret((*path, "url"), entry.url)
        env = self._compiling.sendables((*path, "env"), entry.env)
        headers = self._compiling.sendables((*path, "headers"), entry.headers)
        self._refuse_variables((*path, "url"), entry.url)
        for key, mapping in (("env", entry.env), ("headers", entry.headers)):
            for name, text in mapping.items():
                self._refuse_variables((*path, key, name), text)
        if len(self._compiling.problems) > before:
            return None
        if command and command[0] in _OUR_PYTHON:
            command = (sys.executable, *command[1:])
        name = _own_name(entry) if entry.name is None else entry.name
        try:
            spec = McpServerSpec(
                name=name,
                command=command,
                env=env,
                folder=str(self._compiling.folder.resolve()) if command else None,
                url=url,
                headers=headers,
                start_timeout_s=entry.start_timeout_s,
            )
        except UserError as error:
            self._texts.refused(path, error)
            return None
        return self._named(path, entry, spec)

    def _refuse_variables(self, path: KeyPath, text: str | None) -> None:
        if text is not None and "{{" in text:
            said = "This is the same for all calls, and `{{…}}` stands for something of one call."
            self._compiling.report(path, said, "Write what it is; a secret as ${NAME}.")

    def _named(self, path: KeyPath, entry: McpTool, spec: McpServerSpec) -> McpServerSpec | None:
        """``spec`` under a name that no other server has."""
        if self._known.setdefault(spec.name, spec) == spec:
            return spec
        said = f"Another server is called `{spec.name}`, and is started or reached in another way."
        at = path if entry.name is None else (*path, "name")
        self._compiling.report(at, said, "Give this one a `name:` of its own.")
        return None


def may_have(tools: McpTools, name: str) -> bool:
    """Whether a tool called ``name`` may be among ``tools``, as far as the file tells."""
    return tools.allowed is None or name in tools.allowed


def _own_name(entry: McpTool) -> str:
    """What a server is called that nobody has named."""
    if entry.command is None:
        return urlsplit(entry.url or "").hostname or "server"
    program, *arguments = entry.command
    name = PurePath(program).stem
    if name in _RUNNERS:
        told = (PurePath(word).stem for word in arguments if not word.startswith("-"))
        name = next((word for word in told if word and word not in _RUNNERS_WORDS), name)
    return name
