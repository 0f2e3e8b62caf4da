"""The blocking client. Every method runs one flow, where its work is written (``flows.py``, ``registration.py``)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any

from headgate import flows, monitoring_flows, registration, rollout_flows, traffic_flows
from headgate.drift import Baseline, DriftReport
from headgate.encoding import Data
from headgate.monitoring_flows import BASELINE_SECONDS, UNSAID, Labels
from headgate.nodes import Node, ShadowComparison, TrafficStatus
from headgate.plans import Plan, Traffic
from headgate.quality import FeedbackResult, QualityReport
from headgate.records import Model, Prediction, Served, Status, Version
from headgate.registration import Progress, Wishes
from headgate.requests import Target
from headgate.rollouts import Rollout, RolloutSpec
from headgate.settings import Settings, resolve
from headgate.tables import Training
from headgate.traffic_flows import Wanted


class Client:
    """Talks to one platform. Safe for several threads; close it, or use it in a ``with`` statement.

    Args:
        registry_url: Base URL of the registry; by default ``HEADGATE_REGISTRY_URL``, else this machine at
            ``HEADGATE_REGISTRY_PORT``, else ``http://127.0.0.1:5000``.
        serving_url: Base URL of serving; by default ``HEADGATE_SERVING_URL``, else this machine at
            ``HEADGATE_SERVING_PORT``, else ``http://127.0.0.1:8080``.
        api_key: By default ``HEADGATE_API_KEY``.
        timeout: Longest wait for one answer, in seconds; by default ``HEADGATE_TIMEOUT_SECONDS``, else 60.

    Every method raises from the tree of ``headgate.errors``.
    """

    def __init__(
        self,
        registry_url: str | None = None,
        serving_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._settings = resolve(registry_url, serving_url, api_key=api_key, timeout=timeout)
        # httpx costs more than the rest of the import: it loads with the first client.
        from headgate.sync_driver import SyncDriver

        self._driver = SyncDriver(self._settings)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings

    def models(self, query: str = "", *, limit: int | None = None) -> list[Model]:
        """Return models by name, whose names contain ``query``; all of them unless ``limit`` is given."""
        return self._driver.run(flows.models(query, limit))

    def model(self, name: str) -> Model:
        """Return one model."""
        return self._driver.run(flows.model(name))

    def versions(self, name: str, *, limit: int | None = None) -> list[Version]:
        """Return a model's versions, newest first; all of them unless ``limit`` is given."""
        return self._driver.run(flows.versions(name, limit))

    def version(self, name: str, version: str | int) -> Version:
        """Return one version."""
        return self._driver.run(flows.version(name, version))

    def served_version(self, name: str, version: str | int) -> Served:
        """Return where a version stands on the serving node, and what its process printed last."""
        return self._driver.run(flows.served_version(name, version))

    def register(  # noqa: PLR0913 - spelt out, so that a misspelt option is refused at once
        self,
        model: Data,
        name: str,
        *,
        example: Data = None,
        alias: str | None = None,
        wait: bool = True,
        timeout: float = 120.0,
        progress: Progress | None = None,
        X: Data = None,  # noqa: N803 - what everybody calls it
        y: Data = None,
        baseline: Data = None,
    ) -> Version:
        """Register a model; wait until it is ready, or raise VersionRejected with the reasons.

        Args:
            model: A saved MLflow model directory (str or Path), ``runs:/<run id>/<path>``, ``models:/m-…``, or a fitted
                estimator (with ``headgate[mlflow]``): scikit-learn, XGBoost, LightGBM, ONNX or a pyfunc PythonModel.
            name: Of the model; it is created where it does not exist.
            example: For an estimator: inputs that it can predict (DataFrame or array); the signature is read off them.
            alias: Points to the version once it is ready.
            wait: Whether to wait for the verdict.
            timeout: Seconds to wait for it.
            progress: Called with bytes sent and bytes in all, while a directory is uploaded.
            X: The inputs of the training data (DataFrame or array), which drift is measured against. For an estimator
                they are the example too.
            y: What the model predicts for each row of X, whose distribution live predictions are measured against. Left
                out, an estimator predicts X here. Labels do where the model predicts each as often as it occurs.
            baseline: Instead of X and y, a table with both: a path to a Parquet, CSV or Arrow file, or a DataFrame;
                the column ``prediction`` is as y.
        """
        training = registration.training_of(X, y, baseline)
        wishes = Wishes(example, alias, wait, timeout, progress, training)
        return self._driver.run(registration.register(self._settings, model, name, wishes))

    def wait_until_ready(self, name: str, version: str | int, *, timeout: float = 120.0) -> Version:
        """Return the version once it is ready; raise VersionRejected, or Timeout after ``timeout`` seconds."""
        return self._driver.run(flows.wait_until_ready(name, version, timeout))

    def admit(self, name: str, version: str | int, *, wait: bool = True, timeout: float = 120.0) -> Version:
        """Check a rejected version again, from the start; wait as ``register`` does."""
        return self._driver.run(flows.admit(name, version, timeout if wait else None))

    def retire(self, name: str, version: str | int) -> Version:
        """Take a version out of service for good; raise Conflict while a plan or an alias names it."""
        return self._driver.run(flows.retire(name, version))

    def delete_version(self, name: str, version: str | int) -> None:
        """Retire a version and delete MLflow's record of it; its number is never used again."""
        self._driver.run(flows.delete_version(name, version))

    def predict(
        self,
        name: str,
        data: Data,
        *,
        version: str | int | None = None,
        alias: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return predictions in the kind that was sent: arrays or DataFrames for those, else lists.

        Args:
            name: Of the model.
            data: An array (rows first), a DataFrame, a list of records, a dict of columns or tensors, nested lists, or
                a whole body: a dict of ``dataframe_split``, ``dataframe_records``, ``instances`` or ``inputs``.
            version: Ask this version; without it and without ``alias`` the plan chooses.
            alias: Ask the version that this names.
            params: Inference parameters, for models that take some.
        """
        return self.predict_response(name, data, version=version, alias=alias, params=params).data

    def predict_response(
        self,
        name: str,
        data: Data,
        *,
        version: str | int | None = None,
        alias: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Prediction:
        """Return predictions as ``predict`` does, with who answered: model, version, arm, revision, request id."""
        return self._driver.run(flows.predict(Target(name, version, alias), data, params))

    def predict_body(
        self,
        name: str,
        body: bytes,
        content_type: str = "application/json",
        *,
        version: str | int | None = None,
        alias: str | None = None,
    ) -> Prediction:
        """Return predictions for a body that serving reads as it is (JSON, CSV, Parquet, Arrow), as JSON said them."""
        return self._driver.run(flows.predict_body(Target(name, version, alias), body, content_type))

    def predict_stream(
        self,
        name: str,
        data: Data | bytes,
        *,
        version: str | int | None = None,
        alias: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Generator[Any, None, None]:
        """Yield predictions as they are made: a generator; close it, or leave its loop, to hang up.

        What was said of ``predict`` holds, but for one thing: a piece is what the model yields, as JSON says it. A
        stream takes one row. Raises the error that ended it, after the pieces before, and ConnectionFailed where it
        broke off.

        Args:
            name: Of the model, which has a ``predict_stream``.
            data: As for ``predict``; or bytes, a JSON body that goes as it is.
            version: Ask this version; without it and without ``alias`` the plan chooses.
            alias: Ask the version that this names.
            params: Inference parameters, for models that take some.
        """
        return self._driver.stream(flows.stream_request(Target(name, version, alias), data, params))

    def traffic(self, name: str) -> Traffic:
        """Return the plan in force; its revision is 0 where there never was one."""
        return self._driver.run(traffic_flows.traffic(name))

    def history(self, name: str, *, limit: int | None = None) -> list[Traffic]:
        """Return the journal of plans, newest first; all of it unless ``limit`` is given."""
        return self._driver.run(traffic_flows.history(name, limit))

    def promote(
        self,
        name: str,
        version: str | int,
        *,
        note: str = "",
        warm: bool | None = None,
        instances: int | None = None,
        expect: int | None = None,
    ) -> Traffic:
        """Make a version stable and take the canary away; rules, other shadows and settings of the plan stay.

        Raises RevisionConflict where somebody else changed the plan meanwhile, and ends a rollout that goes on.

        Args:
            name: Of the model.
            version: Must be ready.
            note: Why, for the journal.
            warm: Whether every node loads it ahead, and keeps it; as in the plan before, if left out.
            instances: How many processes it gets on a node; as in the plan before, if left out.
            expect: The revision that you saw; without it, the present one is read first.
        """
        return self._driver.run(traffic_flows.promote(name, Wanted(version, note, warm, instances), expect))

    def set_traffic(self, name: str, plan: Plan, *, expect: int | None = None) -> Traffic:
        """Replace the whole plan; raise RevisionConflict where it is not the one of revision ``expect`` any more.

        The next plan is made of the last with ``dataclasses.replace(traffic.plan, canary=…)``, and ``expect`` is then
        that ``traffic.revision``; without it, the present revision is read first.
        """
        return self._driver.run(traffic_flows.set_traffic(name, plan, expect))

    def rollback(self, name: str, *, revision: int | None = None) -> Traffic:
        """Go back to the plan before, or to the plan of ``revision``; that makes a new revision."""
        return self._driver.run(traffic_flows.rollback(name, revision))

    def clear_traffic(self, name: str, *, expect: int | None = None) -> Traffic:
        """Take all traffic away, so that only versions and aliases that are named answer.

        Where nobody has traffic nothing is changed. ``expect`` is the revision that you saw, as in ``promote``.
        """
        return self._driver.run(traffic_flows.clear_traffic(name, expect))

    def traffic_status(self, name: str) -> TrafficStatus:
        """Return where the plan in force has arrived, node by node."""
        return self._driver.run(traffic_flows.traffic_status(name))

    def shadow_comparison(self, name: str, version: str | int) -> ShadowComparison:
        """Return how a shadow did beside whoever answered, and whether it would have been a good canary."""
        return self._driver.run(traffic_flows.shadow(name, version))

    def nodes(self) -> list[Node]:
        """Return the serving nodes that the registry has heard of."""
        return self._driver.run(traffic_flows.nodes())

    def start_rollout(self, name: str, spec: RolloutSpec) -> Rollout:
        """Let a version become stable by steps, on evidence; raise Conflict while another rollout goes on."""
        return self._driver.run(rollout_flows.start(name, spec))

    def rollouts(self, name: str) -> list[Rollout]:
        """Return a model's rollouts, newest first."""
        return self._driver.run(rollout_flows.rollouts(name))

    def rollout(self, name: str, rollout: str | None = None) -> Rollout:
        """Return one rollout by its id; without one, the rollout that goes on, else the newest."""
        return self._driver.run(rollout_flows.rollout(name, rollout))

    def pause_rollout(self, name: str, rollout: str | None = None, *, why: str = "") -> Rollout:
        """Stop a rollout's clocks; the canary keeps its share, and evidence may still roll it back."""
        return self._driver.run(rollout_flows.move(name, rollout, "pause", why))

    def resume_rollout(self, name: str, rollout: str | None = None, *, why: str = "") -> Rollout:
        """Let a rollout go on that is paused, or that waits for a person."""
        return self._driver.run(rollout_flows.move(name, rollout, "resume", why))

    def promote_rollout(self, name: str, rollout: str | None = None, *, why: str = "") -> Rollout:
        """Make a rollout's version stable now, whatever steps are left."""
        return self._driver.run(rollout_flows.move(name, rollout, "promote", why))

    def abort_rollout(self, name: str, rollout: str | None = None, *, why: str = "") -> Rollout:
        """End a rollout and go back to the plan before it."""
        return self._driver.run(rollout_flows.move(name, rollout, "abort", why))

    def wait_for_rollout(
        self,
        name: str,
        rollout: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Rollout:
        """Return a rollout once it has ended; ``state`` says how. Raise Timeout after ``timeout`` seconds."""
        return self._driver.run(rollout_flows.wait(name, rollout, timeout))

    def set_baseline(
        self,
        name: str,
        version: str | int,
        table: Data,
        *,
        y: Data = None,
        prediction: str | None = None,
        timeout: float = BASELINE_SECONDS,
    ) -> Baseline:
        """Give a version the table that it was trained on, which drift is measured against; return its summary.

        Args:
            name: Of the model.
            version: Must be ready.
            table: A path to a Parquet, CSV or Arrow file, sent as a stream; or a DataFrame, a pyarrow Table, an array.
            y: What the model predicts for each row, where ``table`` is no file and has no column of it.
            prediction: The column of ``table`` that has it; by default ``prediction``, if there is one.
            timeout: Seconds that the platform may take to read it.
        """
        return self._driver.run(monitoring_flows.set_baseline(name, version, Training(table, y, prediction), timeout))

    def baseline(self, name: str, version: str | int | None = None) -> Baseline:
        """Return what the training data of a version looked like; of the stable one, where none is named."""
        return self._driver.run(monitoring_flows.baseline(name, version))

    def drift(
        self, name: str, version: str | int | None = None, *, limit: int | None = None, features: int | None = None
    ) -> DriftReport:
        """Return how a version's live rows differ from its baseline, in the newest ``limit`` windows of rows.

        Without a version, the stable one is meant. Of each window the first ``features`` are told, or a hundred.
        """
        return self._driver.run(monitoring_flows.drift(name, version, limit, features))

    def quality(self, name: str, version: str | int | None = None) -> QualityReport:
        """Return how good a version is on live traffic, as far as labels came; of the stable one, without a version."""
        return self._driver.run(monitoring_flows.quality(name, version))

    def feedback(
        self,
        name: str,
        labels: Labels,
        label: Data = UNSAID,
        row: int = 0,
        *,
        observed_at: dt.datetime | str | None = None,
    ) -> FeedbackResult:
        """Send back what turned out to be true; the last label of a row counts, so sending again does no harm.

        Args:
            name: Of the model.
            labels: Many ``headgate.Label`` (or dicts, or a DataFrame, with its names), sent in chunks as they come; or,
                for one, the request id of the prediction, or the ``Prediction`` of ``predict_response``.
            label: For one: the truth, a number, a text or a truth value.
            row: For one: which row of the request, from 0.
            observed_at: For one: when it turned out; now, without.
        """
        return self._driver.run(monitoring_flows.feedback(name, labels, label, row, observed_at))

    def set_alias(self, name: str, alias: str, version: str | int) -> None:
        """Point an alias at a version that is ready."""
        self._driver.run(flows.set_alias(name, alias, version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""
        self._driver.run(flows.delete_alias(name, alias))

    def status(self) -> Status:
        """Return how both processes are, and what is served; a process that is down is told, not raised."""
        return self._driver.run(flows.status(self._settings))

    def close(self) -> None:
        """Close all connections."""
        self._driver.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
