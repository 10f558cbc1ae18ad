"""Whether key, project and signing secrets look like what they should be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sipagent.config import AccountSeen, webhook_secret_mistake
from sipagent.doctor.finding import Area, Finding, fail, ok, warn
from sipagent.doctor.pages import API_KEYS, PROJECT, WEBHOOKS

_PROJECT = re.compile(r"proj_[A-Za-z0-9]+")
_QUOTES = "\"'“”‘’"


def examine_account(account: AccountSeen, *, is_openai: bool) -> tuple[Finding, ...]:
    """``is_openai`` says whether the API is OpenAI's own, whose keys have a known shape."""
    return (_key(account.api_key, is_openai=is_openai), _project(account.project), *_secrets(account))


def _key(key: str, *, is_openai: bool) -> Finding:
    name = "OPENAI_API_KEY"
    if not key:
        remedy = "Create a key in the project whose number rings, and set the variable."
        return fail(Area.ACCOUNT, f"{name} is not set.", remedy, API_KEYS)
    if key.startswith("whsec_"):
        said = f"{name} holds the signing secret of a webhook."
        return fail(Area.ACCOUNT, said, "Set it to a key.", API_KEYS)
    if key.startswith("sk-admin-"):
        remedy = "Create a key of the project itself: an admin key manages the account, and answers no calls."
        return fail(Area.ACCOUNT, f"{name} holds an admin key.", remedy, API_KEYS)
    if damage := _damage(key):
        return fail(Area.ACCOUNT, f"{name} {damage}.", "Copy the key again, whole and bare.", API_KEYS)
    if is_openai and not key.startswith("sk-"):
        return warn(Area.ACCOUNT, f"{name} does not begin with sk-, as keys do.", "Compare it.", API_KEYS)
    return ok(Area.ACCOUNT, f"{name} is set.")


def _damage(value: str) -> str:
    if value[0] in _QUOTES or value[-1] in _QUOTES:
        return "is in quotes, which are taken for a part of it"
    if "…" in value or "..." in value or set(value) & {"<", ">"}:
        return "is not whole"
    if not value.isascii() or not value.isprintable() or " " in value:
        return "holds characters that neither keys nor secrets have"
    return ""


def _project(project: str) -> Finding:
    remedy = "Set OPENAI_PROJECT_ID, or give --project, to let it be compared with the key."
    if not project:
        said = "The project id (proj_…) is not known; the trunk needs it."
        return warn(Area.ACCOUNT, said, remedy, PROJECT)
    if project.startswith("org-"):
        said = "OPENAI_PROJECT_ID holds the id of an organization (org-…)."
        return fail(Area.ACCOUNT, said, "Take the project's own: proj_….", PROJECT)
    if not _PROJECT.fullmatch(project):
        said = f"{project[:60]!r} is no project id."
        return fail(Area.ACCOUNT, said, "It looks like proj_AbC123.", PROJECT)
    return ok(Area.ACCOUNT, f"The project is {project}.")


def _secrets(account: AccountSeen) -> Iterator[Finding]:
    known = dict(account.webhook_secrets)
    if "OPENAI_WEBHOOK_SECRET" not in known:
        remedy = "Create a webhook for realtime.call.incoming, and set this to the secret that is shown once."
        yield fail(Area.ACCOUNT, "OPENAI_WEBHOOK_SECRET is not set.", remedy, WEBHOOKS)
    for name, secret in known.items():
        yield _secret(name, secret)
    if len(known) == 2 and len(set(known.values())) == 1:
        said = "OPENAI_WEBHOOK_SECRET_PREVIOUS is the same secret as the present one."
        yield warn(Area.ACCOUNT, said, "Empty it; it is for the one before, while that is rotated out.")


def _secret(name: str, secret: str) -> Finding:
    again = "Copy the signing secret again, or rotate it if it is lost."
    if secret.startswith("sk-"):
        said = f"{name} holds an API key, not the signing secret of a webhook."
        return fail(Area.ACCOUNT, said, "Set it to the whsec_… secret.", WEBHOOKS)
    if damage := _damage(secret):
        return fail(Area.ACCOUNT, f"{name} {damage}.", again, WEBHOOKS)
    if (mistake := webhook_secret_mistake(secret)) is not None:
        return fail(Area.ACCOUNT, f"{name} is damaged: {mistake}.", again, WEBHOOKS)
    if not secret.startswith("whsec_"):
        said = f"{name} does not begin with whsec_, as OpenAI's secrets do; it is used as it stands."
        return warn(Area.ACCOUNT, said, "Compare it with what was shown.", WEBHOOKS)
    return ok(Area.ACCOUNT, f"{name} is set and whole.")
