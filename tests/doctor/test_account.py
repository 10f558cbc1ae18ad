from __future__ import annotations

import pytest

from sipagent.config import AccountSeen, see_account
from sipagent.doctor.account import examine_account
from sipagent.doctor.finding import Finding, Verdict

GOOD = {
    "OPENAI_API_KEY": "sk-proj-0123456789abcdef",
    "OPENAI_WEBHOOK_SECRET": "whsec_c2VjcmV0IG9uZQ==",
    "OPENAI_PROJECT_ID": "proj_AbC123",
}


def examined(is_openai: bool = True, **changes: str) -> dict[str, Finding]:
    """The findings that are not ok, by their first word."""
    findings = examine_account(see_account({**GOOD, **changes}), is_openai=is_openai)
    return {finding.said.split()[0]: finding for finding in findings if finding.verdict is not Verdict.OK}


def test_a_whole_account_has_nothing_to_mend() -> None:
    assert examined() == {}
    assert examined(OPENAI_WEBHOOK_SECRET_PREVIOUS="whsec_c2VjcmV0IHR3bw==") == {}


def test_an_empty_one_lacks_three_things_and_says_where_they_are() -> None:
    findings = examine_account(see_account({}), is_openai=True)
    assert [finding.verdict for finding in findings] == [Verdict.FAIL, Verdict.WARN, Verdict.FAIL]
    assert all("platform.openai.com" in finding.page and finding.remedy for finding in findings)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("whsec_c2VjcmV0", "signing secret of a webhook"),
        ("sk-admin-0123456789", "admin key"),
        ('"sk-proj-0123456789"', "in quotes"),
        ("sk-proj-…", "not whole"),
        ("sk-proj-...", "not whole"),
        ("<your key>", "not whole"),
        ("sk-proj-01 23", "characters"),
        ("sk-proj-01\u200b23", "characters"),
    ],
)
def test_a_key_that_is_none(value: str, said: str) -> None:
    finding = examined(OPENAI_API_KEY=value)["OPENAI_API_KEY"]
    assert finding.verdict is Verdict.FAIL
    assert said in finding.said
    assert value.strip('"') not in f"{finding}"


def test_other_apis_have_keys_of_other_shapes() -> None:
    assert examined(OPENAI_API_KEY="0123abcd")["OPENAI_API_KEY"].verdict is Verdict.WARN
    assert examined(is_openai=False, OPENAI_API_KEY="0123abcd") == {}


@pytest.mark.parametrize(
    ("value", "verdict", "said"),
    [
        ("org-AbC123", Verdict.FAIL, "organization"),
        ("sip:proj_AbC123@sip.api.openai.com", Verdict.FAIL, "no project id"),
        ("", Verdict.WARN, "not known"),
    ],
)
def test_a_project_that_is_none(value: str, verdict: Verdict, said: str) -> None:
    [finding] = examined(OPENAI_PROJECT_ID=value).values()
    assert (finding.verdict, said in finding.said) == (verdict, True)


@pytest.mark.parametrize(
    ("value", "verdict", "said"),
    [
        ("", Verdict.FAIL, "not set"),
        ("sk-proj-0123", Verdict.FAIL, "an API key"),
        ("whsec_%%%", Verdict.FAIL, "no base64"),
        ("whsec_", Verdict.FAIL, "no base64"),
        ("whsec_…", Verdict.FAIL, "not whole"),
        ("'whsec_c2VjcmV0'", Verdict.FAIL, "in quotes"),
        ("a plain word".replace(" ", "-"), Verdict.WARN, "does not begin with whsec_"),
    ],
)
def test_a_signing_secret_that_is_none(value: str, verdict: Verdict, said: str) -> None:
    finding = examined(OPENAI_WEBHOOK_SECRET=value)["OPENAI_WEBHOOK_SECRET"]
    assert finding.verdict is verdict
    assert said in finding.said
    assert len(value) < 9 or value.strip("'") not in f"{finding}"


def test_a_previous_secret_that_is_the_present_one() -> None:
    [finding] = examined(OPENAI_WEBHOOK_SECRET_PREVIOUS=GOOD["OPENAI_WEBHOOK_SECRET"]).values()
    assert finding.verdict is Verdict.WARN


def test_what_is_seen_shows_no_secret() -> None:
    account = see_account({**GOOD, "SIPAGENT_DATABASE_URL": "postgresql://u:hunter2@db/calls"})
    assert isinstance(account, AccountSeen)
    assert account.api_key == GOOD["OPENAI_API_KEY"]
    secrets = (GOOD["OPENAI_API_KEY"], GOOD["OPENAI_WEBHOOK_SECRET"], "hunter2")
    assert not [secret for secret in secrets if secret in repr(account)]
