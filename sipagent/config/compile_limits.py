"""Turns limits and lists of callers into what calls are admitted by."""

from __future__ import annotations

from datetime import UTC

from sipagent.calls.numbers import PRESETS, NumberPattern, NumberRules
from sipagent.calls.policy import CallCaps
from sipagent.calls.routing import FULL_STATUS, Alternative, Callers, Limits
from sipagent.calls.spend import DEFAULT_PRICES, Prices, SpendLimits
from sipagent.config.compiling import Compiling
from sipagent.config.effective import Effective
from sipagent.config.schema import Alternative as AlternativeEntry
from sipagent.config.schema import FullAlternative, SpendEntry
from sipagent.config.source import KeyPath
from sipagent.config.values import suggestion


def compile_numbers(compiling: Compiling) -> NumberRules:
    """Where the dialled number and the caller's stand: headers that are written win over the preset's."""
    entry = compiling.configuration.numbers
    rules = NumberRules() if entry.preset is None else PRESETS[entry.preset]
    return NumberRules(
        dialled_headers=rules.dialled_headers
        if entry.dialled_headers is None
        else tuple(entry.dialled_headers),
        caller_headers=rules.caller_headers if entry.caller_headers is None else tuple(entry.caller_headers),
        default_country=entry.default_country,
    )


def compile_callers(compiling: Compiling) -> Callers:
    """Who is answered at all; reports numbers that are on both lists."""
    entry = compiling.configuration.callers
    for index, text in enumerate(entry.deny):
        if text == "*":
            compiling.report(
                ("callers", "deny", index), "`*` denies everybody.", "Write the numbers to deny, or `allow:`."
            )
        if text in (entry.allow or ()):
            compiling.report(
                ("callers", "deny", index),
                f"`{text}` is on both lists, `deny` and `allow`.",
                "Remove it from one of them; `deny` would win.",
            )
    return Callers(
        deny=tuple(NumberPattern(text) for text in entry.deny),
        allow=None if entry.allow is None else tuple(NumberPattern(text) for text in entry.allow),
    )


def compile_limits(compiling: Compiling) -> Limits:
    """How much is answered; reports agents that do not exist."""
    entry = compiling.configuration.limits
    agents = compiling.names("agents")
    path: KeyPath = ("limits", "calls")
    caps = CallCaps()
    if (calls := entry.calls) is not None:
        for key, by_agent in (("per_agent", calls.per_agent), ("reserved", calls.reserved)):
            for agent in by_agent:
                if agent not in agents:
                    compiling.report(
                        (*path, key, agent),
                        f"There is no agent `{agent}`.",
                        suggestion(agent, agents),
                        at_key=True,
                        relies_on=[("agents", agent)],
                    )
        caps = CallCaps(
            total=calls.total,
            per_agent=dict(calls.per_agent),
            reserved=dict(calls.reserved),
            per_caller=calls.per_caller,
            per_caller_per_minute=calls.per_caller_per_minute,
            per_minute=calls.per_minute,
        )
    when_full = compile_alternative(compiling, ("limits", "when_full"), entry.when_full)
    return Limits(
        calls=caps,
        when_full=Alternative(reject=FULL_STATUS) if when_full is None else when_full,
        spend=None if entry.spend is None else _spend(compiling, entry.spend),
    )


def compile_alternative(
    compiling: Compiling, path: KeyPath, entry: AlternativeEntry | None
) -> Alternative | None:
    """What happens to a call instead; reports an agent that does not exist."""
    if entry is None:
        return None
    agents = compiling.names("agents")
    if entry.agent is not None and entry.agent not in agents:
        compiling.report(
            (*path, "agent"),
            f"There is no agent `{entry.agent}`.",
            suggestion(entry.agent, agents),
            relies_on=[("agents", entry.agent)],
        )
    calls = entry.calls if isinstance(entry, FullAlternative) else None
    limits = compiling.configuration.limits.calls
    most = None if limits is None or entry.agent is None else limits.per_agent.get(entry.agent)
    if calls is not None and most is not None and calls > most:
        compiling.report(
            (*path, "calls"),
            f"`per_agent` allows {entry.agent} {most} calls in all, and here it may have {calls}.",
            "Lower it, or raise `per_agent`.",
        )
    return Alternative(agent=entry.agent, reject=entry.reject, calls=calls)


def _spend(compiling: Compiling, entry: SpendEntry) -> SpendLimits:
    prices = {model: Prices(**price.model_dump()) for model, price in entry.prices.items()}
    path: KeyPath = ("limits", "spend")
    configuration = compiling.configuration
    if entry.currency != "USD" and not prices:
        compiling.report(
            (*path, "currency"),
            f"The prices that are known are in USD, and `spend` counts in {entry.currency}.",
            f"Add `prices:` in {entry.currency}, or count in USD.",
            relies_on=[path],
        )
        return SpendLimits()
    known = prices or DEFAULT_PRICES
    if entry.currency == "USD":
        known = {**DEFAULT_PRICES, **prices}
    for name, agent in configuration.agents.items():
        effective = Effective(name, agent, configuration.defaults)
        model = effective.keys("model").model
        if model not in known:
            compiling.report(
                (*path, "prices") if prices else path,
                f"What the model `{model}` of {name} costs is not known, so nothing would bound it.",
                f"Add its six prices below `prices: {{{model}: …}}`.",
                at_key=True,
                relies_on=[(*path, "prices"), (*path, "currency"), *effective.places("model")],
            )
    return SpendLimits(
        per_call=entry.per_call,
        per_day=entry.per_day,
        currency=entry.currency,
        prices=known,
        zone=configuration.business.timezone or UTC,
    )
