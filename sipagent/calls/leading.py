"""What changes when another agent leads a call: its manners, and the settings that are its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from sipagent.calls.context import CallContext
from sipagent.calls.manners import Manners
from sipagent.calls.profile import AgentProfile, TransferTarget
from sipagent.calls.tools.language import in_chosen_language
from sipagent.realtime import RealtimeAgent, RealtimeSessionModelSettings, RunContextWrapper

ITS_OWN = (
    "input_audio_transcription",
    "input_audio_noise_reduction",
    "turn_detection",
    "truncation",
    "max_output_tokens",
    "reasoning",
    "tool_choice",
)
"""Settings that each agent has for itself. The model, its voice and speed and the audio formats are the
call's: the API changes them not at all once the agent was heard, or not in the middle of a response."""
UNSET: Mapping[str, object] = {
    "input_audio_noise_reduction": None,
    "max_output_tokens": "inf",
    "tool_choice": "auto",
}
"""What an agent has that says nothing. Left out, the setting of the agent before it would stay."""


class Team:
    """The profiles of those who may lead a call, by the names of their agents."""

    def __init__(self, profiles: Iterable[AgentProfile] = ()) -> None:
        self._profiles: Mapping[str, AgentProfile] = {profile.agent.name: profile for profile in profiles}

    def profile(self, name: str) -> AgentProfile | None:
        """The profile of the agent called ``name``; None for one that another agent brought along."""
        return self._profiles.get(name)

    def targets(self, leader: str) -> Mapping[str, TransferTarget]:
        """Whom people of the company may send a caller to while the agent called ``leader`` leads: the
        targets of everybody; where two have the same name, the leader's."""
        of_all = {target.name: target for each in self._profiles.values() for target in each.transfer_targets}
        profile = self.profile(leader)
        own = {} if profile is None else {target.name: target for target in profile.transfer_targets}
        return {**of_all, **own}

    def settings_of_agent(
        self,
        agent: RealtimeAgent[Any],
        wrapper: RunContextWrapper[Any],
        settings: RealtimeSessionModelSettings,
    ) -> RealtimeSessionModelSettings:
        """``settings``, resolved for ``agent`` with those of whoever answered, as they are when it leads; see
        `RealtimeRunConfig`."""
        changed: dict[str, Any] = {**settings}
        languages: tuple[str, ...] = ()
        if (profile := self.profile(agent.name)) is not None:
            languages = profile.languages
            for key in ITS_OWN:
                if key in profile.settings:
                    changed[key] = profile.settings[key]  # type: ignore[literal-required]
                elif key in UNSET and any(key in each.settings for each in self._profiles.values()):
                    changed[key] = UNSET[key]
        context = wrapper.context
        chosen = context.tools.language if isinstance(context, CallContext) else None
        return in_chosen_language(cast(RealtimeSessionModelSettings, changed), chosen, languages)


class Leadership:
    """Who leads one call, and with which manners."""

    def __init__(self, first: AgentProfile, team: Team) -> None:
        """``first`` answers the call."""
        self.manners = first.manners
        """Those that count now."""
        self._team = team
        self._leads = first.agent.name

    def look(self, name: str) -> Manners | None:
        """The agent called ``name`` leads: its manners if they count from now on, or None when nothing
        changes. An agent without a profile has the manners of the one before it."""
        if name == self._leads:
            return None
        self._leads = name
        profile = self._team.profile(name)
        if profile is None:
            return None
        self.manners = profile.manners
        return profile.manners
