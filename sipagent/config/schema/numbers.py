"""Telephone numbers in the file, read with what the file says about the country."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from sipagent.config.schema.base import Reading, parsed_by, refuse
from sipagent.config.telephone import (
    parse_callable,
    parse_country,
    parse_e164,
    parse_number_pattern,
    parse_transfer_uri,
)
from sipagent.config.values import BadValueError


def _dialled_by(parse: Callable[[object, str | None], Any], **json_schema: Any) -> Any:
    def validate(value: object, info: ValidationInfo) -> Any:
        country = info.context.default_country if isinstance(info.context, Reading) else None
        try:
            return parse(value, country)
        except BadValueError as error:
            raise refuse(error.message, error.remedy) from error

    written: dict[str, Any] = {"type": "string", **json_schema}
    return BeforeValidator(validate, json_schema_input_type=Annotated[Any, WithJsonSchema(written)])


PhoneNumber = Annotated[
    str, _dialled_by(parse_e164, pattern=r"^\+[1-9][0-9]{6,14}$", examples=["+15550100000"])
]
NumberPattern = Annotated[
    str,
    _dialled_by(
        parse_number_pattern,
        pattern=r"^(\+[1-9][0-9]{6,14}|\+[1-9][0-9]{0,14}\*|\*|[0-9]{1,6}|anonymous)$",
        examples=["+15550100000", "+1555010*", "anonymous"],
    ),
]
"""A number, the beginning of numbers with an asterisk, an extension, or ``anonymous``."""
TransferUri = Annotated[
    str,
    _dialled_by(
        parse_transfer_uri,
        pattern=r"^(tel:\+[1-9][0-9]{6,14}|sips?:\S+)$",
        examples=["tel:+15550100001", "sip:desk@pbx.example.com"],
    ),
]
CallableNumber = Annotated[
    str,
    _dialled_by(
        parse_callable,
        pattern=r"^(\+[1-9][0-9]{6,14}|sips?:\S+)$",
        examples=["+15550100199", "sip:desk@pbx.example.com"],
    ),
]
Country = Annotated[str, parsed_by(parse_country, pattern="^[A-Z]{2}$", examples=["DE", "GB", "US"])]
