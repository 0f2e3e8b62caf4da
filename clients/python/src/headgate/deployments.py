"""Deployments in MLflow's words, as plans: what a target, a model's URI and ``-C`` settings mean. Pure, without MLflow.

    deployment churn   the model churn while it has a plan; its URL is /models/churn/predict
    endpoint churn     the same plan, seen as a split of traffic: stable, canary, shadows, rules

The command line gives every setting as text, Python gives numbers and booleans too. Not here: asking the platform, and
MLflow's own interface (``mlflow_plugin.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from headgate.encoding import Data
from headgate.errors import InvalidRequest, NotFound
from headgate.names import a_type, alias_name, model_name, quoted, version_number
from headgate.plans import KEY_HEADER, Canary, Plan, Rule, Shadow, read_share

SCHEME = "headgate"
Config = Mapping[str, Any]

COMMON = ("note", "warm", "instances", "allow_incompatible")
OF_DEPLOYMENTS = ("share", *COMMON, "timeout")
OF_ENDPOINTS = ("stable", "canary", "share", "shadows", "rules", "sticky", *COMMON)
ADMISSION_SECONDS = 300.0
"""How long a version that is being checked is waited for, where ``timeout`` says nothing."""
_NOBODY = ("", "none")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a platform is; what is None comes from the client's settings."""

    registry_url: str | None = None
    serving_url: str | None = None


def read_target(uri: str) -> Target:
    """Return what ``headgate``, ``headgate:/x``, ``headgate:http://host:5000`` or ``headgate://host:5000`` names.

    A ``?serving=http://host:8080`` at the end names serving too. Raises InvalidRequest.
    """
    rest = uri.removeprefix(SCHEME).removeprefix(":")
    address, _, query = rest.partition("?")
    serving = _serving_of(query) if query else None
    if address.startswith("//"):
        return Target(f"http:{address}", serving)
    if address.startswith(("http://", "https://")):
        return Target(address, serving)
    if address and not address.startswith("/"):
        raise InvalidRequest(
            f"{quoted(uri)} is no target: write headgate, headgate:http://host:5000 or headgate://host:5000"
        )
    return Target(None, serving)


def _serving_of(query: str) -> str:
    try:
        found = parse_qs(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        found = {}
    if list(found) != ["serving"] or len(found["serving"]) != 1:
        raise InvalidRequest(
            f"{quoted(query)} says nothing that is known: a target may end in ?serving=http://host:8080"
        )
    return found["serving"][0]


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True, slots=True)
class Source:
    """What a model's URI names: a registered version (by number, alias or as the newest), or something to register.

    Attributes:
        name: Of the registered model; None for what is registered under the deployment's name.
        version: Its number; None where ``alias`` names it, or where the newest is meant.
        place: What ``Client.register`` takes.
    """

    name: str | None = None
    version: str | None = None
    alias: str | None = None
    place: str | None = None


def read_source(uri: str) -> Source:
    """Return what a model's URI names; raise InvalidRequest for what cannot be served from."""
    if not isinstance(uri, str) or not uri:
        raise InvalidRequest(
            "give a model_uri, such as models:/churn/3, models:/churn@champion or runs:/<run id>/<path>"
        )
    if uri.startswith("models:/"):
        return _registered(uri)
    scheme, colon, _ = uri.partition(":")
    if uri.startswith("file://"):
        return Source(place=urlsplit(uri).path)
    if colon and "/" not in scheme and len(scheme) > 1 and scheme != "runs":
        raise InvalidRequest(
            f"{quoted(uri)} cannot be deployed: name a registered version (models:/churn/3, models:/churn@champion), a "
            "logged model (runs:/<run id>/<path>, models:/m-<id>) or a model directory on this machine"
        )
    return Source(place=uri)


