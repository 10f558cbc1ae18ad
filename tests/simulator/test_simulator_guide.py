"""The guide page *simulator* says what is true: its examples work, its tables are complete."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest

from sipagent.simulator.caller import DuringAgent, Say
from sipagent.simulator.control import ControlApi, NewCall
from sipagent.simulator.faults import FAULT_HEADER, Fault
from sipagent.simulator.placing import CALLER_SAYS_HEADER
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions

PAGE = (resources.files("sipagent.guide") / "simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_its_row(fault: Fault) -> None:
    assert re.search(rf"^\| `{fault.value}\b", PAGE, re.MULTILINE)


def test_no_row_is_about_a_fault_that_does_not_exist() -> None:
    table = PAGE.split("## Make it go wrong")[1].split("## ")[0]
    named = set(re.findall(r"^\| `([a-z0-9_]+)", table, re.MULTILINE))
    assert named == set(Fault)


def test_the_example_script_can_be_played() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    script = parse_script(example, name="guide")
    assert len(script.turns) == 2
    assert len(script.reactions) == 2


def test_the_example_call_can_be_placed() -> None:
    (example,) = re.findall(r"control/calls -d '(.*?)'\n", PAGE, re.DOTALL)
    plan = NewCall.model_validate(json.loads(example)).plan()
    assert plan.steps is not None
    assert plan.steps[1] == Say(text="No, later.", when=DuringAgent(since_start_s=0.5))
    assert plan.hangs_up


def test_every_route_of_the_control_api_is_described() -> None:
    routes = ControlApi(Simulator(SimulatorOptions())).application().router.routes()
    for route in routes:
        if route.method == "HEAD" or route.resource is None:
            continue
        path = "/control" + route.resource.canonical.replace("{call_id}", "ID")
        assert f"`{route.method} {path}`" in PAGE


def test_headers_are_spelt_as_they_are_read() -> None:
    assert f"`{FAULT_HEADER}: " in PAGE
    assert f"`{CALLER_SAYS_HEADER}: " in PAGE
