"""The numbers of a call: who calls, and which number was dialled. Pure.

Both stand in SIP headers, and where depends on the carrier: behind a trunk, ``To`` often holds the project at
OpenAI, and the dialled number stands in ``Diversion``. All of it is untrusted: numbers choose a route, and
never open a door. Sources: RFC 3261 sections 20.10 and 25.1, RFC 3966, RFC 3325, RFC 5806.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import phonenumbers

ANONYMOUS = "anonymous"
"""What a pattern calls a caller whose number is withheld."""
_LONGEST = 100
_LONGEST_EXTENSION = 6

_ADDRESS = re.compile(r"\s*(sips?|tel):([^>]*)", re.IGNORECASE)
_NUMBER = re.compile(r"\+?[0-9][0-9().\- ]{2,30}")
_SEPARATORS = re.compile(r"[().\- ]")
_E164 = re.compile(r"\+[1-9][0-9]{3,14}")
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_WITHHELD = frozenset({"anonymous", "unavailable", "restricted", "private", "unknown", "withheld"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRules:
    """Where numbers stand, and how they are read."""

    dialled_headers: tuple[str, ...] = ("Diversion", "P-Called-Party-ID", "To")
    """Names of headers, best first; the first that holds a number counts."""
    caller_headers: tuple[str, ...] = ("P-Asserted-Identity", "From")
    default_country: str | None = None
    """ISO 3166 letters of the country whose national numbers are meant where a number has no country code."""


PRESETS: Mapping[str, NumberRules] = {
    # Elastic SIP Trunking: To holds the project, the dialled number stands in Diversion.
    "twilio": NumberRules(dialled_headers=("Diversion", "X-Twilio-To", "To"), caller_headers=("From",)),
    "telnyx": NumberRules(
        dialled_headers=("P-Called-Party-ID", "X-Telnyx-To", "Diversion", "To"),
        caller_headers=("P-Asserted-Identity", "From"),
    ),
    "asterisk": NumberRules(
        dialled_headers=("X-Dialled", "P-Called-Party-ID", "Diversion", "To"),
        caller_headers=("P-Asserted-Identity", "Remote-Party-ID", "From"),
    ),
}
"""What is known of the carriers. Verify it with a call of your own: `sipagent calls show` prints the headers'
numbers."""


def read_numbers(headers: Iterable[tuple[str, str]], rules: NumberRules) -> tuple[str | None, str | None]:
    """The caller and the dialled number: each E.164 (``+15550100123``) where it is a number, else the user
    part of its address in at most 100 printable characters, or None when it is withheld or missing.

    Never raises, whatever the headers hold.
    """
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name.strip().lower(), []).append(value)
    withheld = any(
        word.strip().lower() in ("id", "user", "full")
        for value in by_name.get("privacy", ())
        for word in value.split(";")
    )
    caller = None if withheld else _first_number(by_name, rules.caller_headers, rules.default_country)
    return caller, _first_number(by_name, rules.dialled_headers, rules.default_country)


def _first_number(by_name: Mapping[str, list[str]], names: Iterable[str], country: str | None) -> str | None:
    for name in names:
        for value in by_name.get(name.lower(), ()):
            user = _user_of(value)
            if user is None or user.lower().startswith("proj_"):
                continue
            if user.lower() in _WITHHELD:
                return None
            return as_number(user, country)
    return None


def _user_of(value: str) -> str | None:
    """The user part of the address in a header, or the number of a ``tel:`` URI."""
    address = _inside_brackets(value)
    found = _ADDRESS.match(address)
    if found is None:
        # A trunk that writes the bare number into a header of its own.
        bare = address.strip()
        return bare if _NUMBER.fullmatch(bare) else None
    scheme, rest = found[1].lower(), found[2]
    if scheme == "tel":
        number, _, parameters = rest.partition(";")
        context = re.search(r"phone-context=(\+[0-9().\-]+)", parameters, re.IGNORECASE)
        if context is not None and not number.startswith("+"):
            code = _SEPARATORS.sub("", context[1])[1:4]
            number = as_number(unquote(number), phonenumbers.region_code_for_country_code(int(code)))
    else:
        user, at, _ = rest.partition("@")
        if not at:
            return None
        # Parameters of the number (;npdi, ;isub) and a password are no part of it.
        number = user.partition(";")[0].partition(":")[0]
    return unquote(number).strip() or None


def _inside_brackets(value: str) -> str:
    """What stands in ``<>``; display names and tags may look like numbers. Quotes hide brackets."""
    position, quoted = 0, False
    while position < len(value):
        character = value[position]
        if character == "\\" and quoted:
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == "<" and not quoted:
            return value[position + 1 :].partition(">")[0]
        position += 1
    # Without brackets, parameters belong to the header (RFC 3261 section 20.10).
    return value.partition(";")[0] if not value.lstrip().lower().startswith("tel:") else value


def as_number(user: str, country: str | None = None) -> str:
    """``user`` as E.164 where it is a number: ``+15550100123`` as it is, a national number of ``country``
    with its code; anything else in at most 100 printable ASCII characters."""
    plain = _SEPARATORS.sub("", user) if _NUMBER.fullmatch(user) else user
    if plain.startswith("00") and plain.isdigit() and _E164.fullmatch("+" + plain[2:]):
        plain = "+" + plain[2:]
    if _E164.fullmatch(plain):
        return plain
    # An extension of the house is shorter than any number that is meant by people elsewhere.
    if country is not None and plain.isdigit() and plain.isascii() and len(plain) > _LONGEST_EXTENSION:
        try:
            number = phonenumbers.parse(plain, country)
        except phonenumbers.NumberParseException:
            return plain[:_LONGEST]
        if phonenumbers.is_possible_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return _UNSAFE.sub("", plain)[:_LONGEST]


@dataclass(frozen=True, slots=True)
class NumberPattern:
    """``+15550100123`` or an extension as it stands, ``+1555*`` for a beginning, ``*`` for any number that is
    known, ``anonymous`` for one that is withheld."""

    text: str

    @property
    def exact(self) -> str | None:
        """The only number that it matches; None when there are several, or it is a withheld one."""
        return None if self.text.endswith("*") or self.text == ANONYMOUS else self.text

    def matches(self, number: str | None) -> bool:
        """Whether ``number`` is meant."""
        if number is None:
            return self.text == ANONYMOUS
        if self.text.endswith("*"):
            return number.startswith(self.text[:-1])
        return number == self.text
