"""Which of MLflow's 300 routes exist here, and the scope each needs: the table the gate decides by.

Listed is what the plain client and MLflow's pages use for experiments, runs, logged models, registered models and
artifacts. Left out, so 404:

* gateway, assistant, jobs, scorers, judges, evaluation data sets, label schemas, review queues, issues, prompt
  optimisation, demo, workspaces, webhooks, OpenTelemetry: other products, and most of MLflow's holes of 2026;
* traces: neither logging, autologging nor evaluating a model sends one; they record calls of language models;
* presigned and multipart addresses: bucket addresses stay inside, and the client falls back to sending through us;
* ``DELETE`` of artifacts, and the page's ``upload-artifact``: what was logged is kept, and files come by ``PUT``;
* the two routes of the prompt laboratory, and telemetry of the pages.

Routes on ``/api`` are also there on ``/ajax-api``, where MLflow's pages call them. Not here: what they do.
"""

from __future__ import annotations

from collections.abc import Iterator

from registry.edge.gate import Access, Route

_READ = """
GET  artifacts/list
GET  experiments/get
GET  experiments/get-by-name
GET  experiments/search
POST experiments/search
GET  logged-models/{model_id}
GET  logged-models/{model_id}/artifacts/directories
POST logged-models/search
GET  metrics/get-history
GET  metrics/get-history-bulk-interval
GET  model-versions/get
GET  model-versions/get-download-uri
GET  model-versions/search
GET  registered-models/alias
GET  registered-models/get
GET  registered-models/get-latest-versions
POST registered-models/get-latest-versions
GET  registered-models/search
GET  runs/get
POST runs/search
"""

_WRITE = """
POST   experiments/create
POST   experiments/delete
POST   experiments/delete-experiment-tag
POST   experiments/restore
POST   experiments/set-experiment-tag
POST   experiments/update
POST   logged-models
PATCH  logged-models/{model_id}
DELETE logged-models/{model_id}
POST   logged-models/{model_id}/params
PATCH  logged-models/{model_id}/tags
DELETE logged-models/{model_id}/tags/{key}
POST   model-versions/create
DELETE model-versions/delete
DELETE model-versions/delete-tag
POST   model-versions/set-tag
POST   model-versions/transition-stage
PATCH  model-versions/update
POST   registered-models/alias
DELETE registered-models/alias
POST   registered-models/create
DELETE registered-models/delete
DELETE registered-models/delete-tag
POST   registered-models/rename
POST   registered-models/set-tag
PATCH  registered-models/update
POST   runs/create
POST   runs/delete
POST   runs/delete-tag
POST   runs/log-batch
POST   runs/log-inputs
POST   runs/log-metric
POST   runs/log-model
POST   runs/log-parameter
POST   runs/outputs
POST   runs/restore
POST   runs/set-tag
POST   runs/update
"""

_ARTIFACTS = "/mlflow-artifacts/artifacts"


def _of_both_families() -> Iterator[Route]:
    for family in ("/api", "/ajax-api"):
        for lines, access in ((_READ, Access.READ), (_WRITE, Access.WRITE)):
            for line in lines.strip().splitlines():
                method, path = line.split()
                yield Route(method, f"{family}/2.0/mlflow/{path}", access)
        yield Route("GET", f"{family}/2.0{_ARTIFACTS}", Access.READ)
        yield Route("GET", f"{family}/2.0{_ARTIFACTS}/{{path...}}", Access.READ)
        yield Route("PUT", f"{family}/2.0{_ARTIFACTS}/{{path...}}", Access.WRITE)
        yield Route("GET", f"{family}/3.0/mlflow/server-info", Access.READ)


MLFLOW_ROUTES: tuple[Route, ...] = (
    *_of_both_families(),
    # what only MLflow's pages ask for
    Route("GET", "/", Access.READ),
    Route("GET", "/static-files/{path...}", Access.READ),
    Route("GET", "/get-artifact", Access.READ),
    Route("GET", "/model-versions/get-artifact", Access.READ),
    Route("POST", "/graphql", Access.READ),
    Route("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk", Access.READ),
    Route("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", Access.READ),
    Route("GET", "/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files", Access.READ),
    # what probes and older clients ask for
    Route("GET", "/health", Access.OPEN),
    Route("GET", "/version", Access.OPEN),
)
