"""Turns a checked document into what answers calls: agents with their tools, and the routes to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sipagent.calls.profile import AgentProfile, CallTool, Greeting, TransferTarget
from sipagent.calls.routing import FrontDoor, Route
from sipagent.calls.template import Template, TemplateError
from sipagent.config.environment import read_base_url
from sipagent.config.files import FilesRead
from sipagent.config.loader import Document, in_file_order, read_document, suggestion
from sipagent.config.schema import AgentKeys, CustomVoice, PythonTool, RetainedContext, ServerVad
from sipagent.config.source import KeyPath
from sipagent.config.tools import load_tool
from sipagent.config.values import BadValueError
from sipagent.errors import ConfigurationError, Problem
from sipagent.realtime import FunctionTool, RealtimeAgent, RealtimeSessionModelSettings

_TOOL_CHOICES = ("auto", "none", "required")


def load_base_url(path: Path | str, variables: Mapping[str, str] | None = None) -> str:
    """Where the Realtime API is: what ``OPENAI_BASE_URL`` of ``variables`` says, by default those of the
    process, or else the file at ``path``; without a slash at the end.

    Blocks: it reads the file. Raises `ConfigurationError` with every mistake in it, and `UserError` when the
    variable holds no URL.
    """
    # The variable wins, so that one file serves in production and against the simulator.
    written = read_document(Path(path)).configuration.openai.address
    return read_base_url(variables) or written


def compile_configuration(document: Document, base_dir: Path, read: FilesRead | None = None) -> FrontDoor:
    """The agents and routes of ``document``; ``instructions_file`` and tools are found from ``base_dir``, and
    noted in ``read``.

    Raises :class:`ConfigurationError` with everything that does not fit together.
    """
    if read is None:
        read = FilesRead(base_dir)
        read.note_text(Path(document.source.file), document.source.text)
    compiler = _Compiler(document, base_dir, read)
    profiles = {name: compiler.profile(name, agent) for name, agent in document.configuration.agents.items()}
    routes = compiler.routes()
    if compiler.problems:
        raise ConfigurationError(*in_file_order(compiler.problems))
    return FrontDoor(
        profiles={name: profile for name, profile in profiles.items() if profile is not None},
        routes=routes,
        fingerprint=read.fingerprint,
    )


class _Compiler:
    def __init__(self, document: Document, base_dir: Path, read: FilesRead) -> None:
        self.document = document
        self.read = read
        self.base_dir = base_dir
        self.problems: list[Problem] = []
        self._tools: dict[KeyPath, FunctionTool | None] = {}
        self._files: dict[Path, str] = {}

    def report(self, path: KeyPath, message: str, remedy: str) -> None:
        self.problems.append(self.document.source.problem(path, message, remedy))

    def profile(self, name: str, agent: AgentKeys) -> AgentProfile | None:
        """The agent called ``name``, or None after reporting why it cannot answer."""
        before = len(self.problems)
        effective = _Effective(name, agent, self.document.configuration.defaults)
        instructions = self._instructions(effective)
        function_tools, call_tools = self._agent_tools(effective)
        tool_names = (*(tool.name for tool in function_tools), *call_tools)
        targets = self._targets(effective, call_tools)
        settings = _settings(effective)
        choice = effective.keys("tool_choice").tool_choice
        if choice in _TOOL_CHOICES:
            settings["tool_choice"] = choice
        elif choice in tool_names:
            settings["tool_choice"] = {"type": "function", "name": choice}
        else:
            known = (*_TOOL_CHOICES, *tool_names)
            self.report(
                effective.path("tool_choice"), f"`{choice}` is no tool of {name}.", suggestion(choice, known)
            )
        if len(self.problems) > before:
            return None
        return AgentProfile(
            name=name,
            agent=RealtimeAgent(name=name, instructions=instructions, tools=list(function_tools)),
            settings=settings,
            greeting=self._greeting(effective),
            call_tools=call_tools,
            transfer_targets=targets,
        )

    def routes(self) -> tuple[Route, ...]:
        """The routes in order; reports those that name no agent or can never match."""
        agents = tuple(self.document.configuration.agents)
        routes: list[Route] = []
        taken: dict[str | None, int] = {}
        for index, entry in enumerate(self.document.configuration.routes):
            path: KeyPath = ("routes", index)
            if entry.agent not in agents:
                message = f"There is no agent `{entry.agent}`."
                self.report((*path, "agent"), message, suggestion(entry.agent, agents))
            if (earlier := taken.get(None, taken.get(entry.to))) is not None:
                message = f"This route can never match: route {earlier + 1} takes its calls."
                self.report(path, message, "Remove it, or move it up: the first match wins.")
            taken.setdefault(entry.to, index)
            routes.append(Route(agent=entry.agent, to=entry.to))
        return tuple(routes)

    def _instructions(self, effective: _Effective) -> str | None:
        level, keys = effective.level("instructions", "instructions_file")
        if keys.instructions is not None and keys.instructions_file is not None:
            message = "`instructions` and `instructions_file` stand side by side."
            self.report((*level, "instructions_file"), message, "Keep one of them.")
            return None
        if keys.instructions is not None:
            return keys.instructions
        if keys.instructions_file is None:
            message = f"The agent `{effective.name}` has no instructions."
            self.report(
                effective.place, message, "Add `instructions: |` and tell it who it is and what to do."
            )
            return None
        return self._file((*level, "instructions_file"), keys.instructions_file)

    def _greeting(self, effective: _Effective) -> Greeting | None:
        text = effective.keys("greeting").greeting
        try:
            return None if text is None else Greeting(text=Template(text))
        except TemplateError as error:
            self.report(effective.path("greeting"), error.message, error.remedy)
            return None

    def _file(self, path: KeyPath, name: str) -> str | None:
        file = self.base_dir / name
        if file not in self._files:
            try:
                self._files[file] = self.read.read_text(file).strip()
            except OSError as error:
                self.report(
                    path, f"{file} cannot be read: {error.strerror}.", "Paths begin at this file's folder."
                )
                return None
            except UnicodeDecodeError:
                self.report(path, f"{file} is not UTF-8.", "Save it as UTF-8.")
                return None
        if not self._files[file]:
            self.report(path, f"{file} is empty.", "Write the instructions into it.")
            return None
        return self._files[file]

    def _agent_tools(self, effective: _Effective) -> tuple[tuple[FunctionTool, ...], tuple[CallTool, ...]]:
        functions: list[FunctionTool] = []
        call_tools: list[CallTool] = []
        places: dict[str, KeyPath] = {}
        for index, entry in enumerate(effective.keys("tools").tools):
            path = (*effective.path("tools"), index)
            if isinstance(entry, PythonTool):
                tool = self._tool(path, entry)
                if tool is None:
                    continue
                functions.append(tool)
                name = tool.name
            else:
                call_tools.append(CallTool(entry))
                name = entry
            if name in places:
                message = f"Two tools are called `{name}`: the model could not tell them apart."
                self.report(path, message, "Give one of them another `name:`, or remove it.")
            places[name] = path
        return tuple(functions), tuple(call_tools)

    def _tool(self, path: KeyPath, entry: PythonTool) -> FunctionTool | None:
        if path not in self._tools:
            try:
                self._tools[path] = load_tool(entry, folder=self.base_dir)
            except BadValueError as error:
                self._tools[path] = None
                self.report((*path, "python"), error.message, error.remedy)
        return self._tools[path]

    def _targets(self, effective: _Effective, call_tools: tuple[CallTool, ...]) -> tuple[TransferTarget, ...]:
        entries = effective.keys("transfer").transfer
        if CallTool.TRANSFER in call_tools:
            if not entries:
                index = effective.keys("tools").tools.index("transfer")
                message = f"`{effective.name}` has the tool transfer and nowhere to transfer to."
                self.report(
                    (*effective.path("tools"), index), message, "Add `transfer:` with at least one target."
                )
        elif entries and effective.path("transfer")[0] == "agents":
            message = f"`{effective.name}` has targets to transfer to, but not the tool."
            self.report(effective.path("transfer"), message, "Add `- transfer` to its tools.")
        return tuple(
            TransferTarget(name=name, uris=(entry.to,), description=entry.description)
            for name, entry in entries.items()
        )


class _Effective:
    """The keys of one agent over the defaults, and where each value was written."""

    def __init__(self, name: str, agent: AgentKeys, defaults: AgentKeys) -> None:
        self.name = name
        self.place: KeyPath = ("agents", name)
        self._agent = agent
        self._defaults = defaults

    def level(self, *names: str) -> tuple[KeyPath, AgentKeys]:
        """The innermost level that writes one of ``names``, and its keys."""
        if self._agent.model_fields_set.intersection(names):
            return self.place, self._agent
        return ("defaults",), self._defaults

    def keys(self, name: str) -> AgentKeys:
        """The keys in which ``name`` has its effective value."""
        return self.level(name)[1]

    def path(self, name: str) -> KeyPath:
        """Where the effective value of ``name`` is written, if it is."""
        return (*self.level(name)[0], name)

    def written(self, name: str) -> bool:
        """Whether the file says anything about ``name``."""
        return name in self.keys(name).model_fields_set


def _settings(effective: _Effective) -> RealtimeSessionModelSettings:
    voice = effective.keys("voice").voice
    audio_format = effective.keys("audio_format").audio_format
    transcription = effective.keys("transcription").transcription
    settings: RealtimeSessionModelSettings = {
        "model_name": effective.keys("model").model,
        "voice": {"id": voice.id} if isinstance(voice, CustomVoice) else voice,
        "input_audio_format": audio_format,
        "output_audio_format": audio_format,
        "input_audio_transcription": None if transcription is None else _written(transcription, "model"),
        "turn_detection": _turn_detection(effective),
        "truncation": _truncation(effective),
    }
    if effective.written("speed"):
        settings["speed"] = effective.keys("speed").speed
    if effective.written("max_output_tokens"):
        settings["max_output_tokens"] = effective.keys("max_output_tokens").max_output_tokens
    if effective.written("noise_reduction"):
        reduction = effective.keys("noise_reduction").noise_reduction
        settings["input_audio_noise_reduction"] = None if reduction is None else _written(reduction)
    if (reasoning := effective.keys("reasoning").reasoning) is not None:
        settings["reasoning"] = {"effort": reasoning.effort}
    return settings


def _written(entry: Any, *always: str) -> Any:
    """What the file says of ``entry``, and the keys named ``always`` even when it is silent about them."""
    written: Mapping[str, Any] = entry.model_dump(exclude_unset=True, exclude_none=True)
    return {**{name: getattr(entry, name) for name in always}, **written}


def _turn_detection(effective: _Effective) -> Any:
    detection = effective.keys("turn_detection").turn_detection
    # The guide and the API disagree on the default silence, so ours is always said.
    always = ("type", "threshold", "silence_duration_ms") if isinstance(detection, ServerVad) else ("type",)
    return _written(detection, *always)


def _truncation(effective: _Effective) -> Any:
    truncation = effective.keys("truncation").truncation
    if not isinstance(truncation, RetainedContext):
        return truncation
    kept: dict[str, Any] = {"type": "retention_ratio", "retention_ratio": truncation.retention_ratio}
    if truncation.token_limit is not None:
        kept["token_limits"] = {"post_instructions": truncation.token_limit}
    return kept
