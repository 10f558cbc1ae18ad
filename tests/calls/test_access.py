from __future__ import annotations

import ast
import inspect

import pytest

from sipagent.calls import access as module
from sipagent.calls.access import LONGEST_TOKEN, Access, AccessToken, Role, Visitor

TOKENS = {"ann": ("token of ann, quite long", Role.READ), "bea": ("token of bea, quite long", Role.ADMIN)}
ACCESS = Access(tokens=tuple(AccessToken.of(name, token, role) for name, (token, role) in TOKENS.items()))


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_says_who_shows_it(name: str) -> None:
    token, role = TOKENS[name]
    assert ACCESS.visitor(token) == Visitor(name=name, role=role)


@pytest.mark.parametrize("shown", ["", "token", "token of ann, quite lonG", "x" * 100_000, "\ud800", "\x00"])
def test_whatever_else_is_shown_lets_nobody_in(shown: str) -> None:
    assert ACCESS.visitor(shown) is None
    assert Access().visitor(shown) is None


def test_a_token_that_is_longer_than_any_is_cut_and_is_none() -> None:
    long = "t" * LONGEST_TOKEN
    access = Access(tokens=(AccessToken.of("long", long, Role.READ),))
    assert access.visitor(long) is not None


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.READ, {Role.READ}),
        (Role.OPERATE, {Role.READ, Role.OPERATE}),
        (Role.ADMIN, {Role.READ, Role.OPERATE, Role.ADMIN}),
    ],
)
def test_each_role_may_what_those_before_it_may(role: Role, allowed: set[Role]) -> None:
    assert {each for each in Role if Visitor(name="ann", role=role).may(each)} == allowed


def test_tokens_are_compared_in_constant_time_and_all_of_them() -> None:
    source = inspect.getsource(Access.visitor)
    (loop,) = [node for node in ast.walk(ast.parse(f"if 1:\n{source}")) if isinstance(node, ast.For)]
    assert "hmac.compare_digest(" in ast.unparse(loop.body[0])
    assert not [node for node in ast.walk(loop) if isinstance(node, ast.Break | ast.Return)]
    assert "==" not in inspect.getsource(module).replace("__name__ ==", "")


def test_no_token_is_printed() -> None:
    assert "quite long" not in repr(ACCESS)
