"""The numbers of a call: who calls, and which number was dialled. Pure.

Both stand in SIP headers, and where depends on the carrier: behind a trunk, ``To`` often holds the project at
OpenAI, and the dialled number stands in ``Diversion``. All of it is untrusted: numbers choose a route, and
never open a door. Sources: RFC 3261 sections 20.10 and 25.1, RFC 3966, RFC 3325, RFC 5806.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import phonenumbers

ANONYMOUS = "anonymous"
"""What a pattern calls a caller whose number is withheld."""
_LONGEST = 100
_LONGEST_VALUE = 2000
"""Of a header's value, that much is read: an address is far shorter."""
_LONGEST_EXTENSION = 6

_QUOTED_OR_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|$)|<([^<>]*)', re.DOTALL)
_ADDRESS = re.compile(r"\s*(sips?|tel):(.*)", re.IGNORECASE | re.DOTALL)
_CONTEXT = re.compile(r";phone-context=(\+[0-9().\-]{1,30})", re.IGNORECASE)
_NUMBER = re.compile(r"\+?[0-9(][0-9().\- ]{2,30}")
_SEPARATORS = re.compile(r"[().\- ]")
_DIGITS = re.compile(r"\+?[0-9]+")
_E164 = re.compile(r"\+[1-9][0-9]{3,14}")
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_WITHHELD = ("anonymous", "unavailable", "restricted", "private", "unknown", "withheld", "blocked")
_ON_KEYPAD = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
# Some networks spell the word on the keys of a telephone, in place of the number.
_WITHHELD_USERS = frozenset((*_WITHHELD, *(word.translate(_ON_KEYPAD) for word in _WITHHELD)))
_COMPACT = {"f": "from", "t": "to"}
"""RFC 3261 section 20."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRules:
    """Where numbers stand, and how they are read."""

    dialled_headers: tuple[str, ...] = ("Diversion", "P-Called-Party-ID", "To")
    """Names of headers, best first; the first that holds a number counts, and a name such as ``reception``
    only where none does."""
    caller_headers: tuple[str, ...] = ("P-Asserted-Identity", "From")
    default_country: str | None = None
    """ISO 3166 letters of the country whose national numbers are meant where a number has no country code."""

    @property
    def are_usual(self) -> bool:
        """Whether they are those by which every webhook is read as it comes."""
        return self == _USUAL


_USUAL = NumberRules()

PRESETS: Mapping[str, NumberRules] = {
    # Elastic SIP Trunking: To holds the project, the dialled number stands in Diversion.
    "twilio": NumberRules(dialled_headers=("Diversion", "To"), caller_headers=("From",)),
    # Elsewhere, Diversion names who passed the call on, which may be somebody else's number: it comes last.
    "telnyx": NumberRules(dialled_headers=("P-Called-Party-ID", "To", "Diversion")),
    # Set(PJSIP_HEADER(add,X-Dialled)=${EXTEN}) in a handler before Dial: nothing else tells the number there.
    "asterisk": NumberRules(
        dialled_headers=("X-Dialled", "P-Called-Party-ID", "To", "Diversion"),
        caller_headers=("P-Asserted-Identity", "Remote-Party-ID", "From"),
    ),
}
"""What is known of the carriers. Verify it with a call of your own: `sipagent calls show` prints the numbers
that were read."""


def read_numbers(headers: Iterable[tuple[str, str]], rules: NumberRules) -> tuple[str | None, str | None]:
    """The caller and the dialled number: each E.164 (``+15550100123``) where it is a number, else the user
    part of its address in at most 100 printable characters, or None when it is withheld or missing.

    Never raises, whatever the headers hold.
    """
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        name = name.strip().lower()
        by_name.setdefault(_COMPACT.get(name, name), []).append(value[:_LONGEST_VALUE])
    withheld = any(
        word.strip().lower() in ("id", "user", "full")
        for value in by_name.get("privacy", ())
        for word in value.split(";")
    )
    caller = None if withheld else _first_number(by_name, rules.caller_headers, rules, calls=True)
    return caller, _first_number(by_name, rules.dialled_headers, rules, calls=False)


def _first_number(
    by_name: Mapping[str, list[str]], names: Iterable[str], rules: NumberRules, *, calls: bool
) -> str | None:
    """``calls``: the number is the caller's, and one that withholds it is asked for nowhere else."""
    word: str | None = None
    addresses = (
        address for name in names for value in by_name.get(name.lower(), ()) for address in _addresses(value)
    )
    for address in addresses:
        user = _user_of(address, rules.default_country)
        if user is None:
            if calls:
                return word
            continue
        found = as_number(user, rules.default_country)
        if _DIGITS.fullmatch(found):
            return found
        if found and not found.lower().startswith("proj_"):
            word = word or found
    return word


