"""Platform: nodes and what they hold, admission, what they report, batch jobs, caches, the registry's own answers."""

from __future__ import annotations

from deploy.grafana.boards.frame import Board, Section
from deploy.grafana.boards.panels import Panel, lines, over_time, single
from deploy.grafana.boards.style import (
    AGE,
    ANY_IS_BAD,
    ANY_IS_ODD,
    FULL,
    GREEN,
    NONE_IS_BAD,
    OUTCOMES,
    PLAIN,
    QUANTILES,
    RED,
    STATES,
    STATUS,
    About,
    Look,
)

_DOWN = 'count(up{job=~"registry|serving"} == 0) or 0 * count(up{job=~"registry|serving"})'
_UP = 'sum by (job) (up{job=~"registry|serving"})'
_WAITING = 'max(sum by (instance) (headgate_registered_versions{state=~"pending|checking"}))'


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="headgate-platform",
        title="Headgate: platform",
        description="What the models run on: nodes, memory, caches, admission, reports, jobs, the registry.",
        sections=(
            Section("Now", 4, _now()),
            Section("Nodes", 8, _nodes()),
            Section("What nodes hear and say", 8, _reports()),
            Section("Memory, caches, processes", 8, [*_memory(), *_processes()]),
            Section("Admission and batch jobs", 8, _queues()),
            Section("Registry", 8, _registry()),
        ),
        links=(("Nodes (JSON)", "${registry:raw}/registry/v1/nodes"), ("Registry", "${registry:raw}/")),
    )


def _now() -> list[tuple[Panel, int]]:
    memory = "sum(headgate_version_memory_bytes) / sum(headgate_memory_budget_bytes)"
    quarantined = 'sum(headgate_versions{state="quarantined"})'
    panels = (
        single(
            About("Nodes", "Serving nodes that the registry heard of in the last minute.", "No registry answers"),
            [over_time("max(headgate_nodes)")],
            Look("none", NONE_IS_BAD),
        ),
        single(
            About("Targets down", "Processes that do not answer Prometheus.", "Prometheus asks nobody"),
            [over_time(_DOWN)],
            Look("none", ANY_IS_BAD),
        ),
        single(
            About("Oldest snapshot", "Since when the node that is furthest behind has not heard of changes."),
            [over_time("max(headgate_snapshot_age_seconds)")],
            Look("s", AGE),
        ),
        single(
            About("Memory", "Private memory of loaded versions, of the budget of all nodes.", "Nothing is loaded"),
            [over_time(memory)],
            Look("percentunit", FULL, highest=1, decimals=0),
        ),
        single(
            About("Quarantined", "Versions that crashed too often and wait for an operator, over all nodes."),
            [over_time(quarantined)],
            Look("none", ANY_IS_BAD),
        ),
        single(
            About("Wait for admission", "Versions that are pending or being checked."),
            [over_time(_WAITING)],
            Look("none", ((None, GREEN), (1, "#5794F2"), (10, RED))),
        ),
    )
    return [(panel, 4) for panel in panels]


def _nodes() -> list[tuple[Panel, int]]:
    return [
        (
            lines(
                About("Nodes", "Nodes that the registry heard of, and targets that answer Prometheus."),
                [over_time("max(headgate_nodes)", "nodes"), over_time(_UP, "up: {{job}}")],
                Look("none", steps=True),
            ),
            8,
        ),
        (
            lines(
                About("Versions by state", "Versions on all nodes by where they stand; cold ones load when asked for."),
                [over_time("sum by (state) (headgate_versions)", "{{state}}")],
                Look("none", colours=STATES, stacked=True, steps=True),
            ),
            8,
        ),
        (
            lines(
                About("Plans that wait", "Models whose newest plan waits for a version to be loaded on a node."),
                [over_time("sum by (instance) (headgate_plans_waiting)", "{{instance}}")],
                Look("none", ANY_IS_ODD, steps=True),
            ),
            8,
        ),
    ]


def _reports() -> list[tuple[Panel, int]]:
    newest = "scalar(max(headgate_snapshot_revision))"
    behind = f'{newest} - min by (instance) (headgate_snapshot_revision{{job="serving"}})'
    lost = "sum by (instance, reason) (increase(headgate_counts_lost_total[$__rate_interval]))"
    return [
        (
            lines(
                About("Age of the snapshot", "Time since the registry last confirmed it. Dashed: 5 min, the alert."),
                [over_time("max by (instance) (headgate_snapshot_age_seconds)", "{{instance}}")],
                Look("s", ((None, GREEN), (300, RED)), limits=True, room=310),
            ),
            6,
        ),
        (
            lines(
                About("Revisions behind", "How many revisions of the snapshot a node has yet to hear of."),
                [over_time(behind, "{{instance}}")],
                Look("none", ANY_IS_ODD, steps=True),
            ),
            6,
        ),
        (
            lines(
                About("Age of the last report", "Time since the registry last took a node's counts."),
                [over_time("max by (instance) (headgate_report_age_seconds)", "{{instance}}")],
                Look("s", AGE),
            ),
            6,
        ),
        (
            lines(
                About("Counts lost", "Requests that evidence and drift will never hear of.", "No counts were lost"),
                [over_time(lost, "{{instance}} {{reason}}")],
                Look("short", ANY_IS_BAD),
            ),
            6,
        ),
    ]


