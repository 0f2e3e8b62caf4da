"""Overview: is everybody served, how fast, how quickly do the error budgets go, and what fills the memory."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana.boards.frame import Board, Section, link_to
from deploy.grafana.boards.panels import Panel, Query, lines, over_time, rows, single
from deploy.grafana.boards.style import (
    ANY_IS_BAD,
    BURN,
    BURNS,
    FAILED,
    FULL,
    GREEN,
    PLAIN,
    QUANTILES,
    SLOW,
    STATUS,
    About,
    Look,
)

QUIET = "No requests right now"
OF_MODEL = ("Open this model", link_to("headgate-model", model="${__field.labels.model}"))
_BUSIEST = "topk(10, sum by (model) (rate(headgate_requests_total[$__range] @ end())))"


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="headgate-overview",
        title="Headgate: overview",
        description="All models together: traffic, errors, latency, error budgets, memory, loads. Start here.",
        sections=(
            Section("Now", 4, [(panel, 4) for panel in _now()]),
            Section("Traffic", 9, _traffic()),
            Section("Latency and errors", 9, _latency()),
            Section("Error budgets: 99.9 % without a 5xx, 99 % within 250 ms, over 30 days", 9, _budgets()),
            Section("Memory and loads", 9, _memory()),
        ),
        links=(("Registry", "${registry:raw}/"),),
    )


def _now() -> Sequence[Panel]:
    rate = "sum(rate(headgate_requests_total[$__rate_interval]))"
    failed = 'sum(rate(headgate_requests_total{code="5xx"}[$__rate_interval])) or 0 * ' + rate
    slow = "histogram_quantile(0.99, sum by (le) (rate(headgate_request_seconds_bucket[$__rate_interval])))"
    firing = 'count(ALERTS{alertname=~"Headgate.*", alertstate="firing"}) or vector(0)'
    hour = "of the last hour; at 1 it lasts exactly 30 days, from 14.4 on somebody is paged."
    return (
        single(
            About("Requests", "Requests answered each second, by all nodes.", QUIET), [over_time(rate)], Look("reqps")
        ),
        single(
            About("Failed", "Share of requests answered with a 5xx. Refusals with 429 are not among them.", QUIET),
            [over_time(f"({failed}) / {rate}")],
            Look("percentunit", FAILED, decimals=2),
        ),
        single(
            About("p99", "99 % of successes were answered within this time, from the whole body on.", QUIET),
            [over_time(slow)],
            Look("s", SLOW),
        ),
        single(
            About("Errors' budget goes", f"Pace at which 5xx use up the error budget, {hour}", "No requests this hour"),
            [over_time("platform:headgate_error_burn:avg1h")],
            Look("suffix:×", BURN, decimals=1),
        ),
        single(
            About(
                "Latency's budget goes", f"Pace at which answers over 250 ms use it up, {hour}", "No requests this hour"
            ),
            [over_time("platform:headgate_latency_burn:avg1h")],
            Look("suffix:×", BURN, decimals=1),
        ),
        single(
            About("Alerts", "Alerts of ours that fire now; each has a runbook in docs/guides/runbooks."),
            [over_time(firing)],
            Look("none", ANY_IS_BAD),
        ),
    )


def _traffic() -> list[tuple[Panel, int]]:
    by_code = "sum by (code) (rate(headgate_requests_total[$__rate_interval]))"
    by_model = f"sum by (model) (rate(headgate_requests_total[$__rate_interval])) and on (model) {_BUSIEST}"
    refused = "sum by (reason) (rate(headgate_refused_total[$__rate_interval]))"
    return [
        (
            lines(
                About("Requests by status", "Requests each second by status class: 4xx are callers' mistakes.", QUIET),
                [over_time(by_code, "{{code}}")],
                Look("reqps", colours=STATUS, stacked=True),
            ),
            8,
        ),
        (
            lines(
                About("Requests by model", "The ten busiest models of the time shown.", QUIET),
                [over_time(by_model, "{{model}}")],
                Look("reqps", link=OF_MODEL),
            ),
            8,
        ),
        (
            lines(
                About(
                    "Refusals by reason",
                    "Requests refused with 429 or 503, or whose time was over before their turn.",
                    "Nothing was refused",
                ),
                [over_time(refused, "{{reason}}")],
                Look("reqps", stacked=True),
            ),
            8,
        ),
    ]


def _latency() -> list[tuple[Panel, int]]:
    buckets = "sum by (le) (rate(headgate_request_seconds_bucket[$__rate_interval]))"
    of_model = "sum by (model, le) (rate(headgate_request_seconds_bucket[$__rate_interval]))"
    failed = 'sum by (model) (rate(headgate_requests_total{code="5xx"}[$__rate_interval]))'
    share = f"{failed} / (sum by (model) (rate(headgate_requests_total[$__rate_interval])) > 0)"
    return [
        (
            lines(
                About("Latency", "Quantiles over all models, of successes. Dashed: 250 ms, the objective.", QUIET),
                [over_time(f"histogram_quantile({q}, {buckets})", name) for name, q in _QUANTILES],
                Look("s", ((None, GREEN), (0.25, QUANTILES["p99"])), colours=QUANTILES, limits=True),
            ),
            8,
        ),
        (
            lines(
                About("p99 by model", "The ten busiest models of the time shown.", QUIET),
                [over_time(f"histogram_quantile(0.99, {of_model}) and on (model) {_BUSIEST}", "{{model}}")],
                Look("s", SLOW, link=OF_MODEL),
            ),
            8,
        ),
        (
            lines(
                About("Failed by model", "Share of a model's requests answered with a 5xx.", "Nothing failed"),
                [over_time(share, "{{model}}")],
                Look("percentunit", FAILED, room=0.01, link=OF_MODEL),
            ),
            8,
        ),
    ]


_QUANTILES = (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"))


def _burns(kind: str) -> list[Query]:
    return [over_time(f"platform:headgate_{kind}_burn:avg{name.replace(' ', '')}", name) for name in BURNS]


def _budgets() -> list[tuple[Panel, int]]:
    look = Look("suffix:×", BURN, colours=BURNS, limits=True, room=7)
    said = "How many times faster than allowed the budget goes, averaged over each of these times. Dashed: 1, 6, 14.4."
    columns = {
        "Burn, 1 h": ("model:headgate_error_burn:avg1h", Look("suffix:×", BURN, decimals=1, highest=20)),
        "Requests/s": ("model:headgate_requests:rate5m", Look("reqps", PLAIN, decimals=1)),
        "Slow burn, 1 h": ("model:headgate_latency_burn:avg1h", Look("suffix:×", BURN, decimals=1)),
    }
    listed = About(
        "Models by burn", "The model whose error budget goes fastest stands first. Click it to see why.", QUIET
    )
    link = ("Model", "Open this model", link_to("headgate-model", model="${__value.raw}"))
    return [
        (lines(About("5xx", said, "No requests yet"), _burns("error"), look), 8),
        (lines(About("Over 250 ms", said, "No requests yet"), _burns("latency"), look), 8),
        (rows(listed, columns, {"model": "Model"}, "Burn, 1 h", link), 8),
    ]


def _memory() -> list[tuple[Panel, int]]:
    used = "sum(headgate_version_memory_bytes)"
    budget = "sum(headgate_memory_budget_bytes)"
    largest = "topk(10, sum by (model, version) (avg_over_time(headgate_version_memory_bytes[$__range] @ end())))"
    by_version = f"sum by (model, version) (headgate_version_memory_bytes) and on (model, version) {largest}"
    loads = "sum by (model) (rate(headgate_load_seconds_count[$__rate_interval])) * 60"
    slow = "histogram_quantile(0.95, sum by (le) (rate(headgate_load_seconds_bucket[$__rate_interval])))"
    return [
        (
            lines(
                About(
                    "Memory of loaded versions",
                    "Private memory of loaded versions, and what they may take. Versions of the same bytes share it.",
                ),
                [over_time(used, "used"), over_time(budget, "budget")],
                Look("bytes", FULL, {"used": "#5794F2", "budget": "#8E96A3"}),
            ),
            8,
        ),
        (
            lines(
                About("Memory by version", "The ten largest of the time shown, over all nodes.", "Nothing is loaded"),
                [over_time(by_version, "{{model}} {{version}}")],
                Look("bytes", stacked=True, link=OF_MODEL),
            ),
            8,
        ),
        (
            lines(
                About(
                    "Cold loads",
                    "Versions loaded each minute, by model; on the right, the p95 of how long it took.",
                    "Nothing was loaded lately",
                ),
                [over_time(f"{loads} > 0", "{{model}}"), over_time(slow, "p95")],
                Look("short", PLAIN, {"p95": QUANTILES["p95"]}, right=("p95", "s")),
            ),
            8,
        ),
    ]
