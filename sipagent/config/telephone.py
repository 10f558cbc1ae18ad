"""Telephone numbers and addresses as operators write them, and what they probably meant.

What is a possible number is asked of `phonenumbers`, the field's library. Whether one is in service is not
asked: numbers that are made up for examples must pass.
"""

from __future__ import annotations

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from sipagent.config.values import BadValueError, closest
from sipagent.identifiers import E164

ANONYMOUS = "anonymous"
"""Written where a caller who hides the number is meant."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}\*|\*")
_EXTENSION = re.compile(r"[0-9]{1,6}")
_SEPARATORS = re.compile(r"[\s().\-/\u2010-\u2015\xa0]")
_SIP_URI = re.compile(
    r"sips?:(?:[^\s@<>\"]+@)?(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:;[^\s<>\"?]+)*"
)
_SHORT_OR_LONG = {
    ValidationResult.TOO_SHORT: "has too few digits",
    ValidationResult.TOO_LONG: "has too many digits",
    ValidationResult.INVALID_LENGTH: "has a number of digits that no number there has",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
}
_COUNTRIES = {
    "uk": "GB", "united kingdom": "GB", "england": "GB", "great britain": "GB", "usa": "US",
    "united states": "US", "germany": "DE", "deutschland": "DE", "ger": "DE", "deu": "DE", "austria": "AT",
    "switzerland": "CH", "france": "FR", "spain": "ES", "italy": "IT", "netherlands": "NL", "holland": "NL",
    "poland": "PL", "portugal": "PT", "ireland": "IE", "norway": "NO", "sweden": "SE", "denmark": "DK",
    "finland": "FI", "belgium": "BE", "canada": "CA", "australia": "AU", "new zealand": "NZ", "india": "IN",
    "japan": "JP", "china": "CN", "brazil": "BR", "mexico": "MX",
}  # fmt: skip
_EXAMPLE = 'Write a plus, the country code and the number, in quotes: "+15550100000".'


def parse_e164(value: object, country: str | None = None) -> E164:
    """A telephone number in international form (ITU-T E.164): plus, country code, at most 15 digits.

    ``country`` is where national numbers are read, to say what was probably meant by one. Raises
    :class:`BadValueError`.
    """
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is not text.", 'Put the number in quotes: "+15550100000".')
    if _E164.fullmatch(value):
        _check_length(value)
        return E164(value)
    meant = _meant(value, country)
    if meant is not None:
        plain = _SEPARATORS.sub("", value)
        seen = "holds more than a plus and digits" if plain == meant else "is not in international form"
        raise BadValueError(f"{value!r} {seen}.", f'Write "{meant}".')
    raise BadValueError(f"{value!r} is no telephone number in international form.", _EXAMPLE)


def parse_number_pattern(value: object, country: str | None = None) -> str:
    """A number, the beginning of numbers with an asterisk, an extension of up to six digits, or
    ``anonymous``; raises :class:`BadValueError`."""
    if isinstance(value, str):
        if value == ANONYMOUS or _PREFIX.fullmatch(value) or _EXTENSION.fullmatch(value):
            return value
        if value.lower() == ANONYMOUS:
            raise BadValueError(f"{value!r} is written in lower case.", f"Write {ANONYMOUS}.")
        if "*" in value:
            plain = _SEPARATORS.sub("", value)
            if _PREFIX.fullmatch(plain):
                raise BadValueError(f"{value!r} holds more than a plus and digits.", f'Write "{plain}".')
            raise BadValueError(
                f"{value!r} is no beginning of telephone numbers.",
                'Write a plus, the first digits, and one asterisk at the end: "+1555010*".',
            )
        if close := closest(value.lower(), (ANONYMOUS,)):
            raise BadValueError(f"{value!r} is no telephone number.", f"Did you mean `{close}`?")
    return parse_e164(value, country)


def parse_transfer_uri(value: object, country: str | None = None) -> str:
    """``tel:+15550100001`` or a ``sip:``/``sips:`` URI, as a REFER carries it (RFC 3515, RFC 3966).

    Raises :class:`BadValueError`.
    """
    remedy = 'Write "tel:+15550100001" or "sip:desk@pbx.example.com".'
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is not text.", remedy)
    if value.startswith("tel:"):
        number = value.removeprefix("tel:")
        try:
            return f"tel:{parse_e164(number, country)}"
        except BadValueError as error:
            meant = _meant(number, country)
            if meant is not None and meant != number:
                raise BadValueError(
                    f"{value!r} is not in international form.", f'Write "tel:{meant}".'
                ) from error
            if _E164.fullmatch(number):
                raise
            raise BadValueError(f"{value!r} is no number to transfer to.", remedy) from error
    if _SIP_URI.fullmatch(value):
        return value
    if (meant := _meant(value, country)) is not None:
        raise BadValueError(f"{value!r} is a number without `tel:`.", f'Write "tel:{meant}".')
    raise BadValueError(f"{value!r} is no address to transfer to.", remedy)


def parse_callable(value: object, country: str | None = None) -> str:
    """Whom a carrier may call: a number in international form, or a ``sip:`` address.

    Raises :class:`BadValueError`.
    """
    if isinstance(value, str):
        if value.startswith("tel:"):
            raise BadValueError(
                f"{value!r} is more than a number.", f'Write "{parse_transfer_uri(value, country)[4:]}".'
            )
        if value.lower().startswith(("sip:", "sips:")):
            return parse_transfer_uri(value, country)
    return parse_e164(value, country)


def parse_country(value: object) -> str:
    """Two letters (ISO 3166-1) of a country with telephone numbers. Raises :class:`BadValueError`."""
    known = phonenumbers.SUPPORTED_REGIONS
    if isinstance(value, str) and value in known:
        return value
    if isinstance(value, str) and value.upper() in known:
        raise BadValueError(f"{value!r} is not in capitals.", f'Write "{value.upper()}".')
    if meant := _COUNTRIES.get(str(value).lower()):
        raise BadValueError(f"{value!r} is not the code of a country.", f'Write "{meant}".')
    raise BadValueError(
        f"{value!r} is no country.",
        'Write the two letters of ISO 3166 in quotes, such as "DE", "GB" or "US".',
    )


def _check_length(number: str) -> None:
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException as error:
        raise BadValueError(
            f"'{number}' begins with a country code that does not exist.",
            "Compare the digits after the plus.",
        ) from error
    said = _SHORT_OR_LONG.get(phonenumbers.is_possible_number_with_reason(parsed))
    if said is not None:
        raise BadValueError(
            f"'{number}' {said} for the country code +{parsed.country_code}.",
            "Compare it with the number you dial.",
        )


def _meant(value: str, country: str | None) -> str | None:
    """The number in international form that was probably meant, if there is one."""
    plain = _SEPARATORS.sub("", value)
    if plain.startswith("00") and _E164.fullmatch(f"+{plain[2:]}"):
        plain = f"+{plain[2:]}"
    try:
        parsed = phonenumbers.parse(value if country else plain, country)
    except NumberParseException:
        # The country code without its plus is what is forgotten most.
        try:
            parsed = phonenumbers.parse(f"+{plain}", None)
        except NumberParseException:
            return None
        if len(plain) < 11 or not plain.isascii() or not plain.isdigit() or plain.startswith("0"):
            return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
