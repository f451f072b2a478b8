"""Consent is proven where it is known, and whatever is stored is told."""

import ast
import inspect
from collections.abc import Iterator
from typing import get_args, get_origin

import pytest

from config.settings import RetentionSettings
from engine.decisioning.policy import ConsentRule, Placement, Policy, PreferencePage
from engine.store import keys
from engine.store.families import FAMILIES
from flows.privacy_notice import notice, stays
from tests.house.tree import PACKAGES, parsed, python_files

POLICY = Policy(placements={"hero": Placement()})
MADE_IN = {
    "Granted": "engine/profiles/consent.py",
    "OwnBasis": "engine/decisioning/permission.py",
    "Chosen": "engine/decisioning/choosing.py",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE_IN)
def test_a_proof_and_an_offer_are_made_in_one_place_each(name: str) -> None:
    makers = {
        str(path)
        for path in python_files(*PACKAGES)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and (getattr(node.func, "id", "") == name or getattr(node.func, "attr", "") == name)
    }

    assert makers == {MADE_IN[name]}


def stored() -> Iterator[tuple[str, str]]:
    """Every name of a key that `keys` makes, with what makes it."""
    for name, made in vars(keys).items():
        if inspect.isfunction(made):
            wanted = inspect.signature(made, eval_str=True).parameters.values()
            yield name, made(*(_some(one.annotation) for one in wanted))
        elif name.isupper() and isinstance(made, str):
            yield name, made


def _some(kind: object) -> object:
    if get_origin(kind) is not None:
        return get_args(kind)[0]
    return 1 if kind is int else "x"


FORMS = {part.strip(" *").split(":")[0] for family in FAMILIES for part in family.name.split(",")}


@pytest.mark.parametrize(("maker", "key"), list(stored()))
def test_every_key_belongs_to_a_family(maker: str, key: str) -> None:
    assert key.split(":")[0] in FORMS, f"{maker} makes {key!r}, of which engine.store.families says nothing"


def test_every_family_is_told_with_its_purpose_and_its_time() -> None:
    told = notice(POLICY, RetentionSettings())

    for family in FAMILIES:
        assert f"`{family.name}`" in told
        assert stays(family, RetentionSettings()) in told
        if family.personal is not None:
            assert all(words in told for words in (family.personal.what, family.personal.why, family.personal.basis))
    named_by_customer = [one for one in FAMILIES if "customer" in one.name or "customers" in one.holds]
    assert [one.name for one in named_by_customer if one.personal is None] == ["lift:{s}", "seg:{s}"]


def test_the_notice_says_what_the_policy_and_the_settings_say() -> None:
    usual, strict = (
        notice(replaced, RetentionSettings(decisions_days=days))
        for replaced, days in (
            (POLICY, 90),
            (
                Policy(
                    placements=POLICY.placements,
                    consent=ConsentRule(profiling_default="denied"),
                    preferences=PreferencePage(text_version="v-9", link_days=3),
                ),
                7,
            ),
        )
    )

    assert "about profiling, it is done" in usual
    assert "about profiling, it is not done" in strict
    assert "| 7 days |" in strict
    assert "for 3 days" in strict
    assert "`v-9`" in strict
