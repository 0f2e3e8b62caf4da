"""Which processes run, in which order, with which environment."""

from __future__ import annotations

from pathlib import Path

from deploy.local.children import ChildSpec, Store, names_of, plan_children
from deploy.local.settings import LocalSettings
from registry.variables import KNOWN, unknown_variables

HOME = Path("/somewhere/var")
EMBEDDED = Store("http://127.0.0.1:21000", "the-access-key", "the-secret-key", ("weed", "mini"), {"PATH": "/bin"})
OWN = Store("https://s3.example.org")


def plan(store: Store, **environ: str) -> dict[str, ChildSpec]:
    """Plan for an environment; by name."""
    children = plan_children(LocalSettings.load(environ), HOME, store, environ)
    return {child.name: child for child in children}


def test_the_store_starts_first_and_serving_last() -> None:
    """They stop in reverse, so nobody loses what it stands on."""
    children = plan_children(LocalSettings.load({}), HOME, EMBEDDED, {})
    assert names_of(children) == ["SeaweedFS", "registry", "serving"]


def test_with_an_s3_of_ones_own_no_seaweedfs_runs() -> None:
    """The user's S3 is used as it is, with the credentials that the AWS chain finds."""
    children = plan(OWN, AWS_PROFILE="mine", AWS_REGION="eu-west-1")
    assert list(children) == ["registry", "serving"]
    env = children["registry"].env
    assert env["HEADGATE_S3_ENDPOINT"] == "https://s3.example.org"
    assert env["AWS_PROFILE"] == "mine"
    assert "AWS_ACCESS_KEY_ID" not in env


def test_nothing_of_the_users_cloud_account_reaches_the_platform_with_the_embedded_store() -> None:
    """Its credentials replace theirs, session token and profile included."""
    children = plan(EMBEDDED, AWS_ACCESS_KEY_ID="mine", AWS_SESSION_TOKEN="mine", AWS_PROFILE="mine", PATH="/bin")
    for child in children.values():
        assert "mine" not in child.env.values()
    env = children["serving"].env
    assert (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]) == ("the-access-key", "the-secret-key")
    assert env["HEADGATE_S3_ENDPOINT"] == "http://127.0.0.1:21000"


def test_the_store_gets_its_own_environment_and_nothing_else() -> None:
    """SeaweedFS would make an administrator of any AWS credentials that it finds around it."""
    assert plan(EMBEDDED, AWS_ACCESS_KEY_ID="mine", PATH="/usr/bin")["SeaweedFS"].env == {"PATH": "/bin"}


def test_the_processes_find_each_other_on_the_ports_that_were_asked_for() -> None:
    """Ports change addresses, readiness URLs and the registry's URL alike."""
    children = plan(OWN, HEADGATE_REGISTRY_PORT="5001", HEADGATE_SERVING_PORT="8082")
    assert children["registry"].ready_url == "http://127.0.0.1:5001/readyz"
    assert children["serving"].ready_url == "http://127.0.0.1:8082/readyz"
    assert children["serving"].env["HEADGATE_REGISTRY_URL"] == "http://127.0.0.1:5001"
    assert children["serving"].env["HEADGATE_HOME"] == str(HOME)


def test_a_registry_elsewhere_stays_the_users_choice() -> None:
    """HEADGATE_REGISTRY_URL is not overwritten."""
    env = plan(OWN, HEADGATE_REGISTRY_URL="http://127.0.0.1:9")["serving"].env
    assert env["HEADGATE_REGISTRY_URL"] == "http://127.0.0.1:9"


def test_an_address_for_all_is_asked_on_loopback() -> None:
    """0.0.0.0 is where one listens, not where one calls."""
    children = plan(OWN, HEADGATE_REGISTRY_HOST="0.0.0.0", HEADGATE_SERVING_HOST="::", HEADGATE_AUTH="off")
    assert children["registry"].ready_url == "http://127.0.0.1:5000/readyz"
    assert children["serving"].ready_url == "http://[::1]:8080/readyz"


def test_loopback_goes_past_the_users_proxy() -> None:
    """What NO_PROXY held stays in it."""
    env = plan(OWN, HTTP_PROXY="http://proxy:3128", NO_PROXY="example.org")["registry"].env
    assert env["NO_PROXY"] == "example.org,127.0.0.1,localhost,::1"
    assert env["no_proxy"] == "127.0.0.1,localhost,::1"


def test_every_setting_that_is_handed_on_is_one_that_exists() -> None:
    """The children refuse unknown names, so we may not invent any."""
    assert unknown_variables(plan(EMBEDDED)["registry"].env) == []
    assert {f"HEADGATE_{name.upper()}" for name in LocalSettings.model_fields} <= KNOWN


def test_secrets_stay_out_of_what_is_printed_for_debugging() -> None:
    """Neither the store's secret nor an environment shows in a repr."""
    assert "the-secret-key" not in repr(EMBEDDED)
    assert "the-secret-key" not in repr(plan(EMBEDDED))
