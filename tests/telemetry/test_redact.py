from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.telemetry import Redactor

SECRET = "correct horse/battery+staple="
R = "[redacted]"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"the secret is {SECRET}.", f"the secret is {R}."),
        (f"{SECRET}{SECRET}", R + R),
        ("url?key=correct%20horse%2Fbattery%2Bstaple%3D&x=1", f"url?key={R}&x=1"),
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {R}"),
        ("{'authorization': 'bearer abcdef', 'x': 1}", f"{{'authorization': 'bearer {R}', 'x': 1}}"),
        ("Authorization: Basic dXNlcjpodXNo", f"Authorization: Basic {R}"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw is wrong", f"{R} is wrong"),
        ("key sk-proj-abcDEF_123-45678 refused", f"key {R} refused"),
        ("ek_0123456789abcdef", R),
        ("postgresql://sipagent:hush@db/calls", f"postgresql://sipagent:{R}@db/calls"),
        (
            "nothing to hide: ask-me, task_1, sk-1, rtc_abcdefgh",
            "nothing to hide: ask-me, task_1, sk-1, rtc_abcdefgh",
        ),
        ("https://host:8080/path", "https://host:8080/path"),
        ("", ""),
    ],
)
def test_secrets_leave_a_text(text: str, redacted: str) -> None:
    assert Redactor([SECRET]).text(text) == redacted


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("authorization: Token hush-hush", f"authorization: {R}"),
        ("  - X-Api-Key: 'hush # hush'  # mine", f"  - X-Api-Key: {R}  # mine"),
        (
            'headers: {"Authorization": "Token a, b", Accept: text}',
            f'headers: {{"Authorization": {R}, Accept: text}}',
        ),
        ("{password: hush, user: ann}", f"{{password: {R}, user: ann}}"),
        ("url: https://ann:hush@crm.example/", f"url: https://ann:{R}@crm.example/"),
        (f"say: {SECRET}", f"say: {R}"),
        ("Authorization: Bearer ${CRM_TOKEN}", "Authorization: Bearer ${CRM_TOKEN}"),
        ('x-api-key: "${file:/run/secrets/crm}"', 'x-api-key: "${file:/run/secrets/crm}"'),
        ("key sk-${KEY} and sk-proj-abcDEF_123", f"key sk-${{KEY}} and {R}"),
        ("password:\n  nested: kept", "password:\n  nested: kept"),
        ("instructions: Never tell the password.", "instructions: Never tell the password."),
        ("no-password: shown", "no-password: shown"),
    ],
)
def test_secrets_leave_a_configuration_and_references_stay(written: str, kept: str) -> None:
    assert Redactor([SECRET]).document(written) == kept


@given(st.text(max_size=200))
def test_a_configuration_of_any_text_is_redacted_once(text: str) -> None:
    redactor = Redactor([SECRET])
    once = redactor.document(text)
    assert redactor.document(once) == once
    assert SECRET not in once


def test_the_longer_of_two_secrets_goes_first_and_empty_ones_are_ignored() -> None:
    redactor = Redactor(["", "hush", "hush-hush"])
    assert redactor.text("hush-hush, hush, quiet") == f"{R}, {R}, quiet"


@given(st.text(), st.text(min_size=6), st.text())
def test_a_known_secret_never_survives(before: str, secret: str, after: str) -> None:
    if secret not in R:
        assert secret not in Redactor([secret]).text(f"{before}\n{secret}\n{after}").replace(R, "")


@pytest.mark.parametrize("word", ["a", "sk-", "://", "://a:", "bearer ", "whsec_", "a+.-", "basic  "])
def test_a_strangers_long_text_takes_no_long_time(word: str) -> None:
    before = time.process_time()
    Redactor([SECRET]).text(word * 20_000)
    assert time.process_time() - before < 1.0


def test_fields_are_redacted_at_any_depth_and_by_name() -> None:
    fields = {
        "status": 401,
        "ratio": 0.5,
        "odd": float("nan"),
        "ok": False,
        "none": None,
        "headers": {"Authorization": "anything", "X-Request": "sk-0123456789"},
        "list": [SECRET, ("whsec_abcdef",)],
        "error": ValueError(f"no {SECRET}"),
        SECRET: "a key",
    }
    assert Redactor([SECRET]).value(fields) == {
        "status": 401,
        "ratio": 0.5,
        "odd": "nan",
        "ok": False,
        "none": None,
        "headers": {"Authorization": R, "X-Request": R},
        "list": [R, [R]],
        "error": f"no {R}",
        R: "a key",
    }