def _addresses(value: str) -> Iterator[str]:
    """What stands in ``<>``: names and tags may look like numbers, and quotes hide brackets. Without any,
    parameters belong to the header (RFC 3261 section 20.10)."""
    found = [match[1] for match in _QUOTED_OR_BRACKETS.finditer(value) if match[1] is not None]
    if found:
        yield from found
    elif value.lstrip()[:4].lower() == "tel:":
        yield value
    else:
        yield from (each.partition(";")[0] for each in value.split(","))


def _user_of(address: str, country: str | None) -> str | None:
    """The user part of ``address``, or the number of a ``tel:`` URI; ``""`` where there is none, None where
    it is withheld."""
    found = _ADDRESS.match(address)
    if found is None:
        # A trunk that writes the bare number into a header of its own.
        bare = address.strip()
        return bare if _NUMBER.fullmatch(bare) or _DIGITS.fullmatch(bare) else ""
    scheme, rest = found[1].lower(), found[2]
    if scheme == "tel":
        number, _, _ = rest.partition(";")
        user, host = unquote(number).strip(), ""
        context = _CONTEXT.search(rest)
        if context is not None and not user.startswith("+") and _NUMBER.fullmatch(user):
            user = _international(f"tel:{user};phone-context={context[1]}", country) or user
    else:
        # What follows ? are headers.
        user, at, host = rest.partition("?")[0].partition("@")
        # Parameters of the number (;npdi, ;isub) and a password are no part of it.
        user = unquote(user.partition(";")[0].partition(":")[0]).strip() if at else ""
    if user.lower().lstrip("+") in _WITHHELD_USERS or host.lower().startswith("anonymous.invalid"):
        return None
    return user


def as_number(user: str, country: str | None = None) -> str:
    """``user`` as E.164 where it is a number: ``+15550100123`` as it is, a national number of ``country``
    with its code; anything else in at most 100 printable ASCII characters."""
    if not _NUMBER.fullmatch(user):
        return _UNSAFE.sub("", user)[:_LONGEST]
    plain = _SEPARATORS.sub("", user)
    if plain.startswith("00") and _E164.fullmatch("+" + plain[2:]):
        plain, user = "+" + plain[2:], "+" + user.lstrip("(0)- .")
    if plain.startswith("+"):
        # Only what may hold the zero of a national number needs to be taken apart.
        national = "(" in user or any(plain[digits] == "0" for digits in range(2, min(5, len(plain))))
        return (_international(user, None) or plain) if national else plain
    # An extension of the house is shorter than any number that is meant by people elsewhere.
    if country is not None and len(plain) > _LONGEST_EXTENSION:
        return _international(plain, country) or plain
    return plain


def _international(number: str, country: str | None) -> str | None:
    """``number`` as E.164, or None where no number can have its digits."""
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return written if _E164.fullmatch(written) else None


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
        """Whether ``number`` is meant; None is one that is withheld."""
        return matches_any((self,), number)


def matches_any(patterns: Iterable[NumberPattern], number: str | None) -> bool:
    """Whether one of ``patterns`` means ``number``."""
    # A loop: every call that comes asks this of every route with patterns.
    for pattern in patterns:
        text = pattern.text
        if text == number if text[-1:] != "*" else number is not None and number.startswith(text[:-1]):
            return True
        if number is None and text == ANONYMOUS:
            return True
    return False
