"""Names that people rely on agree wherever they are written down."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from headgate.settings import SETTINGS

from registry.edge.problems import STATUS
from registry.errors import BRANCHES
from registry.settings import RegistrySettings
from registry.variables import KNOWN, PREFIX, unknown_variables
from serving.settings import ServingSettings

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


def test_locks_name_no_registry() -> None:
    """Lock files hold names and hashes, and no address."""
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert "://" not in lock.read_text(), lock.name
