"""Drift: which features moved away from the baseline, since when, and whether what the model says moved, too."""

from __future__ import annotations

from deploy.grafana.boards.frame import Board, Section, label_variable
from deploy.grafana.boards.model import MODEL
from deploy.grafana.boards.panels import Panel, history, lines, now, over_time, ranked, rows, single, words
from deploy.grafana.boards.style import ANY_IS_BAD, DRIFT, GREEN, PLAIN, RED, VERDICT, YELLOW, About, Look

VERSION = label_variable(
    "version",
    'label_values(headgate_window_rows{model="$model"}, version)',
    "Versions of it of which a window was judged.",
)
NONE = "No window judged yet"
_V = 'model="$model", version="$version"'
_FEATURES = f'{_V}, feature!="prediction"'
_PREDICTION = f'{_V}, feature="prediction"'
_RATIO = "model_version_feature:headgate_drift_psi:of_critical"
_SAID = "PSI of the newest window ÷ its critical value: from 1 on, the feature drifted for certain."
_JSON = "${registry:raw}/registry/v1/models/${model}/versions/${version}"


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="headgate-drift",
        title="Headgate: drift",
        description="One version: how far its live rows are from its baseline, feature by feature, window by window.",
        sections=(
            Section("$model $version now", 4, _now()),
            Section("Features, the worst first", 13, _features()),
            Section("Over time", 11, _time()),
            Section("Missing values", 8, _missing()),
            Section("The prediction itself", 8, _prediction()),
        ),
        variables=(MODEL, VERSION),
        links=(
            ("Windows and bins (JSON)", f"{_JSON}/drift"),
            ("Baseline (JSON)", f"{_JSON}/baseline"),
            ("Model in MLflow", "${registry:raw}/#/models/${model}"),
        ),
        since="now-24h",
    )


def _now() -> list[tuple[Panel, int]]:
    drifting = f"sum(max by (feature) (headgate_drift_detected{{{_V}}}))"
    worst = f"max({_RATIO}{{{_FEATURES}}})"
    prediction = f"max({_RATIO}{{{_PREDICTION}}})"
    window = f"max(headgate_window_rows{{{_V}}})"
    missing = f"max(headgate_missing_ratio{{{_FEATURES}}})"
    share = Look("suffix:×", DRIFT, decimals=2)
    return [
        (
            single(
                About("Drifting", "Features, the prediction included, that drifted in the newest window.", NONE),
                [over_time(drifting)],
                Look("none", ANY_IS_BAD, texts={0: ("none", GREEN)}),
            ),
            4,
        ),
        (single(About("Worst feature", _SAID, NONE), [over_time(worst)], share), 4),
        (single(About("Prediction", _SAID, NONE), [over_time(prediction)], share), 4),
        (
            single(
                About("Window", "Rows of the newest window. More rows find smaller drift.", NONE),
                [over_time(window)],
                Look("short", PLAIN),
            ),
            4,
        ),
        (
            single(
                About("Most missing", "Largest share of missing values of any feature.", NONE),
                [over_time(missing)],
                Look("percentunit", ((None, GREEN), (0.1, YELLOW), (0.5, RED)), highest=1, decimals=1),
            ),
            4,
        ),
        (
            words(
                "How to read it",
                "PSI counts rows in the baseline's bins. Its **critical value** grows as windows shrink: chance alone "
                "does not alarm. Which bins moved: *Windows and bins* above.",
            ),
            4,
        ),
    ]


