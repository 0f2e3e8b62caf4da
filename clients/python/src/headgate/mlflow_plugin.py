"""MLflow's deployments, on Headgate: ``mlflow deployments … -t headgate:…`` and ``get_deploy_client("headgate:…")``.

MLflow finds this module by the entry point ``headgate`` of the group ``mlflow.deployments``, and imports it; nothing
else does, so the client needs no MLflow. MLflow wants exactly one client class to be visible here, and the functions
``run_local`` and ``target_help``. Not here: what targets, URIs and settings mean (``deployments.py``).

Source: ``mlflow.deployments`` of 3.17: its base class, its plugin manager, its command line.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, NoReturn

from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from headgate import deployments, errors
from headgate.client import Client
from headgate.deployments import Config, Wish
from headgate.encoding import Data, encode
from headgate.names import model_name, quoted
from headgate.plans import Plan, Traffic
from headgate.records import Version

FLAVOR = "python_function"
"""How every version can be asked, whatever library made it."""

_CODES: tuple[tuple[type[errors.HeadgateError], int], ...] = (
    (errors.NotFound, codes.RESOURCE_DOES_NOT_EXIST),
    (errors.Conflict, codes.RESOURCE_CONFLICT),
    (errors.AccessDenied, codes.PERMISSION_DENIED),
    (errors.Timeout, codes.DEADLINE_EXCEEDED),
    (errors.Refused, codes.REQUEST_LIMIT_EXCEEDED),
    (errors.Unavailable, codes.TEMPORARILY_UNAVAILABLE),
    (errors.ConnectionFailed, codes.TEMPORARILY_UNAVAILABLE),
    (errors.InvalidRequest, codes.INVALID_PARAMETER_VALUE),
    (errors.BadSettings, codes.INVALID_PARAMETER_VALUE),
    (errors.VersionRejected, codes.INVALID_PARAMETER_VALUE),
)

_HELP = """\
Headgate: a deployment is a registered model whose plan gives it traffic. It has the model's name, and answers at
<serving>/models/<name>/predict.

Targets:
  headgate                       the platform that HEADGATE_REGISTRY_URL and HEADGATE_SERVING_URL name;
                                 without them, http://127.0.0.1:5000 and http://127.0.0.1:8080
  headgate:/ANYTHING             the same; what follows the slash is for you
  headgate:http://HOST:5000      the registry; https:// too
  headgate://HOST:5000           the same
  headgate:http://HOST:5000?serving=http://HOST:8080
                                 with the address of serving, which HEADGATE_SERVING_URL names otherwise
  HEADGATE_API_KEY is sent to both where it is set, HEADGATE_TIMEOUT_SECONDS limits each answer.

Models (--model-uri):
  models:/NAME/3  models:/NAME@ALIAS  models:/NAME/latest     a registered version; NAME is the deployment's name
  runs:/RUN/PATH  models:/m-ID  a directory                   registered as a new version of NAME first

Settings (-C name=value) of create and update:
  share=10%               the version becomes the canary with this share (or 0.1); without it, it becomes stable
  note=TEXT               why, for the journal
  warm=true               every node loads it ahead
  instances=2             processes a node gives it
  allow_incompatible=true take a version that refuses some of what stable's callers send
  timeout=300             seconds to wait for the checks of a version

create refuses a name that is deployed already, unless a share makes the version its first canary; update changes what
is there; delete takes the traffic away and keeps the versions. Both ends of a change are in `headgate traffic history`.

