"""Names that people rely on agree wherever they are written down."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from headgate.settings import SETTINGS

from registry.catalogue import CATALOGUE as REGISTRY_METRICS
from registry.edge.problems import STATUS
from registry.errors import BRANCHES
from registry.settings import RegistrySettings
from registry.variables import KNOWN, PREFIX, unknown_variables
from serving.settings import ServingSettings
from serving.telemetry.catalogue import CATALOGUE as SERVING_METRICS

ROOT = Path(__file__).resolve().parents[2]


def test_known_variables_are_the_settings() -> None:
    """The list that refuses unknown variables holds exactly those that some settings class reads."""
    fields = {*RegistrySettings.model_fields, *ServingSettings.model_fields}
    assert {PREFIX + f.upper() for f in fields} | {s.name for s in SETTINGS} == KNOWN


def test_unknown_variable_names_the_nearest() -> None:
    """A misspelt variable is answered with the name that was meant."""
    assert unknown_variables({"HEADGATE_REGISTY_PORT": "1", "PATH": "x"}) == [
        "unknown setting HEADGATE_REGISTY_PORT; did you mean HEADGATE_REGISTRY_PORT?"
    ]


def test_every_code_has_a_status() -> None:
    """Each error code has one HTTP status, and no status is for a code that does not exist."""
    assert {code for branch in BRANCHES for code in branch.codes} == STATUS.keys()


def test_every_setting_has_a_sentence() -> None:
    """Each setting is described by a sentence."""
    for settings in (RegistrySettings, ServingSettings):
        for name, field in settings.model_fields.items():
            assert field.description and field.description.endswith("."), name


def test_generated_pages_are_current() -> None:
    """The generated pages equal what the code would write."""
    done = subprocess.run([sys.executable, "-m", "docs.build", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link in the documentation names a file that exists."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


PROMISED = {
    "headgate_requests_total": ("model", "version", "arm", "protocol", "code"),
    "headgate_request_seconds": ("model", "version"),
    "headgate_stage_seconds": ("model", "version", "stage"),
    "headgate_batch_rows": ("model", "version"),
    "headgate_queue_rows": ("model", "version"),
    "headgate_refused_total": ("model", "reason"),
    "headgate_versions": ("state",),
    "headgate_version_memory_bytes": ("model", "version"),
    "headgate_memory_budget_bytes": (),
    "headgate_load_seconds": ("model", "version"),
    "headgate_unloads_total": ("reason",),
    "headgate_host_restarts_total": ("model", "version", "reason"),
    "headgate_shadow_total": ("model", "version", "outcome"),
    "headgate_shadow_difference": ("model", "version"),
    "headgate_plan_revision": ("model",),
    "headgate_snapshot_age_seconds": (),
    "headgate_artifact_cache_bytes": (),
    "headgate_rollout_share_ratio": ("model", "version"),
    "headgate_rollout_evidence": ("model", "version", "metric"),
    "headgate_rollouts_total": ("model", "outcome"),
    "headgate_admissions_total": ("verdict",),
    "headgate_nodes": (),
}
"""What the contract names: dashboards rely on it."""


def test_metrics_are_those_of_the_contract_and_well_named() -> None:
    """Promised names have exactly their labels; all have our prefix or a process's, base units, and one sentence."""
    found = {metric.name: metric for metric in (*SERVING_METRICS, *REGISTRY_METRICS)}
    assert {name: found[name].labels for name in PROMISED} == PROMISED
    for name, metric in found.items():
        assert name.startswith(("headgate_", "process_"))
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert not re.search(r"_(ms|millis|minutes|hours|mb|kb|percent)(_|$)", name), name
        assert metric.sentence.endswith("."), name
        assert (metric.kind == "histogram") == bool(metric.buckets), name
    for name in ("headgate_request_seconds", "headgate_stage_seconds"):
        assert (found[name].buckets[0], found[name].buckets[-1]) == (0.0005, 10)


def test_locks_name_no_registry() -> None:
    """Lock files hold names and hashes, and no address."""
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert "://" not in lock.read_text(), lock.name
