"""What MLflow's targets, model URIs and settings mean as plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from headgate import Canary, InvalidRequest, Plan, Rule, Shadow
from headgate.deployments import (
    ADMISSION_SECONDS,
    Source,
    Target,
    Wish,
    deployed,
    described,
    endpoint_described,
    is_loopback,
    read_source,
    read_target,
    read_wish,
    split,
)
from hypothesis import given, settings
from hypothesis import strategies as st

PLAN = Plan("3", Canary("4", 0.1), (Shadow("5", 0.5),), (Rule("x-tenant", "beta", "4"),), warm=True, instances=2)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("headgate", Target()),
        ("headgate:", Target()),
        ("headgate:/", Target()),
        ("headgate:/staging", Target()),
        ("headgate:http://ml:5000", Target("http://ml:5000")),
        ("headgate:https://ml/registry", Target("https://ml/registry")),
        ("headgate://ml:5000", Target("http://ml:5000")),
        ("headgate://ml:5000?serving=http://ml:8080", Target("http://ml:5000", "http://ml:8080")),
        ("headgate:/?serving=http%3A%2F%2Fml%3A8080", Target(None, "http://ml:8080")),
    ],
)
def test_a_target_names_a_platform(uri: str, target: Target) -> None:
    """Every form that MLflow leads to the plugin; what it leaves out comes from the settings."""
    assert read_target(uri) == target


@pytest.mark.parametrize(
    "uri", ["headgate:ml:5000", "headgate://ml?serving", "headgate://ml?port=1", "headgate://ml?serving=a&serving=b"]
)
def test_a_target_that_says_something_else_is_refused(uri: str) -> None:
    """With what would be right."""
    with pytest.raises(InvalidRequest, match="headgate:http://host:5000|serving=http://host:8080"):
        read_target(uri)


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("models:/churn/3", Source("churn", "3")),
        ("models:///churn/3", Source("churn", "3")),
        ("models:/churn@champion", Source("churn", alias="champion")),
        ("models:/churn/latest", Source("churn")),
        ("models:/m-0a1b", Source(place="models:/m-0a1b")),
        ("runs:/abc/model", Source(place="runs:/abc/model")),
        ("file:///tmp/model", Source(place="/tmp/model")),
        ("./model", Source(place="./model")),
    ],
)
def test_a_model_uri_names_a_version_or_something_to_register(uri: str, source: Source) -> None:
    """MLflow's own forms."""
    assert read_source(uri) == source


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("models:/churn/Production", "names a stage, .* models:/churn@champion"),
        ("models:/churn", "names no version: write models:/churn/3"),
        ("models:/churn/03", "is no version: .* did you mean 3"),
        ("models:/a b/3", "is no model name"),
        ("models:/churn@1", "is no alias"),
        ("s3://bucket/model", "cannot be deployed: name a registered version"),
        ("", "give a model_uri"),
    ],
)
def test_what_cannot_be_served_from_is_refused_in_words(uri: str, words: str) -> None:
    """Stages, foreign stores and half names."""
    with pytest.raises(InvalidRequest, match=words):
        read_source(uri)


def test_settings_are_text_on_the_command_line_and_values_in_python() -> None:
    """Both mean the same."""
    text = {"share": "10%", "warm": "true", "instances": "2", "allow_incompatible": "no", "timeout": "9", "note": "why"}
    values = {"share": 0.1, "warm": True, "instances": 2, "allow_incompatible": False, "timeout": 9, "note": "why"}
    assert read_wish(text) == read_wish(values) == Wish(0.1, "why", True, 2, False, 9.0)
    assert read_wish(None) == read_wish({}) == Wish(timeout=ADMISSION_SECONDS)
    assert read_wish({"share": "0.1"}).share == 0.1
    assert read_wish({"share": 0}).share == 0.0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"shares": "0.1"}, "'shares' is no setting here; there are share, note"),
        ({"share": "10"}, "write 10% or 0.1"),
        ({"share": "1"}, "write 10% or 0.1"),
        ({"share": 1.5}, "no share from 0 to 1"),
        ({"share": True}, "no share from 0 to 1"),
        ({"share": "0.00001"}, "finer than 0.01%"),
        ({"warm": "maybe"}, "warm must be true or false"),
        ({"instances": "two"}, "instances must be a whole number"),
        ({"instances": -1}, "instances must be a whole number"),
        ({"timeout": "soon"}, "timeout must be a number of seconds"),
        ({"timeout": "nan"}, "timeout must be a number of seconds"),
    ],
)
def test_settings_that_mean_nothing_are_refused(config: dict[str, Any], words: str) -> None:
    """By name, with what would be right."""
    with pytest.raises(InvalidRequest, match=words):
        read_wish(config)


