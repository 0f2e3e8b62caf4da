"""SDK of Headgate, the model registry and serving platform.

::

    import headgate

    with headgate.Client() as client:
        client.register(model, "churn", X=X)  # a fitted estimator, or a directory that MLflow saved
        client.promote("churn", "1")  # it takes the traffic
        client.predict("churn", X)  # arrays, DataFrames, records, lists

``Client`` has all verbs, ``AsyncClient`` the same to await. Everything raised is a ``HeadgateError``. Without
arguments both talk to this machine, or to HEADGATE_REGISTRY_URL and HEADGATE_SERVING_URL.
"""

from headgate.async_client import AsyncClient
from headgate.client import Client
from headgate.drift import Baseline, DriftReport
from headgate.errors import (
    AccessDenied,
    BadSettings,
    ClientClosed,
    Conflict,
    ConnectionFailed,
    HeadgateError,
    InvalidRequest,
    ModelFault,
    NotFound,
    Refused,
    RevisionConflict,
    ServerFault,
    Timeout,
    Unavailable,
    VersionRejected,
)
from headgate.nodes import Node, ShadowComparison, TrafficStatus
from headgate.plans import Canary, Plan, Rule, Shadow, Traffic
from headgate.quality import FeedbackResult, Label, QualityReport
from headgate.records import Check, Model, Prediction, ProcessStatus, Served, Status, Version
from headgate.rollouts import Metric, Rollout, RolloutSpec, Step
from headgate.version import __version__

__all__ = [
    "Client",
    "AsyncClient",
    "Check",
    "Model",
    "Prediction",
    "ProcessStatus",
    "Served",
    "Status",
    "Version",
    "Plan",
    "Canary",
    "Shadow",
    "Rule",
    "Traffic",
    "TrafficStatus",
    "ShadowComparison",
    "Node",
    "Rollout",
    "RolloutSpec",
    "Step",
    "Metric",
    "Baseline",
    "DriftReport",
    "Label",
    "FeedbackResult",
    "QualityReport",
    "HeadgateError",
    "BadSettings",
    "ClientClosed",
    "ConnectionFailed",
    "Timeout",
    "InvalidRequest",
    "AccessDenied",
    "NotFound",
    "Conflict",
    "RevisionConflict",
    "VersionRejected",
    "Refused",
    "Unavailable",
    "ModelFault",
    "ServerFault",
    "__version__",
]