def _registered(uri: str) -> Source:
    rest = uri.removeprefix("models:").strip("/")
    if rest.startswith("m-") and "/" not in rest and "@" not in rest:
        return Source(place=uri)
    name, at, alias = rest.rpartition("@")
    if at:
        return Source(model_name(name), alias=alias_name(alias))
    name, slash, version = rest.rpartition("/")
    if not slash:
        raise InvalidRequest(f"{quoted(uri)} names no version: write models:/{quoted(rest)[1:-1]}/3, or @ and an alias")
    if version.lower() == "latest":
        return Source(model_name(name))
    if version.isalpha():
        raise InvalidRequest(
            f"{quoted(uri)} names a stage, which Headgate does not have: use an alias, as in models:/{name}@champion"
        )
    return Source(model_name(name), version_number(version))


@dataclass(frozen=True, slots=True)
class Wish:
    """What the settings of a deployment say; None leaves what the plan has."""

    share: float | None = None
    note: str = ""
    warm: bool | None = None
    instances: int | None = None
    allow_incompatible: bool | None = None
    timeout: float = ADMISSION_SECONDS

    @property
    def empty(self) -> bool:
        """Whether it changes nothing in a plan."""
        return replace(self, note="", timeout=ADMISSION_SECONDS) == Wish()


def read_wish(config: Config | None, known: Sequence[str] = OF_DEPLOYMENTS) -> Wish:
    """Read the settings of a deployment, and those that endpoints share with them; raise InvalidRequest."""
    given = config or {}
    unknown = [key for key in given if key not in known]
    if unknown:
        raise InvalidRequest(f"{quoted(unknown[0])} is no setting here; there are {', '.join(known)}")
    return Wish(
        share=_share(given["share"]) if "share" in given else None,
        note=str(given.get("note") or ""),
        warm=_truth(given, "warm"),
        instances=_count(given, "instances"),
        allow_incompatible=_truth(given, "allow_incompatible"),
        timeout=_seconds(given.get("timeout", ADMISSION_SECONDS)),
    )


def deployed(before: Plan | None, version: str | None, wish: Wish, name: str) -> Plan:
    """Return the plan in which a version is deployed as the settings wish; None leaves who answers.

    With a share it becomes the canary, without one stable. Raises InvalidRequest where there is nobody to be a canary
    beside.
    """
    if before is None:
        if version is None or wish.share is not None:
            raise InvalidRequest(
                f"{name} has no stable version yet, and a share is a part of its traffic: deploy one without a share"
            )
        return _settled(Plan(version), wish)
    if wish.share is not None:
        canary = version or (before.canary.version if before.canary else None)
        if canary is None:
            raise InvalidRequest(f"{name} has no canary whose share could change; name its version with a model_uri")
        return _settled(replace(before, canary=Canary(canary, wish.share)), wish)
    if version is None:
        return _settled(before, wish)
    others = tuple(shadow for shadow in before.shadows if shadow.version != version)
    return _settled(replace(before, stable=version, canary=None, shadows=others), wish)


def split(before: Plan | None, config: Config | None, name: str) -> Plan:
    """Return the plan that the settings of an endpoint describe; what they leave out stays as it was."""
    given = dict(config or {})
    wish = read_wish(given, OF_ENDPOINTS)
    stable = given.get("stable", before.stable if before else None)
    if stable is None:
        raise InvalidRequest(
            f"an endpoint is the traffic of a model: say which version of {name} answers, as stable, or create a "
            "deployment of that name"
        )
    plan = replace(before, stable=version_number(stable)) if before else Plan(version_number(stable))
    if "canary" in given:
        plan = replace(plan, canary=_canary(given["canary"], wish.share, plan.canary))
    elif wish.share is not None:
        if plan.canary is None:
            raise InvalidRequest(f"{name} has no canary that could get a share; name its version as canary")
        plan = replace(plan, canary=replace(plan.canary, share=wish.share))
    if "shadows" in given:
        plan = replace(plan, shadows=tuple(_shadow(item) for item in _items(given["shadows"], "shadows")))
    if "rules" in given:
        plan = replace(plan, rules=tuple(_rule(item) for item in _items(given["rules"], "rules")))
    if "sticky" in given:
        plan = replace(plan, sticky=str(given["sticky"] or KEY_HEADER).lower())
    return _settled(plan, wish)