def test_a_deployment_becomes_stable_or_with_a_share_the_canary() -> None:
    """Rules, other shadows and settings of the plan stay."""
    assert deployed(None, "3", Wish(note="first"), "churn") == Plan("3", note="first")
    assert deployed(PLAN, "4", Wish(), "churn") == replace(PLAN, stable="4", canary=None)
    assert deployed(PLAN, "5", Wish(), "churn") == replace(PLAN, stable="5", canary=None, shadows=())
    assert deployed(PLAN, "6", Wish(0.25), "churn") == replace(PLAN, canary=Canary("6", 0.25))
    assert deployed(PLAN, None, Wish(0.5), "churn") == replace(PLAN, canary=Canary("4", 0.5))
    assert deployed(PLAN, None, Wish(warm=False, instances=1), "churn") == replace(PLAN, warm=False, instances=1)


def test_a_canary_needs_somebody_beside_it() -> None:
    """A share of a model without traffic, and a share of no canary, are refused."""
    with pytest.raises(InvalidRequest, match="churn has no stable version yet"):
        deployed(None, "3", Wish(0.1), "churn")
    with pytest.raises(InvalidRequest, match="churn has no canary whose share could change"):
        deployed(Plan("3"), None, Wish(0.1), "churn")


def test_an_endpoint_is_the_whole_split() -> None:
    """As text and as values; what is left out stays, and ``none`` takes a part out."""
    text = {"stable": "3", "canary": "4", "share": "10%", "shadows": "5=50%, 6", "sticky": "X-User"}
    values: dict[str, Any] = {
        "stable": 3,
        "canary": {"version": 4, "share": 0.1},
        "shadows": [{"version": "5", "sample": 0.5}, "6"],
        "sticky": "x-user",
    }
    wanted = Plan("3", Canary("4", 0.1), (Shadow("5", 0.5), Shadow("6")), sticky="x-user")
    assert split(None, text, "churn") == split(None, values, "churn") == wanted
    assert split(wanted, {"share": 0.5}, "churn").canary == Canary("4", 0.5)
    assert split(wanted, {"canary": "4"}, "churn") == wanted
    assert split(wanted, {"canary": "none", "shadows": ""}, "churn") == Plan("3", sticky="x-user")
    assert split(wanted, {"canary": None, "shadows": None}, "churn") == Plan("3", sticky="x-user")
    rule = {"header": "X-Tenant", "equals": "beta", "version": "4"}
    assert split(Plan("3"), {"rules": [rule]}, "churn").rules == (Rule("x-tenant", "beta", "4"),)
    as_text = '[{"header": "x-tenant", "equals": "beta", "version": 4}]'
    assert split(Plan("3"), {"rules": as_text}, "churn").rules == (Rule("x-tenant", "beta", "4"),)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"canary": "4"}, "say which share canary 4 gets"),
        ({"share": 0.1}, "churn has no canary that could get a share"),
        ({"canary": {"share": 0.1}}, "canary has a version and a share"),
        ({"shadows": [{"version": "5", "share": 1}]}, "a shadow has a version and a sample"),
        ({"shadows": 5}, "shadows must be a list, not an int"),
        ({"rules": "x-tenant=beta:4"}, "a rule is written as"),
        ({"rules": "[1"}, "begins like a JSON list"),
        ({"timeout": 5}, "'timeout' is no setting here"),
        ({"stable": "v3"}, "did you mean 3"),
    ],
)
def test_a_split_that_cannot_be_is_refused(config: dict[str, Any], words: str) -> None:
    """By the part that is wrong."""
    with pytest.raises(InvalidRequest, match=words):
        split(Plan("3"), config, "churn")


def test_an_endpoint_needs_a_stable_version() -> None:
    """There is no traffic without somebody who answers it."""
    with pytest.raises(InvalidRequest, match="say which version of churn answers, as stable"):
        split(None, {}, "churn")


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["stable", "canary", "share", "shadows", "rules", "sticky", "warm", "instances", "note", "x"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(), max_size=2)),
    )
)
def test_any_settings_give_a_plan_or_a_refusal(config: dict[str, Any]) -> None:
    """Nothing else is raised, and a plan can be sent."""
    try:
        plan = split(Plan("3"), config, "churn")
    except InvalidRequest:
        return
    plan.to_json()


def test_deployments_and_endpoints_are_shown_as_plain_values() -> None:
    """A name always, and where to ask."""
    shown = described("churn", PLAN, 7, "http://s:8080")
    assert (shown["name"], shown["version"], shown["canary"], shown["share"]) == ("churn", "3", "4", 0.1)
    assert (shown["revision"], shown["url"]) == (7, "http://s:8080/models/churn/predict")
    assert described("churn", Plan("3"), 1, "")["canary"] is None
    endpoint = endpoint_described("churn", PLAN, 7, "http://s:8080")
    assert (endpoint["name"], endpoint["canary"]) == ("churn", {"version": "4", "share": 0.1})


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://127.0.0.1:5000", True), ("http://localhost", True), ("http://[::1]:5000", True), ("http://ml", False)],
)
def test_this_machine_is_known_by_its_names(url: str, here: bool) -> None:
    """Where run-local may deploy."""
    assert is_loopback(url) == here
