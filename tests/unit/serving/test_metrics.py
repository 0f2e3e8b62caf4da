"""Metrics: names of the contract, labels that exist, series that go with their versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry.edge.exposition import MAX_GROUPS
from registry.records import ModelName, VersionNumber
from registry.snapshots import ServableVersion, SnapshotPage
from serving.pool.slot import Identity, Residence, Slot
from serving.ports import BatchWatch, WatchedLane
from serving.routing.table import Table
from serving.telemetry.catalogue import CATALOGUE
from serving.telemetry.finished import Finished
from serving.telemetry.metrics import Metrics, Readings
from tests.support.metrics import check_with_promtool
from tests.support.serving_fakes import FakeArtifactLease, FakeCache, FakeLoaded, servable, snapshot


def known(*models: Any) -> tuple[Metrics, Table]:
    """Return metrics that know these models, and their table."""
    metrics, table = Metrics(), Table().merged(SnapshotPage(1, full=True, models=models))
    metrics.retain(table)
    return metrics, table


def page(metrics: Metrics, table: Table, slots: tuple[Slot, ...] = (), age: float | None = 1.5) -> str:
    """Return what a scrape gets."""
    metrics.read(Readings(table, slots, age, 4096))
    return metrics.page().decode()


def ok(model: str = "churn", version: str = "1") -> Finished:
    """Return a request that went well."""
    return Finished(model, version, "stable", seconds=0.004, decode=0.001, queue=0.0, predict=0.002, encode=0.001)


def test_a_request_is_counted_and_timed_by_stage() -> None:
    """One success makes one count, one duration and one duration a stage."""
    metrics, table = known(snapshot())
    metrics.observe(ok())
    text = page(metrics, table)
    count = 'headgate_requests_total{arm="stable",code="2xx",model="churn",protocol="native",version="1"} 1.0'
    assert count in text
    assert 'headgate_request_seconds_count{model="churn",version="1"} 1.0' in text
    for stage in ("decode", "queue", "predict", "encode"):
        assert f'headgate_stage_seconds_count{{model="churn",stage="{stage}",version="1"}} 1.0' in text


def test_a_refusal_is_counted_by_its_reason() -> None:
    """Overload and unavailability show which code they had."""
    metrics, table = known(snapshot())
    metrics.observe(Finished("churn", "1", "stable", code="overloaded"))
    text = page(metrics, table)
    assert 'headgate_refused_total{model="churn",reason="overloaded"} 1.0' in text
    assert 'code="4xx",model="churn"' in text


def test_a_request_whose_time_was_over_before_its_turn_is_a_refusal() -> None:
    """Waiting for others until it was too late counts by its reason; a model that took too long does not."""
    metrics, table = known(snapshot())
    metrics.observe(Finished("churn", "1", "stable", code="model_timeout", reason="expired"))
    metrics.observe(Finished("churn", "1", "stable", code="model_timeout"))
    metrics.observe(Finished("churn", "1", "stable", code="invalid_input", reason="missing"))
    text = page(metrics, table)
    assert 'headgate_refused_total{model="churn",reason="expired"} 1.0' in text
    assert text.count("headgate_refused_total{") == 1


def test_copies_for_shadows_are_counted_and_go_with_their_version() -> None:
    """Outcomes as a counter, the share that differs as a gauge; both go when the version does."""
    metrics, table = known(snapshot())
    assert "headgate_shadow_difference{" not in page(metrics, table)
    for differs in (True, False, False, False):
        metrics.shadow("churn", "2").count("compared")
        metrics.shadow("churn", "2").compared(differs=differs)
    metrics.shadow("churn", "2").count("dropped")
    metrics.shadow("made-up", "2").count("dropped")
    text = page(metrics, table)
    assert 'headgate_shadow_total{model="churn",outcome="compared",version="2"} 4.0' in text
    assert 'headgate_shadow_total{model="churn",outcome="dropped",version="2"} 1.0' in text
    assert 'headgate_shadow_difference{model="churn",version="2"} 0.25' in text
    assert 'headgate_shadow_total{model="other",outcome="dropped",version="other"} 1.0' in text
    one = Table().merged(SnapshotPage(2, full=True, models=(snapshot(versions={"1": servable("1")}),)))
    metrics.retain(one)
    assert 'model="churn",outcome' not in page(metrics, one)


def test_names_that_do_not_exist_make_no_series() -> None:
    """A hundred thousand made-up names leave the page as long as it was."""
    metrics, table = known(snapshot())
    metrics.observe(Finished("made-up-0", "1", code="unknown_model"))
    metrics.observe(Finished("churn", "90", code="unknown_version"))
    before = len(page(metrics, table).splitlines())
    for n in range(2000):
        metrics.observe(Finished(f"made-up-{n}", "1", code="unknown_model"))
        metrics.observe(Finished("churn", str(100 + n), code="unknown_version"))
    text = page(metrics, table)
    assert len(text.splitlines()) == before
    assert "made-up" not in text
    assert 'model="other",protocol="native",version="other"} 2001.0' in text
    assert 'model="churn",protocol="native",version="other"} 2001.0' in text


def test_beyond_the_cap_versions_share_one_group() -> None:
    """The page stays bounded whatever exists."""
    numbers = {str(n): servable(str(n)) for n in range(1, MAX_GROUPS + 50)}
    metrics, table = known(snapshot(versions=numbers))
    for number in numbers:
        metrics.observe(ok(version=number))
    lines = [line for line in page(metrics, table).splitlines() if line.startswith("headgate_requests_total{")]
    assert len(lines) == MAX_GROUPS + 1
    assert any('model="other"' in line and line.endswith(" 49.0") for line in lines)


def test_series_of_a_version_that_is_gone_go() -> None:
    """What no snapshot names any more is not shown, and what remains stays."""
    metrics, _ = known(snapshot())
    for version in ("1", "2"):
        metrics.observe(ok(version=version))
        metrics.version_loaded("churn", version, 1.0)
    smaller = Table().merged(SnapshotPage(2, full=True, models=(snapshot(versions={"2": servable("2")}, stable="2"),)))
    metrics.retain(smaller)
    text = page(metrics, smaller)
    assert 'version="1"' not in text
    assert 'version="2"} 1.0' in text
    metrics.observe(ok(version="1"))
    assert 'version="1"' not in page(metrics, smaller)


def test_the_page_holds_exactly_the_catalogue() -> None:
    """What is documented is what is shown, under the same names and types."""
    metrics, table = known(snapshot())
    shown = {tuple(line.split()[2:4]) for line in page(metrics, table).splitlines() if line.startswith("# TYPE")}
    assert shown == {(metric.name, metric.kind) for metric in CATALOGUE}


def test_promtool_finds_nothing_to_say() -> None:
    """Names, units and help keep to Prometheus' own rules."""
    metrics, table = known(snapshot())
    metrics.observe(ok())
    metrics.observe(Finished("churn", "1", "stable", code="overloaded"))
    metrics.version_loaded("churn", "1", 0.2)
    metrics.load_failed("churn", "2", "artifact_corrupt")
    metrics.batches("churn", "1").batch(3, 1)
    metrics.shadow("churn", "2").compared(differs=True)
    check_with_promtool(page(metrics, table).encode())


