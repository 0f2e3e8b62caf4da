"""Rollouts: which go on, how far they are, what speaks against them, and how they ended."""

from __future__ import annotations

from deploy.grafana.boards.frame import Board, Section, label_variable, link_to
from deploy.grafana.boards.panels import Panel, lines, now, over_time, ranked, rows, single
from deploy.grafana.boards.style import (
    ANY_IS_BAD,
    ANY_IS_ODD,
    ARMS,
    EVIDENCE,
    FAILED,
    GOOD,
    OUTCOMES,
    PLAIN,
    About,
    Look,
)

# Not called as on the other boards: links hand over what is chosen, and "all" is nothing that those could show.
MODELS = label_variable(
    "models", "label_values(headgate_plan_revision, model)", "Models that have a plan.", several=True
)
NONE = "No rollout right now"
_M = 'model=~"$models"'
_SAID = "Log of the e-value over its limit: at 1 the rollout fails, below 0 the canary looks better than allowed."
OF_MODEL = ("Open this model", link_to("headgate-model", model="${__field.labels.model}"))


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="headgate-rollouts",
        title="Headgate: rollouts",
        description="Rollouts of all models or some: share, evidence, outcomes. What each decided is in the journal.",
        sections=(
            Section("Now", 4, _now()),
            Section("Going on", 10, _going_on()),
            Section("Canaries against stable", 9, _canaries()),
            Section("Outcomes", 8, _outcomes()),
        ),
        variables=(MODELS,),
        links=(("Models (JSON)", "${registry:raw}/registry/v1/models"),),
    )


def _ended(outcome: str) -> str:
    """Return an expression for rollouts that ended so in the time shown; a series that began in it counts, too."""
    counter = f'headgate_rollouts_total{{{_M}, outcome="{outcome}"}}'
    begun = f"sum({counter} unless last_over_time({counter}[$__range] offset $__range)) or vector(0)"
    return f"sum(increase({counter}[$__range])) + ({begun}) or vector(0)"


def _now() -> list[tuple[Panel, int]]:
    going_on = f"count(max by (model, version) (headgate_rollout_share_ratio{{{_M}}})) or vector(0)"
    worst = f"max(headgate_rollout_evidence{{{_M}}})"
    ends = (("Succeeded", GOOD), ("Failed", ANY_IS_BAD), ("Aborted", ANY_IS_ODD), ("Expired", ANY_IS_ODD))
    ended = [
        single(
            About(title, f"Rollouts that {title.lower()} in the time shown."),
            [now(_ended(title.lower()))],
            Look("none", levels, decimals=0),
        )
        for title, levels in ends
    ]
    first = (
        single(About("Going on", "Rollouts that are running or paused."), [over_time(going_on)], Look("none", PLAIN)),
        single(
            About("Worst evidence", _SAID, NONE), [over_time(worst)], Look("short", EVIDENCE, decimals=2, lowest=None)
        ),
    )
    return [(panel, 4) for panel in (*first, *ended)]


def _going_on() -> list[tuple[Panel, int]]:
    share = f"max by (model, version) (headgate_rollout_share_ratio{{{_M}}})"
    evidence = f"max by (model, version, metric) (headgate_rollout_evidence{{{_M}}})"
    columns = {
        "Evidence": (f"max by (model, version) ({evidence})", Look("short", EVIDENCE, decimals=2, highest=1)),
        "Share": (share, Look("percentunit", ((None, ARMS["canary"]),), decimals=1)),
    }
    keys = {"model": "Model", "version": "Version"}
    link = ("Model", "Open this model", link_to("headgate-model", model="${__value.raw}"))
    return [
        (
            lines(
                About("Share", "Share of the requests that a rollout gives its version: it rises step by step.", NONE),
                [over_time(share, "{{model}} {{version}}")],
                Look("percentunit", highest=1, steps=True, link=OF_MODEL),
            ),
            8,
        ),
        (
            lines(
                About("Evidence against the canary", f"{_SAID} Dashed: 0.5 and 1.", NONE),
                [over_time(evidence, "{{model}} {{version}} {{metric}}")],
                Look("short", EVIDENCE, limits=True, lowest=None, room=1.1, link=OF_MODEL),
            ),
            8,
        ),
        (rows(About("Rollouts", "The one closest to its end stands first.", NONE), columns, keys, "Evidence", link), 8),
    ]


def _canaries() -> list[tuple[Panel, int]]:
    requests = f'sum by (model, arm) (rate(headgate_requests_total{{{_M}, arm=~"stable|canary"}}[$__rate_interval]))'
    failed = requests.replace('arm=~"stable|canary"', 'arm=~"stable|canary", code="5xx"')
    canaried = f'(sum by (model) (rate(headgate_requests_total{{{_M}, arm="canary"}}[$__rate_interval])) > 0)'
    share = f"({failed} or 0 * {requests}) / ({requests} > 0) and on (model) {canaried}"
    buckets = f"sum by (model, version, le) (rate(headgate_request_seconds_bucket{{{_M}}}[$__rate_interval]))"
    arm = f"on (model, version) group_left (arm) model_version:headgate_arm:main{{{_M}}}"
    slow = f"histogram_quantile(0.99, {buckets}) * {arm} and on (model) {canaried}"
    none = "No canary right now"
    return [
        (
            lines(
                About("Failed", "Share of 5xx of stable and canary, of models that have one.", none),
                [over_time(share, "{{arm}} {{model}}")],
                Look("percentunit", FAILED, colours=ARMS, room=0.01),
            ),
            12,
        ),
        (
            lines(
                About("p99", "Of the versions that are stable and canary, of models that have one.", none),
                [over_time(slow, "{{arm}} {{model}} {{version}}")],
                Look("s", colours=ARMS),
            ),
            12,
        ),
    ]


def _outcomes() -> list[tuple[Panel, int]]:
    ended = f"sum by (outcome) (headgate_rollouts_total{{{_M}}})"
    failed = f'sort_desc(topk(10, sum by (model) (headgate_rollouts_total{{{_M}, outcome="failed"}}) > 0))'
    changes = f"sum by (model) (changes(max by (model) (headgate_plan_revision{{{_M}}})[$__range:1m])) > 0"
    return [
        (
            lines(
                About(
                    "Ended, by outcome", "Rollouts that have ended since the registry started.", "None has ended yet"
                ),
                [over_time(ended, "{{outcome}}")],
                Look("none", colours=OUTCOMES, stacked=True, steps=True),
            ),
            8,
        ),
        (
            ranked(
                About("Failed, by model", "Since the registry started.", "No rollout failed"),
                [now(failed, "{{model}}")],
                Look("none", ANY_IS_BAD, decimals=0),
            ),
            8,
        ),
        (
            ranked(
                About("Plan changes, by model", "How often a plan changed in the time shown.", "No plan changed"),
                [now(f"sort_desc(topk(10, {changes}))", "{{model}}")],
                Look("none", PLAIN, decimals=0),
            ),
            8,
        ),
    ]
