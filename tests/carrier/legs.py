"""A leg, and the configuration that answers it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.settings import (
    AnswerBySip,
    AnswerByStream,
    AnswerPlan,
    CallNumber,
    CarrierSettings,
    SayMessage,
    SipTarget,
    TelnyxSettings,
    TwilioSettings,
)
from sipagent.carrier.tokens import LegToken
from tests.carrier.signing import AUTH_TOKEN, PUBLIC_URL, TELNYX_PUBLIC_KEY

NOW_S = 1_790_000_000
CALLER = "+15550100123"
DIALLED = "+15550100100"
PERSON = "+15550100199"
ACCOUNT = "AC00000000000000000000000000000001"
WORDS = "Nobody can take your call."
LEG = CarrierLeg(carrier="twilio", carrier_call_id="CA1", caller=CALLER, dialled=DIALLED)
TEXML_LEG = replace(LEG, carrier="telnyx", carrier_call_id="v3:a", interface="texml", account="acc-1")
CONTROL_LEG = replace(LEG, carrier="telnyx", carrier_call_id="v3:b", interface="call-control")
PLAN = AnswerPlan(
    steps=(
        AnswerBySip(answer_timeout_s=20),
        AnswerByStream(),
        CallNumber(number=PERSON),
        SayMessage(words=WORDS, language="en-GB"),
    )
)


def settings(
    *,
    plan: AnswerPlan = PLAN,
    twilio_url: str = "https://api.twilio.com",
    telnyx_url: str = "https://api.telnyx.com",
    **others: Any,
) -> CarrierSettings:
    """Twilio and Telnyx, and a plan with a step of every kind."""
    return replace(
        CarrierSettings(
            public_url=PUBLIC_URL,
            sip=SipTarget(project="proj_demo"),
            plan=plan,
            twilio=TwilioSettings(
                account_sid=ACCOUNT, auth_tokens=(AUTH_TOKEN, "older"), api_base_url=twilio_url
            ),
            telnyx=TelnyxSettings(
                api_key="telnyx-api-key",
                public_keys=(TELNYX_PUBLIC_KEY,),
                connection_id="1494404757140276705",
                api_base_url=telnyx_url,
            ),
        ),
        **others,
    )


def token(
    leg: CarrierLeg = LEG, *, step: int = 0, route: str = "route 1", offer: str | None = None
) -> LegToken:
    """A token of ``leg``, written now."""
    return LegToken(leg=leg, route=route, step=step, issued_at=NOW_S, offer=offer)