def _memory() -> list[tuple[Panel, int]]:
    used = "sum by (instance) (headgate_version_memory_bytes)"
    budget = "sum by (instance) (headgate_memory_budget_bytes)"
    unloads = "sum by (reason) (rate(headgate_unloads_total[$__rate_interval])) * 60"
    ended = "sum by (instance, reason) (increase(headgate_host_restarts_total[$__rate_interval]))"
    readers = "sum by (instance, reason) (increase(headgate_table_readers_lost_total[$__rate_interval]))"
    return [
        (
            lines(
                About("Memory by node", "Share of each node's budget that loaded versions take.", "Nothing is loaded"),
                [over_time(f"{used} / {budget}", "{{instance}}")],
                Look("percentunit", FULL, highest=1, limits=True),
            ),
            6,
        ),
        (
            lines(
                About("Artifacts on disk", "Bytes of artifacts in each node's cache."),
                [over_time("max by (instance) (headgate_artifact_cache_bytes)", "{{instance}}")],
                Look("bytes"),
            ),
            6,
        ),
        (
            lines(
                About("Unloads", "Versions unloaded each minute, by reason.", "Nothing was unloaded"),
                [over_time(unloads, "{{reason}}")],
                Look("short", stacked=True),
            ),
            6,
        ),
        (
            lines(
                About(
                    "Processes that ended", "Of versions, by themselves; of table readers, by a body.", "None has ended"
                ),
                [over_time(ended, "{{instance}} {{reason}}"), over_time(readers, "{{instance}} reader {{reason}}")],
                Look("none", ANY_IS_BAD),
            ),
            6,
        ),
    ]


def _processes() -> list[tuple[Panel, int]]:
    failed = "sum by (model, version, code) (increase(headgate_load_failures_total[$__rate_interval])) > 0"
    return [
        (
            lines(
                About("Loads that failed", "By version and the error's code.", "No load failed"),
                [over_time(failed, "{{model}} {{version}} {{code}}")],
                Look("none", ANY_IS_BAD),
            ),
            8,
        ),
        (
            lines(
                About("Resident memory", "Of the serving and registry processes themselves, without their models'."),
                [over_time("sum by (job, instance) (process_resident_memory_bytes)", "{{job}} {{instance}}")],
                Look("bytes"),
            ),
            8,
        ),
        (
            lines(
                About("Processors", "Cores that the serving and registry processes themselves use."),
                [
                    over_time(
                        "sum by (job, instance) (rate(process_cpu_seconds_total[$__rate_interval]))",
                        "{{job}} {{instance}}",
                    )
                ],
                Look("short", decimals=2),
            ),
            8,
        ),
    ]


def _queues() -> list[tuple[Panel, int]]:
    verdicts = "sum by (verdict) (rate(headgate_admissions_total[$__rate_interval])) * 60"
    took = "sum by (le) (rate(headgate_admission_seconds_bucket[30m]))"
    waiting = 'max by (state) (headgate_registered_versions{state=~"pending|checking"})'
    return [
        (
            lines(
                About("Admissions", "Versions admitted or rejected each minute."),
                [over_time(verdicts, "{{verdict}}")],
                Look("short", colours=STATES, stacked=True),
            ),
            6,
        ),
        (
            lines(
                About("Time to admit", "From an admission's claim to its verdict.", "Nothing was admitted lately"),
                [over_time(f"histogram_quantile({q}, {took})", name) for name, q in (("p50", "0.5"), ("p95", "0.95"))],
                Look("s", colours=QUANTILES),
            ),
            6,
        ),
        (
            lines(
                About("Wait for admission", "Versions that are pending or being checked."),
                [over_time(waiting, "{{state}}")],
                Look("none", colours=STATES, stacked=True, steps=True),
            ),
            6,
        ),
        (
            lines(
                About("Batch jobs", "Jobs by state.", "No batch jobs"),
                [over_time("max by (state) (headgate_jobs)", "{{state}}")],
                Look("none", PLAIN, colours={**STATES, **OUTCOMES}, stacked=True, steps=True),
            ),
            6,
        ),
    ]


def _registry() -> list[tuple[Panel, int]]:
    answered = "sum by (code) (rate(headgate_http_requests_total[$__rate_interval]))"
    polled = 'headgate_http_request_seconds_bucket{route!~".*/snapshot"}'
    slow = f"topk(10, histogram_quantile(0.95, sum by (route, le) (rate({polled}[$__rate_interval]))))"
    turns = 'sum by (task, outcome) (rate(headgate_background_turns_total{outcome!="done"}[$__rate_interval])) * 60'
    done = "time() - max by (task) (headgate_background_done_timestamp_seconds)"
    return [
        (
            lines(
                About("Requests by status", "Requests that the registry answered each second, MLflow's included."),
                [over_time(answered, "{{code}}")],
                Look("reqps", colours=STATUS, stacked=True),
            ),
            6,
        ),
        (
            lines(
                About("p95 by route", "The ten slowest routes; the long poll of nodes is left out."),
                [over_time(slow, "{{route}}")],
                Look("s"),
            ),
            6,
        ),
        (
            lines(
                About(
                    "Turns that failed", "Turns of its own tasks that could not be done, each minute.", "All turns done"
                ),
                [over_time(turns, "{{task}} {{outcome}}")],
                Look("short", ANY_IS_BAD),
            ),
            6,
        ),
        (
            lines(
                About("Turns: since the last", "Time since each of its own tasks last did its work."),
                [over_time(done, "{{task}}")],
                Look("s"),
            ),
            6,
        ),
    ]