def described(name: str, plan: Plan, revision: int, serving_url: str) -> dict[str, Any]:
    """Return a deployment as MLflow shows one: plain values by name."""
    canary = plan.canary
    return {
        "name": name,
        "version": plan.stable,
        "canary": None if canary is None else canary.version,
        "share": None if canary is None else canary.share,
        "shadows": [shadow.version for shadow in plan.shadows],
        "revision": revision,
        "note": plan.note,
        "url": f"{serving_url}/models/{name}/predict",
    }


def endpoint_described(name: str, plan: Plan, revision: int, serving_url: str) -> dict[str, Any]:
    """Return an endpoint as MLflow shows one: the whole plan beside its name and URL."""
    whole = plan.to_json()
    return {"name": name, "url": f"{serving_url}/models/{name}/predict", "revision": revision, **whole}


def no_deployment(name: str) -> NotFound:
    """Return the error that nothing is deployed under a name."""
    return NotFound(
        f"nothing is deployed as {quoted(name)}: no plan gives a model of that name traffic", code="no_plan"
    )


def _settled(plan: Plan, wish: Wish) -> Plan:
    return replace(
        plan,
        note=wish.note,
        warm=plan.warm if wish.warm is None else wish.warm,
        instances=plan.instances if wish.instances is None else wish.instances,
        allow_incompatible=plan.allow_incompatible if wish.allow_incompatible is None else wish.allow_incompatible,
    )


def _canary(given: Data, share: float | None, before: Canary | None) -> Canary | None:
    if given is None or (isinstance(given, str) and given.strip().lower() in _NOBODY):
        return None
    if isinstance(given, Mapping):
        if not {"version", "share"} >= given.keys() or "version" not in given:
            raise InvalidRequest("canary has a version and a share, and nothing else")
        share = _share(given["share"]) if "share" in given else share
        given = given["version"]
    version = version_number(given)
    if share is None:
        if before is None or before.version != version:
            raise InvalidRequest(f"say which share canary {version} gets, as share=10% or share=0.1")
        share = before.share
    return Canary(version, share)


def _items(given: Data, name: str) -> list[Any]:
    """Return a list that is one already, is written as JSON, or is text with commas between."""
    if isinstance(given, str):
        text = given.strip()
        if text.lower() in _NOBODY:
            return []
        if not text.startswith("["):
            return [part.strip() for part in text.split(",")]
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{name} begins like a JSON list, but is none") from error
    if given is None:
        return []
    if not isinstance(given, Sequence):
        raise InvalidRequest(f"{name} must be a list, not {a_type(given)}")
    return list(given)


def _shadow(given: Data) -> Shadow:
    if isinstance(given, Mapping):
        if not {"version", "sample"} >= given.keys() or "version" not in given:
            raise InvalidRequest("a shadow has a version and a sample, and nothing else")
        return Shadow(version_number(given["version"]), _share(given.get("sample", 1.0)))
    version, equals, sample = str(given).partition("=")
    return Shadow(version_number(version.strip()), read_share(sample) if equals else 1.0)


def _rule(given: Data) -> Rule:
    if not isinstance(given, Mapping) or given.keys() != {"header", "equals", "version"}:
        raise InvalidRequest('a rule is written as {"header": "x-tenant", "equals": "beta", "version": "4"}')
    return Rule(str(given["header"]).lower(), str(given["equals"]), version_number(given["version"]))


def _share(given: Data) -> float:
    if isinstance(given, str):
        return read_share(given)
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 1:
        raise InvalidRequest(f"{quoted(given)} is no share from 0 to 1")
    return float(given)


def _truth(config: Config, name: str) -> bool | None:
    given = config.get(name)
    if given is None or isinstance(given, bool):
        return given
    truth = _TRUTHS.get(str(given).strip().lower())
    if truth is None:
        raise InvalidRequest(f"{name} must be true or false, not {quoted(given)}")
    return truth


def _count(config: Config, name: str) -> int | None:
    given = config.get(name)
    if given is None:
        return None
    text = str(given).strip()
    if isinstance(given, bool) or not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise InvalidRequest(f"{name} must be a whole number, not {quoted(given)}")
    return int(text)


def _seconds(given: Data) -> float:
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise InvalidRequest(f"timeout must be a number of seconds, above 0 and at most 86400, not {quoted(given)}")
    return seconds
