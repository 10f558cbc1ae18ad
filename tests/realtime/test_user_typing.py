"""Programs of users pass ``mypy --strict`` with nothing but the installed package, and wrong ones do not.

The checker runs as a user runs it: elsewhere, without our configuration, and with an interpreter of its own
that finds the package among its installed ones. So the marker ``py.typed`` counts too.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

import sipagent
from sipagent.realtime import RealtimeModelEvent, RealtimeModelSendEvent, RealtimeSessionEvent
from tests.realtime.sdk_example import own_program
from tests.realtime.test_library_guide import programs
from tests.realtime.test_sdk_example import EXAMPLE, with_our_imports

UNIONS = {
    "RealtimeSessionEvent": RealtimeSessionEvent,
    "RealtimeModelEvent": RealtimeModelEvent,
    "RealtimeModelSendEvent": RealtimeModelSendEvent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """A user's folder, and the interpreter beside it."""

    folder: Path
    interpreter: Path

    def check(self, *programs: str) -> tuple[int, str]:
        """Exit status and report of a strict check."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"),
                *("--show-error-codes", "--cache-dir", str(self.folder / "cache")),
                *("--python-executable", str(self.interpreter)),
                *programs,
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A virtual environment in which the package under test and what it needs are installed."""
    folder = tmp_path_factory.mktemp("user")
    environment = tmp_path_factory.mktemp("installed")
    venv.create(environment, with_pip=False, symlinks=True)
    places = {"base": str(environment), "platbase": str(environment)}
    installed = Path(sysconfig.get_path("purelib", "venv", vars=places))
    needed = dict.fromkeys([str(Path(sipagent.__file__).parents[1]), sysconfig.get_path("purelib")])
    (installed / "here.pth").write_text("\n".join(needed), encoding="utf-8")
    return Workplace(
        folder=folder,
        interpreter=Path(sysconfig.get_path("scripts", "venv", vars=places)) / "python",
    )


def exhaustive(name: str, members: Iterable[type]) -> str:
    """A program that deals with ``members`` of a union, and says that these are all."""
    cases = "".join(f"        case realtime.{each.__name__}():\n            return 1\n" for each in members)
    return (
        "from typing import assert_never\n\n"
        "from sipagent import realtime\n\n\n"
        f"def handle(thing: realtime.{name}) -> int:\n"
        f"    match thing:\n{cases}"
        "        case _:\n            assert_never(thing)\n"
    )


def test_the_package_says_that_it_is_typed() -> None:
    assert files("sipagent").joinpath("py.typed").is_file()


@pytest.mark.timeout(360)
def test_programs_of_users_are_clean(workplace: Workplace) -> None:
    program = with_our_imports(EXAMPLE.read_text(encoding="utf-8")).replace("# mypy: ignore-errors\n", "")
    (workplace.folder / "front_desk.py").write_text(program, encoding="utf-8")
    own = Path(own_program.__file__).read_text(encoding="utf-8")
    (workplace.folder / "own_program.py").write_text(own, encoding="utf-8")
    guide = "\n\n".join(programs())
    (workplace.folder / "guide.py").write_text(guide, encoding="utf-8")
    for name, union in UNIONS.items():
        whole = exhaustive(name, get_args(union))
        (workplace.folder / f"all_of_{name.lower()}.py").write_text(whole, encoding="utf-8")
    status, report = workplace.check(".")
    assert (status, report) == (0, "")


WRONG = """\
from sipagent.realtime import (
    RealtimeAgent,
    RealtimeModelConfig,
    RealtimeRunConfig,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    function_tool,
    realtime_handoff,
)


async def talk(session: RealtimeSession, event: RealtimeSessionEvent) -> None:
    await session.say(1)  # arg-type
    await session.send_message({"type": "message", "content": []})  # arg-type
    print(event.duration_ms)  # union-attr
    if isinstance(event, RealtimeToolEnd):
        print(event.duration_ms.upper())  # attr-defined
    async for each in session:
        print(each.typ)  # union-attr
    session.close()  # unused-coroutine


agent: RealtimeAgent[None] = RealtimeAgent(name=1)  # arg-type
config: RealtimeModelConfig = {"api_kee": "sk"}  # typeddict-unknown-key
run_config: RealtimeRunConfig = {"model_settings": {"speed": "fast"}}  # typeddict-item
tool = function_tool(timeout="soon")  # call-overload
handoff = realtime_handoff(agent, description="no such thing")  # call-arg
"""


def test_mistakes_of_users_are_found(workplace: Workplace) -> None:
    (workplace.folder / "wrong.py").write_text(WRONG, encoding="utf-8")
    status, report = workplace.check("wrong.py")
    assert status == 1
    for number, line in enumerate(WRONG.splitlines(), start=1):
        if "  # " in line:
            code = line.rsplit("  # ", 1)[1]
            reported = [each for each in report.splitlines() if each.startswith(f"wrong.py:{number}:")]
            assert any(f"[{code}]" in each for each in reported), (line, report)


@pytest.mark.parametrize("name", UNIONS)
def test_a_case_that_is_left_out_is_found(workplace: Workplace, name: str) -> None:
    members = get_args(UNIONS[name])
    (workplace.folder / "forgetful.py").write_text(exhaustive(name, members[1:]), encoding="utf-8")
    status, report = workplace.check("forgetful.py")
    assert status == 1
    assert f'"{members[0].__name__}"; expected "Never"' in report
