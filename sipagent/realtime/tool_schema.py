"""A function's signature and docstring as the JSON schema that a model reads.

Docstrings may describe parameters in the styles of Google, NumPy or Sphinx.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pydantic
from pydantic.fields import FieldInfo

from sipagent.errors import ModelBehaviorError, UserError

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
"""Names that the API takes for a function."""
_PREFIX = "argument_"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSchema:
    """How a function is shown to a model, and how the model's arguments become a call of it."""

    name: str
    description: str
    params_json_schema: dict[str, Any]
    takes_context: bool
    """The first parameter is the context; the model does not see it."""
    arguments_type: type[pydantic.BaseModel]
    signature: inspect.Signature

    def bind(self, arguments_json: str) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments, checked and converted; the context is not among them.

        Raises `ModelBehaviorError` for text that is no JSON object or does not fit the schema.
        """
        try:
            values = self.arguments_type.model_validate_json(arguments_json or "{}")
        except pydantic.ValidationError as error:
            raise ModelBehaviorError(_what_does_not_fit(self.name, error)) from error
        positional: list[Any] = []
        named: dict[str, Any] = {}
        parameters = list(self.signature.parameters.values())[1 if self.takes_context else 0 :]
        for parameter in parameters:
            value = getattr(values, _field_name(parameter.name))
            match parameter.kind:
                case inspect.Parameter.VAR_POSITIONAL:
                    positional.extend(value)
                case inspect.Parameter.VAR_KEYWORD:
                    named.update(value)
                case inspect.Parameter.KEYWORD_ONLY:
                    named[parameter.name] = value
                case _:
                    positional.append(value)
        return positional, named


def function_schema(
    function: Callable[..., Any],
    *,
    name: str | None,
    description: str | None,
    use_docstring_info: bool,
    strict: bool,
    context_types: tuple[type, ...],
) -> FunctionSchema:
    """Describe ``function``. ``strict`` forbids arguments that the signature does not name.

    Raises `UserError` for a name the API refuses, and for parameters no schema can be made of.
    """
    tool_name = str(name or getattr(function, "__name__", type(function).__name__))
    if not TOOL_NAME.match(tool_name):
        raise UserError(
            f"{tool_name!r} cannot be the name of a tool: letters, digits, _ and - only, 64 at most"
        )
    documentation = (
        parse_docstring(inspect.getdoc(function) or "") if use_docstring_info else Docstring("", {})
    )
    signature = inspect.signature(function)
    hints = _hints(function)
    parameters = list(signature.parameters.values())
    takes_context = bool(parameters) and _is_context(hints.get(parameters[0].name), context_types)
    fields: dict[str, Any] = {}
    for parameter in parameters[1 if takes_context else 0 :]:
        hint = hints.get(parameter.name, Any)
        if _is_context(hint, context_types):
            raise UserError(f"tool {tool_name!r}: the context must be the first parameter")
        fields[_field_name(parameter.name)] = _field(
            parameter, hint, documentation.parameters.get(parameter.name)
        )
    try:
        arguments_type: type[pydantic.BaseModel] = pydantic.create_model(
            f"{tool_name}_arguments",
            __config__=pydantic.ConfigDict(
                extra="forbid" if strict else "ignore", alias_generator=_parameter_name
            ),
            **fields,
        )
        schema = arguments_type.model_json_schema(by_alias=True)
    except pydantic.errors.PydanticUserError as error:
        raise UserError(f"tool {tool_name!r}: a parameter has a type no JSON schema can describe") from error
    schema.pop("title", None)
    schema.setdefault("properties", {})
    for each in schema["properties"].values():
        each.pop("title", None)
    return FunctionSchema(
        name=tool_name,
        description=description if description is not None else documentation.summary,
        params_json_schema=schema,
        takes_context=takes_context,
        arguments_type=arguments_type,
        signature=signature,
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        # A name that only type checkers import: what can be known without it is in the annotations.
        return dict(getattr(target, "__annotations__", {}))


def _is_context(hint: Any, context_types: tuple[type, ...]) -> bool:
    if isinstance(hint, str):
        return hint.split("[")[0].rsplit(".", 1)[-1] in {each.__name__ for each in context_types}
    origin = get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        return any(_is_context(each, context_types) for each in get_args(hint))
    return isinstance(origin, type) and issubclass(origin, context_types)


def _field_name(parameter: str) -> str:
    # Pydantic keeps names with a leading underscore, and those of its own methods, for itself.
    return f"{_PREFIX}{parameter}"


def _parameter_name(field: str) -> str:
    return field.removeprefix(_PREFIX)


def _field(parameter: inspect.Parameter, hint: Any, description: str | None) -> tuple[Any, Any]:
    default: Any = ... if parameter.default is inspect.Parameter.empty else parameter.default
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL:
            hint, default = list[hint], pydantic.Field(default_factory=list)
        case inspect.Parameter.VAR_KEYWORD:
            hint, default = dict[str, hint], pydantic.Field(default_factory=dict)
        case _:
            pass
    # What an annotation says of itself wins over the docstring: Annotated[str, "the day"] or Field(…).
    metadata = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    said = [each for each in metadata if isinstance(each, str)]
    said += [each.description for each in metadata if isinstance(each, FieldInfo) and each.description]
    if isinstance(default, FieldInfo) and default.description:
        said.append(default.description)
    if words := (said[0] if said else description):
        hint = Annotated[hint, pydantic.Field(description=words)]
    return hint, default


def _what_does_not_fit(tool_name: str, error: pydantic.ValidationError) -> str:
    # Places and reasons, without the values: those are what a caller said.
    problems = "; ".join(
        f"{'.'.join(str(part) for part in each['loc']) or 'arguments'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False, include_context=False)[:5]
    )
    return f"The arguments for tool '{tool_name}' do not fit: {problems}. Please correct them and try again."


# Docstrings -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Docstring:
    """What a docstring says to a model: the text before any section, and its parameters."""

    summary: str
    parameters: Mapping[str, str]


_SECTION = re.compile(
    r"^(args|arguments|parameters|params|returns?|yields?|raises|examples?|notes?|attributes|warnings?)\s*:?\s*$",
    re.IGNORECASE,
)
_PARAMETER_SECTIONS = frozenset({"args", "arguments", "parameters", "params"})
_SPHINX = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_SPHINX_OTHER = re.compile(r"^:\w+[^:]*:")
_GOOGLE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY = re.compile(r"^\*{0,2}(\w+)\s*(?::.*)?$")


def parse_docstring(text: str) -> Docstring:
    """Split a docstring, already dedented, into its description and its parameters."""
    summary: list[str] = []
    parameters: dict[str, list[str]] = {}
    section: str | None = None
    underlined = False
    current: str | None = None
    lines = text.splitlines()
    for index, line in enumerate(lines):
        stripped = line.strip()
        if sphinx := _SPHINX.match(stripped):
            section, current = ":", sphinx[1]
            parameters[current] = [sphinx[2]]
            continue
        if _SPHINX_OTHER.match(stripped):
            section, current = ":", None
            continue
        if stripped and set(stripped) == {"-"} and section is not None:
            underlined = True
            continue
        following = lines[index + 1].strip() if index + 1 < len(lines) else ""
        is_heading = line == stripped and _SECTION.match(stripped) is not None
        if is_heading and (stripped.endswith(":") or (following and set(following) == {"-"})):
            section, current, underlined = stripped.rstrip(": ").lower(), None, False
            continue
        if section is None:
            summary.append(line)
        elif section == ":" and current is not None:
            parameters[current].append(stripped)
        elif section in _PARAMETER_SECTIONS:
            current = _read_parameter(line, stripped, underlined, parameters, current)
    return Docstring(
        "\n".join(summary).strip(),
        {name: " ".join(part for part in parts if part) for name, parts in parameters.items()},
    )


def _read_parameter(
    line: str, stripped: str, underlined: bool, parameters: dict[str, list[str]], current: str | None
) -> str | None:
    """One line of a section on parameters; gives the parameter that the next line may go on with."""
    if not stripped:
        return current
    if underlined:
        if line == stripped and (found := _NUMPY.match(stripped)):
            parameters[found[1]] = []
            return found[1]
    else:
        indent = len(line) - len(line.lstrip())
        if indent <= 4 and (found := _GOOGLE.match(stripped)):
            parameters[found[1]] = [found[2]]
            return found[1]
    if current is not None:
        parameters[current].append(stripped)
    return current