def _features() -> list[tuple[Panel, int]]:
    def value(name: str) -> str:
        return f"max by (feature) ({name}{{{_FEATURES}}})"

    verdicts = {0.0: ("ok", GREEN), 1.0: ("warn", YELLOW), 2.0: ("drift", RED)}
    verdict = f"{value('headgate_drift_warned')} + {value('headgate_drift_detected')}"
    columns = {
        "PSI ÷ critical": (value(_RATIO), Look("short", DRIFT, decimals=2, highest=2)),
        "Verdict": (verdict, Look("none", VERDICT, texts=verdicts)),
        "PSI": (value("headgate_drift_psi"), Look("short", PLAIN, decimals=3)),
        "JS": (value("headgate_drift_js"), Look("short", PLAIN, decimals=3)),
        "KS": (value("headgate_drift_ks"), Look("short", PLAIN, decimals=3)),
        "Wasserstein ÷ σ": (value("headgate_drift_wasserstein"), Look("short", PLAIN, decimals=3)),
        "Missing": (value("headgate_missing_ratio"), Look("percentunit", PLAIN, decimals=1)),
    }
    bars = f"sort_desc(topk(20, {value(_RATIO)}))"
    return [
        (
            ranked(
                About("PSI ÷ critical value", f"The twenty worst features. {_SAID}", NONE),
                [now(bars, "{{feature}}")],
                Look("short", DRIFT, highest=2, decimals=2),
            ),
            9,
        ),
        (
            rows(
                About(
                    "All measures",
                    "JS distance, KS and Wasserstein distance in the baseline's standard deviations.",
                    NONE,
                ),
                columns,
                {"feature": "Feature"},
                "PSI ÷ critical",
            ),
            15,
        ),
    ]


def _time() -> list[tuple[Panel, int]]:
    worst = f"topk(25, max by (feature) (max_over_time({_RATIO}{{{_FEATURES}}}[$__range] @ end())))"
    every = f"max by (feature) ({_RATIO}{{{_FEATURES}}})"
    # A field is many windows wide where the time is long: none that drifted may fall between two.
    kept = f"max by (feature) (max_over_time({_RATIO}{{{_FEATURES}}}[$__rate_interval]))"
    ten = worst.replace("topk(25", "topk(10")
    return [
        (
            history(
                About("Heat map", f"The 25 worst features of the time shown, window by window. {_SAID}", NONE),
                [over_time(f"{kept} and on (feature) {worst}", "{{feature}}")],
                Look("short", DRIFT, decimals=2),
            ),
            14,
        ),
        (
            lines(
                About("The ten worst", f"{_SAID} Dashed: 1.", NONE),
                [over_time(f"{every} and on (feature) {ten}", "{{feature}}")],
                Look("suffix:×", ((None, GREEN), (1, RED)), limits=True, steps=True, room=1.2),
            ),
            10,
        ),
    ]


def _missing() -> list[tuple[Panel, int]]:
    every = f"max by (feature) (headgate_missing_ratio{{{_FEATURES}}})"
    worst = f"topk(10, max by (feature) (max_over_time(headgate_missing_ratio{{{_FEATURES}}}[$__range] @ end())))"
    return [
        (
            lines(
                About("Missing values", "Share of a feature's values that are missing: the ten worst.", NONE),
                [over_time(f"{every} and on (feature) {worst}", "{{feature}}")],
                Look("percentunit", highest=1, steps=True),
            ),
            16,
        ),
        (
            lines(
                About(
                    "Rows in a window",
                    "A window closes at its number of rows and of minutes, whichever is later.",
                    NONE,
                ),
                [over_time(f"max(headgate_window_rows{{{_V}}})", "rows")],
                Look("short", steps=True),
            ),
            8,
        ),
    ]


def _prediction() -> list[tuple[Panel, int]]:
    measures = (("JS", "js"), ("KS", "ks"), ("Wasserstein ÷ σ", "wasserstein"), ("PSI", "psi"))
    return [
        (
            lines(
                About("PSI ÷ critical value", "What the model says against what it said of its training data.", NONE),
                [over_time(f"max({_RATIO}{{{_PREDICTION}}})", "prediction")],
                Look("suffix:×", ((None, GREEN), (1, RED)), limits=True, steps=True, room=1.2),
            ),
            12,
        ),
        (
            lines(
                About("Distances of its distribution", "How far the distribution of the predictions has moved.", NONE),
                [over_time(f"max(headgate_drift_{key}{{{_PREDICTION}}})", name) for name, key in measures],
                Look("short", steps=True),
            ),
            12,
        ),
    ]
