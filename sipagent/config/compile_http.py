"""Turns the HTTP requests of the file into tools."""

from __future__ import annotations

from sipagent.calls.template import TemplateError
from sipagent.calls.tools.arguments import Arguments
from sipagent.calls.tools.http import LONGEST_TIMEOUT_S, HttpTool, make_http_tool
from sipagent.calls.tools.texts import ToolText
from sipagent.config.schema import HttpTool as HttpToolKeys
from sipagent.config.source import KeyPath
from sipagent.config.tool_texts import ToolTexts
from sipagent.config.values import suggestion
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool

DEFAULT_TIMEOUT_S = 5.0


def compile_http_tool(
    texts: ToolTexts, path: KeyPath, entry: HttpToolKeys
) -> tuple[FunctionTool, bool] | None:
    """The tool at ``path`` and whether it changes something; None after reporting what is wrong with it."""
    compiling = texts.compiling
    before = len(compiling.problems)
    names = frozenset(entry.arguments)
    if entry.timeout_s is not None and entry.timeout_s > LONGEST_TIMEOUT_S:
        compiling.report(
            (*path, "timeout"),
            f"No caller waits {entry.timeout_s:g} s.",
            f"Write at most {LONGEST_TIMEOUT_S:g}s.",
        )
    for index, name in enumerate(entry.required or ()):
        if name not in names:
            message = f"`{name}` is none of `arguments`."
            compiling.report((*path, "required", index), message, suggestion(name, entry.arguments))
    required = entry.required
    if required is None:
        required = [
            name for name, schema in entry.arguments.items() if "default" not in schema.model_fields_set
        ]
    url = texts.tool_text((*path, "url"), entry.url, names)
    headers = texts.sendables((*path, "headers"), entry.headers, names)
    query = texts.sendables((*path, "query"), entry.query, names)
    body = texts.body((*path, "body"), entry.body, names)
    if len(compiling.problems) > before or url is None:
        return None
    try:
        spec = HttpTool(
            name=entry.name,
            description=entry.description,
            url=url,
            arguments=Arguments({name: schema.as_json for name, schema in entry.arguments.items()}, required),
            method=entry.method,
            headers=headers,
            query={
                name: text if isinstance(text, ToolText) else _literal(text) for name, text in query.items()
            },
            body=body,
            result=entry.result,
            timeout_s=DEFAULT_TIMEOUT_S if entry.timeout_s is None else entry.timeout_s,
            retries=entry.retries,
            idempotent=entry.idempotent,
            side_effects=entry.side_effects,
        )
        return make_http_tool(spec), spec.changes_something
    except TemplateError as error:
        compiling.report(path, error.message, error.remedy)
    except UserError as error:
        texts.refused(path, error)
    return None


def _literal(text: str) -> ToolText:
    """``text`` without any names in it, whatever braces it holds."""
    return ToolText(text.replace("{", "\\{"))
