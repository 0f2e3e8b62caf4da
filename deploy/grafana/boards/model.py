"""Model: the canary against stable and the shadow, where the time goes, batches, processes, live quality."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana.boards.frame import Board, Section, label_variable, link_to
from deploy.grafana.boards.panels import Panel, heat, lines, now, over_time, single
from deploy.grafana.boards.style import (
    ANY_IS_BAD,
    ARMS,
    FAILED,
    GREEN,
    OUTCOMES,
    PLAIN,
    RED,
    SLOW,
    STAGES,
    YELLOW,
    About,
    Look,
)

MODEL = label_variable("model", "label_values(headgate_plan_revision, model)", "Models that have a plan.")
# Several, and so not called as on *Drift*: links hand over what is chosen.
VERSIONS = label_variable(
    "versions",
    'label_values(headgate_request_seconds_count{model="$model"}, version)',
    "Versions of it that have answered. Arms show what they answer for, whichever is chosen.",
    several=True,
)
QUIET = "No requests right now"
NO_LABELS = "No labels yet: send them to POST /models/…/feedback"
_M = 'model="$model"'
_V = 'model="$model", version=~"$versions"'
_STABLE_AND_CANARY = f"model_version:headgate_arm:main{{{_M}}}"


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="headgate-model",
        title="Headgate: model",
        description="One model: its canary against stable and shadow, where the time goes, batches, quality by labels.",
        sections=(
            Section("$model now", 4, _now()),
            Section("Canary against stable", 9, _arms()),
            Section("Shadow", 8, _shadow()),
            Section("Where the time goes", 9, _stages()),
            Section("Batches and processes", 8, _batches()),
            Section("Quality, by the labels that came", 9, _quality()),
        ),
        variables=(MODEL, VERSIONS),
        links=(
            ("Model in MLflow", "${registry:raw}/#/models/${model}"),
            ("Traffic (JSON)", "${registry:raw}/registry/v1/models/${model}/traffic"),
        ),
    )


def _answering(arm: str) -> str:
    return f'topk(1, sum by (version) (rate(headgate_requests_total{{{_M}, arm="{arm}"}}[$__rate_interval])) > 0)'


def _now() -> list[tuple[Panel, int]]:
    rate = f"sum(rate(headgate_requests_total{{{_M}}}[$__rate_interval]))"
    failed = f'(sum(rate(headgate_requests_total{{{_M}, code="5xx"}}[$__rate_interval])) or 0 * {rate}) / {rate}'
    share = f'sum(rate(headgate_requests_total{{{_M}, arm="canary"}}[$__rate_interval])) / {rate}'
    slow = f"histogram_quantile(0.99, sum by (le) (rate(headgate_request_seconds_bucket{{{_M}}}[$__rate_interval])))"
    drifting = f"sum(max by (version, feature) (headgate_drift_detected{{{_M}}}))"
    drift = ("Open drift", link_to("headgate-drift", model="${model}"))
    arms = (
        single(
            About("Stable", "The version that answers as stable.", QUIET),
            [now(_answering("stable"), "version {{version}}")],
            Look(levels=((None, ARMS["stable"]),)),
            name=True,
        ),
        single(
            About("Canary", "The version that answers as canary.", "No canary right now"),
            [now(_answering("canary"), "version {{version}}")],
            Look(levels=((None, ARMS["canary"]),)),
            name=True,
        ),
        single(
            About("Canary's share", "Share of the requests that the canary answers.", "No canary right now"),
            [over_time(share)],
            Look("percentunit", ((None, ARMS["canary"]),), highest=1, decimals=1),
        ),
    )
    numbers = (
        single(
            About("Requests", "Requests answered each second, by all arms.", QUIET), [over_time(rate)], Look("reqps")
        ),
        single(
            About("Failed", "Share of its requests answered with a 5xx.", QUIET),
            [over_time(failed)],
            Look("percentunit", FAILED, decimals=2),
        ),
        single(About("p99", "99 % of successes were answered within it.", QUIET), [over_time(slow)], Look("s", SLOW)),
        single(
            About(
                "Drifting features",
                "Features that drifted in the newest window of any version.",
                "No window judged yet",
            ),
            [over_time(drifting)],
            Look("none", ANY_IS_BAD, link=drift),
        ),
        single(
            About("Plan", "Revision of the plan in force. Nodes that differ have yet to follow.", "No plan"),
            [over_time(f"max(headgate_plan_revision{{{_M}}})")],
            Look("none", PLAIN),
        ),
    )
    return [(panel, 3) for panel in (*arms, *numbers)]


def _arms() -> list[tuple[Panel, int]]:
    by_arm = f"sum by (arm) (rate(headgate_requests_total{{{_M}}}[$__rate_interval]))"
    failed = f'sum by (arm) (rate(headgate_requests_total{{{_M}, code="5xx"}}[$__rate_interval]))'
    buckets = f"sum by (model, version, le) (rate(headgate_request_seconds_bucket{{{_M}}}[$__rate_interval]))"

    def of_arm(quantile: str) -> str:
        joined = f"on (model, version) group_left (arm) {_STABLE_AND_CANARY}"
        return f"histogram_quantile({quantile}, {buckets}) * {joined}"

    return [
        (
            lines(
                About("Requests by arm", "Which part of the plan answered, each second.", QUIET),
                [over_time(by_arm, "{{arm}}")],
                Look("reqps", colours=ARMS, stacked=True),
            ),
            8,
        ),
        (
            lines(
                About("Failed by arm", "Share of an arm's requests answered with a 5xx.", "Nothing failed"),
                [over_time(f"({failed} or 0 * {by_arm}) / ({by_arm} > 0)", "{{arm}}")],
                Look("percentunit", FAILED, colours=ARMS, room=0.01),
            ),
            8,
        ),
        (
            lines(
                About(
                    "p50 and p99 of stable and canary", "By version, under the arm that it mostly answers for.", QUIET
                ),
                [
                    over_time(of_arm("0.99"), "{{arm}} {{version}} p99"),
                    over_time(of_arm("0.5"), "{{arm}} {{version}} p50"),
                ],
                Look("s", SLOW, colours=ARMS),
            ),
            8,
        ),
    ]


def _shadow() -> list[tuple[Panel, int]]:
    copies = f"sum by (version, outcome) (rate(headgate_shadow_total{{{_M}}}[$__rate_interval]))"
    differs = f"max by (version) (headgate_shadow_difference{{{_M}}})"
    none = "No shadow right now"
    return [
        (
            lines(
                About("Copies by what became of them", "Copies of requests for a shadow: nobody waits for them.", none),
                [over_time(copies, "{{outcome}} {{version}}")],
                Look("reqps", colours=OUTCOMES, stacked=True),
            ),
            12,
        ),
        (
            lines(
                About(
                    "Share that differs", "Share of the last 1,000 or so compared answers with any other value.", none
                ),
                [over_time(differs, "shadow {{version}}")],
                Look("percentunit", ((None, GREEN), (0.01, YELLOW), (0.1, RED)), colours=ARMS, highest=1),
            ),
            12,
        ),
    ]


def _stages() -> list[tuple[Panel, int]]:
    total = f"sum by (stage) (rate(headgate_stage_seconds_sum{{{_V}}}[$__rate_interval]))"
    count = f"(sum by (stage) (rate(headgate_stage_seconds_count{{{_V}}}[$__rate_interval])) > 0)"
    buckets = f"sum by (stage, le) (rate(headgate_stage_seconds_bucket{{{_V}}}[$__rate_interval]))"
    spread = f"sum by (le) (increase(headgate_request_seconds_bucket{{{_V}}}[$__rate_interval]))"
    return [
        (
            lines(
                About("Mean time by stage", "Queue is the wait for the version; predict what the model takes.", QUIET),
                [over_time(f"{total} / {count}", "{{stage}}")],
                Look("s", colours=STAGES, stacked=True),
            ),
            8,
        ),
        (
            lines(
                About("p99 by stage", "The slowest hundredth of each stage; they do not add up.", QUIET),
                [over_time(f"histogram_quantile(0.99, {buckets})", "{{stage}}")],
                Look("s", SLOW, colours=STAGES),
            ),
            8,
        ),
        (heat(About("Latencies", "How many successes took how long.", QUIET), over_time(spread), Look("s")), 8),
    ]


def _batches() -> list[tuple[Panel, int]]:
    total = f"sum by (version) (rate(headgate_batch_rows_sum{{{_V}}}[$__rate_interval]))"
    count = f"(sum by (version) (rate(headgate_batch_rows_count{{{_V}}}[$__rate_interval])) > 0)"
    buckets = f"sum by (version, le) (rate(headgate_batch_rows_bucket{{{_V}}}[$__rate_interval]))"
    ended = f"sum by (version, reason) (increase(headgate_host_restarts_total{{{_V}}}[$__rate_interval]))"
    return [
        (
            lines(
                About(
                    "Rows in a batch", "Rows that the model got at once: the mean, and the p95.", "No batch right now"
                ),
                [
                    over_time(f"{total} / {count}", "version {{version}} mean"),
                    over_time(f"histogram_quantile(0.95, {buckets})", "version {{version}} p95"),
                ],
                Look("short"),
            ),
            6,
        ),
        (
            lines(
                About("Rows that wait", "Rows in the version's queue, over all nodes.", "Nothing is loaded"),
                [over_time(f"sum by (version) (headgate_queue_rows{{{_V}}})", "version {{version}}")],
                Look("short"),
            ),
            6,
        ),
        (
            lines(
                About("Memory", "Private memory of its loaded versions, over all nodes.", "Nothing is loaded"),
                [over_time(f"sum by (version) (headgate_version_memory_bytes{{{_V}}})", "version {{version}}")],
                Look("bytes", stacked=True),
            ),
            6,
        ),
        (
            lines(
                About(
                    "Processes that ended", "Ended by themselves: while serving, or while loading.", "None has ended"
                ),
                [over_time(ended, "version {{version}} {{reason}}")],
                Look("none", ANY_IS_BAD),
            ),
            6,
        ),
    ]


def _quality() -> Sequence[tuple[Panel, int]]:
    of = f"{_V}, metric=~"
    by = "max by (arm, version, metric)"
    scores = f'{by} (headgate_quality{{{of}"accuracy|precision|recall|f1|auc|r2"}})'
    errors = f'{by} (headgate_quality{{{of}"log_loss|calibration_error|mae|rmse"}})'
    covered = f"max by (version) (headgate_label_coverage_ratio{{{_V}}})"
    legend = "{{arm}} {{version}} {{metric}}"
    return [
        (
            lines(
                About("Scores", "Larger is better: accuracy, precision, recall, F1, AUC, R².", NO_LABELS),
                [over_time(scores, legend)],
                Look("percentunit", colours=ARMS, lowest=None, highest=1),
            ),
            9,
        ),
        (
            lines(
                About("Errors and losses", "Smaller is better: log loss, calibration error, MAE, RMSE.", NO_LABELS),
                [over_time(errors, legend)],
                Look("short", colours=ARMS),
            ),
            9,
        ),
        (
            lines(
                About("Label coverage", "Share of kept predictions whose label has come.", NO_LABELS),
                [over_time(covered, "version {{version}}")],
                Look("percentunit", highest=1),
            ),
            6,
        ),
    ]
