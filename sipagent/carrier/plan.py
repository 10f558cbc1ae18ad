"""What becomes of a call: the steps of its plan, one after the other, until one holds. Pure.

Every step that can fail names its place in the plan in a token; how it went comes back with the token, to any
process, and the next step follows. The place only ever grows, and a plan ends with words: no call goes round
in a circle, and none ends in silence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.base import (
    SORRY,
    WAITING,
    Callbacks,
    ConnectStream,
    DialNumber,
    DialSip,
    HangUp,
    HoldPerson,
    Instruction,
    RejectLeg,
    SayAndHangUp,
    StepOutcome,
    StepResult,
)
from sipagent.carrier.settings import (
    AnswerBySip,
    AnswerByStream,
    AnswerPlan,
    CallNumber,
    CarrierSettings,
    SayMessage,
    Step,
)
from sipagent.carrier.tokens import LegToken, LegTokens, route_mark

AFTER_THE_LAST = 1000
"""The place of what is no step of a plan: when it fails, the words at the end of the plan follow."""
PERSON_WAITS_S = 10
"""The longest a person who has taken a call waits for the caller: longer than it takes to move both."""
_BUSY_STATUSES = frozenset({486, 503, 600})


class Planner:
    """The plans of one configuration."""

    def __init__(self, settings: CarrierSettings, tokens: LegTokens) -> None:
        self._settings = settings
        self._tokens = tokens
        self._plans = {route_mark(route): plan for route, plan in settings.plans.items()}

    def begin(self, leg: CarrierLeg, route: str, now_s: float) -> Instruction:
        """The first step for ``leg``, which ``route`` answers, at ``now_s`` (Unix seconds)."""
        return self._from(leg, route_mark(route), 0, now_s)

    def again(self, token: LegToken, now_s: float) -> Instruction:
        """The step that ``token`` names: of a leg that had to be answered first."""
        return self._from(token.leg, token.route, token.step, now_s)

    def after(self, outcome: StepOutcome, now_s: float) -> Instruction | None:
        """What follows a step that went as ``outcome`` says; None: nothing is to be done to the leg."""
        if outcome.caller_gone or outcome.result == "transferred":
            return None
        if not goes_on(outcome.result):
            return None if outcome.leg_follows else HangUp()
        return self._from(outcome.leg, outcome.token.route, outcome.token.step + 1, now_s)

    def refer(self, token: LegToken, target_uri: str, now_s: float) -> Instruction:
        """Send the caller to ``target_uri``. Where that fails, the plan goes on from the step that ``token``
        names, to which the caller was connected."""
        return DialNumber(
            number=target_uri,
            caller_id=self.caller_id(token.leg),
            answer_timeout_s=CallNumber(number=target_uri).answer_timeout_s,
            callbacks=self.callbacks(token.leg, token.route, token.step, now_s),
        )

    def hold(self, leg: CarrierLeg, offer: str, now_s: float) -> HoldPerson:
        """Let a person wait for ``leg``, which ``offer`` offered them."""
        manner = self._settings.offers
        return HoldPerson(
            patience_s=PERSON_WAITS_S,
            sorry=manner.sorry,
            language=manner.language,
            callbacks=self.callbacks(leg, WAITING, AFTER_THE_LAST, now_s, offer),
        )

    def sorry(self, leg: CarrierLeg, offer: str, now_s: float) -> SayAndHangUp:
        """Tell a person that the caller does not come whom ``offer`` offered them."""
        manner = self._settings.offers
        callbacks = self.callbacks(leg, SORRY, AFTER_THE_LAST, now_s, offer)
        # What they were told before is another command.
        callbacks = replace(callbacks, place=f"{offer} {SORRY}")
        return SayAndHangUp(words=manner.sorry, language=manner.language, callbacks=callbacks)

    def farewell(self, leg: CarrierLeg, place: int, now_s: float) -> SayAndHangUp:
        """The words at the end of the plan, for a caller at ``place``."""
        words = self._settings.plan.steps[-1]
        assert isinstance(words, SayMessage), "a plan ends with words"
        callbacks = self.callbacks(leg, "", place, now_s)
        return SayAndHangUp(words=words.words, language=words.language, callbacks=callbacks)

    def step_of(self, token: LegToken) -> Step:
        """The step that ``token`` names; the last one, of words, where there is none."""
        steps = self._plan(token.route).steps
        return steps[min(max(token.step, 0), len(steps) - 1)]

    def caller_id(self, leg: CarrierLeg) -> str | None:
        """The number that those are shown whom we call for ``leg``."""
        return self._settings.caller_id or leg.dialled

    def callbacks(
        self, leg: CarrierLeg, route: str, step: int, now_s: float, offer: str | None = None
    ) -> Callbacks:
        """Where the carrier of ``leg`` tells how a step went. ``route`` as `route_mark` writes it."""
        token = LegToken(leg=leg, route=route, step=step, issued_at=int(now_s), offer=offer)
        base = f"{self._settings.public_url}/carriers/{leg.carrier}"
        return Callbacks(
            base_url=f"{base}/{leg.interface}" if leg.interface else base,
            media_url=f"ws{base.removeprefix('http')}/media",
            token=self._tokens.issue(token),
            place=offer or str(step),
        )

    def _plan(self, mark: str) -> AnswerPlan:
        return self._plans.get(mark, self._settings.plan)

    def _from(self, leg: CarrierLeg, mark: str, place: int, now_s: float) -> Instruction:
        """The first step that can be taken, from ``place`` on."""
        steps = self._plan(mark).steps
        # A plan that became shorter since, or a place behind its end: the words remain.
        place = min(max(place, 0), len(steps) - 1)
        while isinstance(steps[place], AnswerBySip) and self._settings.sip is None:
            place += 1
        callbacks = self.callbacks(leg, mark, place, now_s)
        match steps[place]:
            case AnswerBySip() as step:
                assert self._settings.sip is not None, "such steps were passed over"
                return DialSip(
                    target=self._settings.sip, answer_timeout_s=step.answer_timeout_s, callbacks=callbacks
                )
            case AnswerByStream():
                return ConnectStream(callbacks=callbacks)
            case CallNumber() as step:
                return DialNumber(
                    number=step.number,
                    caller_id=self.caller_id(leg),
                    answer_timeout_s=step.answer_timeout_s,
                    callbacks=callbacks,
                )
            case SayMessage() as step:
                return SayAndHangUp(words=step.words, language=step.language, callbacks=callbacks)
            case never:
                assert_never(never)


def goes_on(result: StepResult) -> bool:
    """Whether a step that ended with ``result`` is followed by the next one.

    It is whenever nobody answered, for whatever reason: the SIP side refused (400, 403, 404, 480, 486, 488,
    500, 503, 603), gave up (408, 487), did not answer in time, or could not be reached (no TLS, no
    connection). It is not when somebody did, and their call is over.
    """
    match result:
        case "ended" | "transferred":
            return False
        case "busy" | "no_answer" | "failed" | "canceled" | "rejected":
            return True


def refusal(sip_status: int) -> RejectLeg:
    """How a carrier is told that a call is refused for which a SIP trunk would hear ``sip_status``."""
    return RejectLeg(busy=sip_status in _BUSY_STATUSES)


def conference_name(offer: str) -> str:
    """The conference in which a caller and the person meet to whom ``offer`` offered them."""
    return f"sipagent-{offer}"


def name_of(step: Step) -> str:
    """One word for ``step``, for counting: ``sip``, ``stream``, ``call``, ``say``."""
    match step:
        case AnswerBySip():
            return "sip"
        case AnswerByStream():
            return "stream"
        case CallNumber():
            return "call"
        case SayMessage():
            return "say"