Endpoints: the same plan as a split of traffic, from Python (MLflow's own create-endpoint command does not work):
  client.create_endpoint("churn", {"stable": "3", "canary": "4", "share": 0.1})
  settings: stable, canary ("none" takes it out), share, shadows, rules, sticky, note, warm, instances,
  allow_incompatible.
"""


class HeadgateDeploymentClient(BaseDeploymentClient):
    """Deploys registered models by changing their plans. Safe for several threads.

    Args:
        target_uri: See ``target_help``.

    Every method raises MlflowException, with the platform's own words.
    """

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        with _translated():
            target = deployments.read_target(target_uri)
            self._client = Client(target.registry_url, target.serving_url)
        # MLflow never closes a client; the connections go with it.
        weakref.finalize(self, self._client.close)

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Config | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Give a version of the model ``name`` traffic: all of it, or with ``share`` a canary's part beside stable.

        Returns when it can be asked. Raises RESOURCE_ALREADY_EXISTS where the name is deployed already and no
        ``share`` is given, or where it has a canary.
        """
        with _translated():
            wish = deployments.read_wish(config)
            _same(model_name(name), endpoint)
            seen = self._traffic(name)
            if seen.plan is not None and wish.share is None:
                _exists(f"{name} is deployed already, with version {seen.plan.stable}; use update to change it")
            if seen.plan is not None and seen.plan.canary is not None:
                _exists(f"{name} has a canary already, version {seen.plan.canary.version}; use update to change it")
            if seen.plan is None:
                deployments.deployed(None, "1", wish, name)  # a share of nothing is refused before anything is made
            return self._deploy(seen, self._version(name, model_uri, wish), flavor, wish)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Config | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Change a deployment: its version, its canary's share, or its settings.

        Returns the deployment; MLflow documents None, but its command line reads ``flavor`` of what it gets.
        """
        with _translated():
            wish = deployments.read_wish(config)
            _same(model_name(name), endpoint)
            seen = self._traffic(name)
            if seen.plan is None:
                raise deployments.no_deployment(name)
            if model_uri is None and wish.empty:
                raise errors.InvalidRequest(f"nothing to change: give a model_uri, or settings for {name}")
            version = None if model_uri is None else self._version(name, model_uri, wish)
            return self._deploy(seen, version, flavor, wish)

    def delete_deployment(self, name: str, config: Config | None = None, endpoint: str | None = None) -> None:
        """Take all traffic away from a model; its versions stay. Where nothing is deployed, nothing happens."""
        with _translated():
            deployments.read_wish(config, ())
            _same(model_name(name), endpoint)
            try:
                self._client.clear_traffic(name)
            except errors.NotFound:
                return

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Return every model that has traffic; of an endpoint, its own one."""
        with _translated():
            url = self._client.settings.serving_url
            return [
                deployments.described(model.name, model.plan, model.revision, url)
                for model in self._client.models()
                if model.plan is not None and endpoint in (None, model.name)
            ]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """Return one deployment; raise RESOURCE_DOES_NOT_EXIST where the name has no traffic."""
        with _translated():
            _same(model_name(name), endpoint)
            plan, revision = self._plan(name)
            version = self._client.version(name, plan.stable)
            return self._shown(name, plan, revision, _flavor(version, None))

    def predict(
        self, deployment_name: str | None = None, inputs: Data = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """Ask a deployment (or an endpoint, which is the same) for predictions.

        Args:
            deployment_name: Its name.
            inputs: A DataFrame, an array, records, a dict of columns or tensors, or a whole predict body, whose
                ``params`` may be there too.
            endpoint: Instead of ``deployment_name``.
        """
        with _translated():
            name, body = _question(deployment_name, inputs, endpoint)
            answer = self._client.predict_body(name, body)
        # As JSON said them, since MLflow's command line writes them with json.dump.
        told = {"model_name": answer.model, "model_version": answer.version, "arm": answer.arm}
        return PredictionsResponse({"predictions": answer.data, **told, "request_id": answer.request_id})

    def predict_stream(
        self, deployment_name: str | None = None, inputs: Data = None, endpoint: str | None = None
    ) -> Iterator[Any]:
        """Yield a deployment's predictions as they are made, for a model that has ``predict_stream``.

        The arguments are those of ``predict``, of one row. A piece is what the model yields, as JSON says it. Close
        the generator, or leave its loop, to hang up.
        """
        with _translated():
            name, body = _question(deployment_name, inputs, endpoint)
            pieces = self._client.predict_stream(name, body)
        return _translated_pieces(pieces)

    def explain(self, deployment_name: str | None = None, df: Data = None, endpoint: str | None = None) -> NoReturn:
        """Raise: Headgate explains no predictions."""
        raise MlflowException("Headgate explains no predictions; predict gives them", codes.NOT_IMPLEMENTED)

    def create_endpoint(self, name: str, config: Config | None = None) -> dict[str, Any]:
        """Split a model's traffic for the first time; ``config`` must name its ``stable`` version."""
        with _translated():
            seen = self._traffic(model_name(name))
            if seen.plan is not None:
                _exists(f"{name} has traffic already; use update_endpoint to change it")
            return self._split(name, None, config, seen.revision)

    def update_endpoint(self, endpoint: str, config: Config | None = None) -> dict[str, Any]:
        """Change how a model's traffic is split; what ``config`` leaves out stays."""
        with _translated():
            plan, revision = self._plan(model_name(endpoint))
            if not config:
                raise errors.InvalidRequest(f"nothing to change: give settings for {endpoint}")
            return self._split(endpoint, plan, config, revision)

    def delete_endpoint(self, endpoint: str) -> None:
        """Take all traffic away from a model, as ``delete_deployment`` does."""
        self.delete_deployment(endpoint)

    def list_endpoints(self) -> list[dict[str, Any]]:
        """Return the traffic of every model that has some."""
        with _translated():
            url = self._client.settings.serving_url
            return [
                deployments.endpoint_described(model.name, model.plan, model.revision, url)
                for model in self._client.models()
                if model.plan is not None
            ]

    def get_endpoint(self, endpoint: str) -> dict[str, Any]:
        """Return how a model's traffic is split."""
        with _translated():
            plan, revision = self._plan(model_name(endpoint))
            return deployments.endpoint_described(endpoint, plan, revision, self._client.settings.serving_url)

    def _traffic(self, name: str) -> Traffic:
        """Return a model's traffic: none of a model that does not exist yet, which registering a run may make."""
        try:
            return self._client.traffic(name)
        except errors.NotFound as error:
            if error.code != "unknown_model":
                raise
            return Traffic(name, 0)

    def _plan(self, name: str) -> tuple[Plan, int]:
        seen = self._traffic(name)
        if seen.plan is None:
            raise deployments.no_deployment(name)
        return seen.plan, seen.revision

    def _deploy(self, seen: Traffic, version: Version | None, flavor: str | None, wish: Wish) -> dict[str, Any]:
        named = version
        if named is None and seen.plan is not None:
            named = self._client.version(seen.model, seen.plan.stable)
        served = FLAVOR if named is None else _flavor(named, flavor)
        plan = deployments.deployed(seen.plan, None if version is None else version.version, wish, seen.model)
        made = self._client.set_traffic(seen.model, plan, expect=seen.revision)
        return self._shown(seen.model, plan, made.revision, served)

    def _version(self, name: str, model_uri: str, wish: Wish) -> Version:
        """Return the version that a URI names, once it is ready; what is not registered yet is, under ``name``."""
        source = deployments.read_source(model_uri)
        if source.place is not None:
            return self._client.register(source.place, name, timeout=wish.timeout)
        if source.name != name:
            raise errors.InvalidRequest(
                f"a deployment has the name of its model: {quoted(model_uri)} is a version of {source.name}, so deploy "
                f"it as {source.name}, or register its run as a version of {name}"
            )
        number = source.version
        if source.alias is not None:
            aliases = self._client.model(name).aliases
            number = aliases.get(source.alias)
            if number is None:
                known = ", ".join(sorted(aliases)) or "none"
                raise errors.NotFound(f"{name} has no alias {source.alias}; its aliases: {known}", code="unknown_alias")
        if number is None:
            newest = self._client.versions(name, limit=1)
            if not newest:
                raise errors.NotFound(f"{name} has no versions", code="unknown_version")
            number = newest[0].version
        return self._client.wait_until_ready(name, number, timeout=wish.timeout)

    def _split(self, name: str, before: Plan | None, config: Config | None, revision: int) -> dict[str, Any]:
        plan = deployments.split(before, config, name)
        made = self._client.set_traffic(name, plan, expect=revision)
        return deployments.endpoint_described(name, plan, made.revision, self._client.settings.serving_url)

    def _shown(self, name: str, plan: Plan, revision: int, flavor: str) -> dict[str, Any]:
        shown = deployments.described(name, plan, revision, self._client.settings.serving_url)
        return {**shown, "flavor": flavor}


def run_local(name: str, model_uri: str, flavor: str | None = None, config: Config | None = None) -> None:
    """Deploy on the platform that runs on this machine; MLflow calls it with four positional arguments.

    Raises MlflowException where the settings name another machine, or where nothing runs here.
    """
    client = HeadgateDeploymentClient(deployments.SCHEME)
    settings = client._client.settings
    if not deployments.is_loopback(settings.registry_url):
        raise MlflowException(
            f"run-local deploys on this machine alone, and {settings.registry_origin} names another one; "
            "use create -t headgate there",
            codes.INVALID_PARAMETER_VALUE,
        )
    known = [deployment["name"] for deployment in client.list_deployments()]
    work = client.update_deployment if name in known else client.create_deployment
    done = work(name, model_uri, flavor, config)
    sys.stdout.write(f"{name} version {done['version']} answers at {done['url']}\n")


def target_help() -> str:
    """Return what targets and settings there are."""
    return _HELP


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the client's errors into MLflow's, with their words and the id that finds the request in the log."""
    try:
        yield
    except errors.HeadgateError as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), codes.INTERNAL_ERROR)
        reasons = "; ".join(error.reasons) if isinstance(error, errors.VersionRejected) else ""
        parts = [error.message, reasons if reasons not in error.message else ""]
        parts.append(f"(request {error.request_id})" if error.request_id else "")
        raise MlflowException(" ".join(part for part in parts if part), error_code=code) from error


def _question(deployment_name: str | None, inputs: Data, endpoint: str | None) -> tuple[str, bytes]:
    """Return whom to ask, and the body."""
    name = deployment_name if deployment_name is not None else endpoint
    if name is None:
        raise errors.InvalidRequest("name the deployment to ask")
    _same(model_name(name), endpoint)
    if inputs is None:
        raise errors.InvalidRequest("give inputs: a DataFrame, an array, records or a dict")
    return name, encode(inputs).body


def _translated_pieces(pieces: Generator[Any, None, None]) -> Iterator[Any]:
    with _translated(), closing(pieces):
        yield from pieces


def _same(name: str, endpoint: str | None) -> None:
    if endpoint not in (None, name):
        raise errors.InvalidRequest(
            f"an endpoint has one deployment, of its own name: {quoted(endpoint)} cannot hold {name}; leave it out"
        )


def _exists(message: str) -> NoReturn:
    raise MlflowException(message, error_code=codes.RESOURCE_ALREADY_EXISTS)


def _flavor(version: Version, wanted: str | None) -> str:
    """Return the flavour that a version is served by; raise InvalidRequest for one that it does not have."""
    if wanted is None or wanted == FLAVOR:
        return FLAVOR
    if wanted not in version.flavors:
        has = ", ".join(version.flavors) or "none that is known"
        raise errors.InvalidRequest(f"version {version.version} has no flavor {quoted(wanted)}; it has {has}")
    return wanted
