"""Whether this machine has what the package asks for: Python and its libraries."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from sipagent.doctor.finding import Area, Finding, fail, hint, ok

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(.*)")
_CLAUSE = re.compile(r"(<=|>=|==|!=|<|>|~=)\s*([0-9][0-9a-zA-Z.*]*)")
_PACKAGE = "sipagent"
_OF_USE = {
    "uvloop": "a faster event loop",
    "picows": "a faster socket for many calls in one process",
    "mcp": "tools of local MCP servers",
}


def examine_machine() -> tuple[Finding, ...]:
    """Python, the packages that are needed, and those that would be of use."""
    return (_python(), *_packages(), *_extras())


def _python() -> Finding:
    running, wanted = platform.python_version(), metadata(_PACKAGE)["Requires-Python"] or ""
    if satisfies(running, wanted):
        return ok(Area.MACHINE, f"Python {running}, sipagent {version(_PACKAGE)}.")
    return fail(
        Area.MACHINE,
        f"Python {running} is none of those that sipagent runs on ({wanted}).",
        "Install one of them, and sipagent into it.",
    )


def _packages() -> tuple[Finding, ...]:
    """One line when all is well, else one for each package that is missing or of a wrong version."""
    wrong, right = [], []
    for requirement in requires(_PACKAGE) or ():
        parsed = parse_requirement(requirement)
        if parsed is None:
            continue
        name, wanted = parsed
        have = _version(name)
        if have is not None and satisfies(have, wanted):
            right.append(f"{name} {have}")
            continue
        said = f"{name} is not installed." if have is None else f"{name} is {have}; needed is {wanted}."
        wrong.append(fail(Area.MACHINE, said, f"pip install '{name}{wanted}'"))
    return tuple(wrong) or (ok(Area.MACHINE, f"Packages: {', '.join(sorted(right))}."),)


def _extras() -> tuple[Finding, ...]:
    missing = [f"{name} ({use})" for name, use in _OF_USE.items() if _version(name) is None]
    return (hint(Area.MACHINE, f"Not installed, and not needed: {', '.join(missing)}."),) if missing else ()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def parse_requirement(text: str) -> tuple[str, str] | None:
    """Name and version clauses of a line as packages list what they need (PEP 508); None for one that is not
    needed here: of an extra, or of another Python."""
    line, _, marker = text.partition(";")
    if "extra" in marker or not _applies(marker):
        return None
    match = _NAME.fullmatch(line.strip())
    assert match is not None, f"our own metadata names a package: {text!r}"
    return match[1], match[2].strip()


def _applies(marker: str) -> bool:
    """Whether the one kind of marker that we write, on the version of Python, holds."""
    match = re.search(r"python_version\s*(\S+)\s*['\"]([0-9.]+)['\"]", marker)
    return match is None or satisfies(platform.python_version(), f"{match[1]}{match[2]}")


def satisfies(have: str, wanted: str) -> bool:
    """Whether version ``have`` lies within ``wanted``, clauses of bounds with commas between them (PEP 440).

    Only numbers are compared: a pre-release counts as what it precedes.
    """
    clauses = _CLAUSE.findall(wanted)
    return all(_holds(_numbers(have), operator, _numbers(bound)) for operator, bound in clauses)


def _holds(have: tuple[int, ...], operator: str, bound: tuple[int, ...]) -> bool:
    width = max(len(have), len(bound))
    one, other = have + (0,) * (width - len(have)), bound + (0,) * (width - len(bound))
    match operator:
        case "<":
            return one < other
        case "<=":
            return one <= other
        case ">":
            return one > other
        case ">=":
            return one >= other
        case "~=":
            return one >= other and have[: len(bound) - 1] == bound[:-1]
        case "!=":
            return one != other
        case _:
            return one == other


def _numbers(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        numbers.append(int(digits[0]))
        if digits[0] != part:
            break
    return tuple(numbers)