def test_states_revisions_age_and_cache_are_read_when_asked() -> None:
    """Gauges show the moment of the scrape."""
    metrics, table = known(snapshot(revision=7))
    text = page(metrics, table)
    assert 'headgate_versions{state="cold"} 2.0' in text
    assert 'headgate_plan_revision{model="churn"} 7.0' in text
    assert "headgate_snapshot_age_seconds 1.5" in text
    assert "headgate_artifact_cache_bytes 4096.0" in text


def test_pool_events_are_counted() -> None:
    """Loads, unloads and deaths have their metrics."""
    metrics, table = known(snapshot())
    metrics.version_loaded("churn", "1", 0.2)
    metrics.version_unloaded("operator")
    metrics.version_died("churn", "1")
    metrics.version_died("churn", "1", "loading")
    metrics.load_failed("churn", "2", "artifact_corrupt")
    text = page(metrics, table)
    assert 'headgate_load_seconds_count{model="churn",version="1"} 1.0' in text
    assert 'headgate_unloads_total{reason="operator"} 1.0' in text
    assert 'headgate_host_restarts_total{model="churn",reason="died",version="1"} 1.0' in text
    assert 'headgate_host_restarts_total{model="churn",reason="loading",version="1"} 1.0' in text
    assert 'headgate_load_failures_total{code="artifact_corrupt",model="churn",version="2"} 1.0' in text
    assert 'headgate_unloads_total{reason="evicted"} 0.0' in text


class Laned(FakeLoaded):
    """A loaded version with a lane, in which seven rows wait."""

    def __init__(self, version: ServableVersion) -> None:
        super().__init__(version)
        self.lane: WatchedLane = self
        self.watch: BatchWatch
        self.queued_rows = 7


def test_batches_and_queues_are_shown_while_their_version_is_loaded() -> None:
    """Rows a batch are a histogram, waiting rows a gauge; both go with the version."""
    metrics, table = known(snapshot())
    version = table.models["churn"].versions[VersionNumber("1")].servable
    slot = Slot(version, Identity.of(version), names={(ModelName("churn"), version.version)})
    slot.residence = Residence(Laned(version), FakeArtifactLease(FakeCache(), version.digest, Path()))
    slot.residence.memory_bytes = 12_345_678
    watch = metrics.batches("churn", "1")
    for rows in (1, 3, 300):
        watch.batch(rows, requests=1)
    text = page(metrics, table, (slot,))
    assert 'headgate_batch_rows_sum{model="churn",version="1"} 304.0' in text
    assert 'headgate_batch_rows_bucket{le="4.0",model="churn",version="1"} 2.0' in text
    assert 'headgate_queue_rows{model="churn",version="1"} 7.0' in text
    assert 'headgate_version_memory_bytes{model="churn",version="1"} 12345678.0' in text
    gone = page(metrics, table)
    assert "headgate_queue_rows{" not in gone and "headgate_version_memory_bytes{" not in gone
    empty = Table().merged(SnapshotPage(2, full=True, models=()))
    metrics.retain(empty)
    watch.batch(1, requests=1)
    assert "headgate_batch_rows_sum{" not in page(metrics, empty)
