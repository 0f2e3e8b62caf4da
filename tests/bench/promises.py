"""What was promised, beside what was measured: a table that says MISSED where a figure misses its bound.

Bounds are what the project set out to do; they are never loosened to fit a figure. Not here: measuring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """One figure that was promised: at most or at least ``bound``, in ``unit``."""

    figure: str
    bound: float
    unit: str
    at_least: bool = False

    def kept(self, value: float) -> bool:
        """Tell whether ``value`` keeps it; what is no number does not."""
        return value >= self.bound if self.at_least else value <= self.bound

    @property
    def words(self) -> str:
        """The bound, to be read."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}".rstrip()


PROMISES = (
    Promise("serving_ready_seconds", 1.5, "s"),
    Promise("serving_idle_mb", 120, "MB"),
    Promise("registry_ready_seconds", 8, "s"),
    Promise("registry_idle_mb", 350, "MB"),
    Promise("second_make_up_seconds", 12, "s"),
    Promise("log_model_to_answer_seconds", 5, "s"),
    Promise("sealing_large_mb_per_s", 100, "MB/s", at_least=True),
    Promise("sealing_peak_memory_mb", 200, "MB"),
    Promise("inline_over_handler_32", 0.9, "×", at_least=True),
    Promise("inline_over_handler_1", 0.8, "×", at_least=True),
    Promise("rows_json_logistic_over_own", 2.5, "×"),
    Promise("rows_json_forest_over_own", 2.5, "×"),
    Promise("rows_json_scaled_over_own", 2.5, "×"),
    Promise("rows_arrow_logistic_over_own", 1.3, "×"),
    Promise("rows_arrow_forest_over_own", 1.3, "×"),
    Promise("rows_arrow_scaled_over_own", 1.3, "×"),
    Promise("oip_json_over_native_32", 0.85, "×", at_least=True),
    Promise("oip_binary_over_json_1000_rows", 3, "×", at_least=True),
    Promise("oip_binary_16mb_copies", 2, "×"),
    Promise("cold_first_answer_p50_ms", 60, "ms"),
    Promise("cold_first_answer_p99_ms", 150, "ms"),
    Promise("logistic_private_mb", 15, "MB"),
    Promise("forest_private_mb", 35, "MB"),
    Promise("after_unloading_mb", 2, "MB"),
    Promise("hot_p99_while_loading_over_alone", 1.5, "×"),
    Promise("swap_effect_p99_seconds", 1, "s"),
    Promise("swap_not_200", 0, ""),
    Promise("swap_p99_over_alone", 1.5, "×"),
    Promise("scrape_ms_1000_versions", 100, "ms"),
    Promise("registry_scrape_ms_1000_versions", 100, "ms"),
    Promise("churn_undocumented_answers", 0, ""),
    Promise("churn_memory_over_budget", 1.15, "×"),
    Promise("churn_descriptors_grown", 0, ""),
    Promise("churn_threads_grown", 0, ""),
    Promise("monitoring_throughput_ratio", 0.95, "×", at_least=True),
    Promise("monitor_row_microseconds", 1, "µs"),
    Promise("monitor_wide_memory_mb", 20, "MB"),
    Promise("logistic_over_mlserver_32", 8, "×", at_least=True),
    Promise("logistic_over_mlserver_1", 1.5, "×", at_least=True),
    Promise("forest_over_mlserver_32", 10, "×", at_least=True),
    Promise("forest_over_pytriton_32", 1.3, "×", at_least=True),
    Promise("scaled_over_mlflow_1", 1.5, "×", at_least=True),
    Promise("scaled_over_mlflow_32", 8, "×", at_least=True),
)


def table(
    figures: Mapping[str, float], promises: tuple[Promise, ...] = PROMISES, *, everything: bool = True
) -> Iterator[str]:
    """Yield the lines of the table: each figure, and the promise that it keeps or misses.

    ``everything`` also shows figures that nobody promised.
    """
    bounds = {promise.figure: promise for promise in promises}
    yield f"{'figure':<40}{'measured':>12}  {'promised':<14}"
    for figure, value in figures.items():
        promise = bounds.get(figure)
        if promise is not None or everything:
            verdict = "" if promise is None else promise.words.ljust(14) + ("kept" if promise.kept(value) else "MISSED")
            yield f"{figure:<40}{value:>12.2f}  {verdict}".rstrip()


def missed(figures: Mapping[str, float], promises: tuple[Promise, ...] = PROMISES) -> list[str]:
    """Return the names of the figures that miss their promise."""
    return [p.figure for p in promises if p.figure in figures and not p.kept(figures[p.figure])]
