"""The package as a whole: its public names, its settings, and what importing it costs."""

from __future__ import annotations

import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import headgate
import pytest
from headgate import BadSettings
from headgate.settings import PLATFORM_VARIABLES, SETTINGS, resolve, unknown_variables

from registry.variables import KNOWN

CLIENT = Path(__file__).resolve().parents[3] / "clients" / "python"


def test_public_names() -> None:
    """These names are relied on; adding one is a decision, removing one a break."""
    assert sorted(headgate.__all__) == [
        "AccessDenied", "AsyncClient", "BadSettings", "Baseline", "Canary", "Check", "Client", "ClientClosed",
        "Conflict", "ConnectionFailed", "DriftReport", "FeedbackResult", "HeadgateError", "InvalidRequest",
        "Label", "Metric", "Model", "ModelFault", "Node", "NotFound", "Plan", "Prediction", "ProcessStatus",
        "QualityReport", "Refused", "RevisionConflict", "Rollout", "RolloutSpec", "Rule", "Served",
        "ServerFault", "Shadow", "ShadowComparison", "Status", "Step", "Timeout", "Traffic", "TrafficStatus",
        "Unavailable", "Version", "VersionRejected", "__version__",
    ]  # fmt: skip
    assert all(hasattr(headgate, name) for name in headgate.__all__)


def test_version_is_that_of_the_distribution() -> None:
    """The version is written down twice, and equal."""
    assert tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["version"] == headgate.__version__


def test_import_is_light() -> None:
    """Importing the SDK loads nothing heavy, and takes at most five times what the standard library in it takes.

    150 ms of processor time where that takes 30; measured in turns, because a busy machine slows both.
    """
    heavy = ("numpy", "pandas", "pyarrow", "mlflow", "httpx", "rich", "typer", "registry", "serving")
    loads = "import sys; before = set(sys.modules); import headgate; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & set(heavy)
    standard = ", ".join(name for name in loaded if name.partition(".")[0] in sys.stdlib_module_names)
    spent = [(_import_seconds(standard), _import_seconds("headgate")) for _ in range(5)]
    assert min(one for _, one in spent) < 5 * min(one for one, _ in spent)


def _import_seconds(modules: str) -> float:
    code = f"import time; start = time.process_time(); import {modules}; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_help_is_quick() -> None:
    """The first page of help loads nothing heavy, and takes at most twice the time of what draws it.

    Processor time, the interpreter's start included; measured in turns, because a busy machine slows both.
    """
    heavy = ("numpy", "pandas", "mlflow", "httpx", "pyarrow")
    ours = (
        "import sys; from headgate.cli.app import app; app(['--help'], standalone_mode=False);"
        f"sys.exit(any(name in sys.modules for name in {heavy!r}))"
    )
    spent = [(_processor_seconds("import typer, typer.rich_utils"), _processor_seconds(ours)) for _ in range(5)]
    assert min(one for _, one in spent) < 2 * min(one for one, _ in spent)


def _processor_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_no_server_code_is_imported() -> None:
    """The client and the servers share nothing but the contract."""
    for file in (CLIENT / "src").rglob("*.py"):
        assert not {"import registry", "from registry", "import serving", "from serving"} & {
            " ".join(line.split()[:2]).partition(".")[0] for line in file.read_text().splitlines() if line.strip()
        }, file.name


def test_known_variables_are_those_of_the_platform() -> None:
    """The client knows every variable that any process reads, so that it can tell a misspelt one."""
    assert PLATFORM_VARIABLES | {s.name for s in SETTINGS} == KNOWN


def test_unknown_variables_are_told_with_the_nearest() -> None:
    """A misspelt variable gets the name that was meant."""
    assert unknown_variables({"HEADGATE_SERVNG_URL": "", "HEADGATE_HOME": "", "PATH": ""}) == [
        "nothing reads HEADGATE_SERVNG_URL; did you mean HEADGATE_SERVING_URL?"
    ]


def test_settings_have_sentences_and_defaults() -> None:
    """Every setting is documented, and its default is what holds without it."""
    assert all(s.sentence.endswith(".") and s.type for s in SETTINGS)
    settings = resolve(environment={})
    assert (settings.registry_url, settings.serving_url) == ("http://127.0.0.1:5000", "http://127.0.0.1:8080")
    assert (settings.api_key, settings.timeout) == (None, 60.0)


def test_arguments_win_over_the_environment() -> None:
    """What the caller says counts more than a variable, and a variable more than the default."""
    env = {"HEADGATE_REGISTRY_URL": "https://r/", "HEADGATE_SERVING_URL": "https://s", "HEADGATE_TIMEOUT_SECONDS": "5"}
    settings = resolve("http://mine:1/x/", environment=env)
    assert (settings.registry_url, settings.serving_url, settings.timeout) == ("http://mine:1/x", "https://s", 5.0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADGATE_REGISTRY_URL", "127.0.0.1:5000"),
        ("HEADGATE_REGISTRY_URL", "ftp://x"),
        ("HEADGATE_SERVING_URL", "http://"),
        ("HEADGATE_SERVING_URL", "http://user:secret@x"),
        ("HEADGATE_SERVING_URL", "http://x:99999"),
        ("HEADGATE_SERVING_URL", "http://x?y"),
        ("HEADGATE_API_KEY", "hg secret"),
        ("HEADGATE_TIMEOUT_SECONDS", "0"),
        ("HEADGATE_TIMEOUT_SECONDS", "soon"),
        ("HEADGATE_TIMEOUT_SECONDS", "nan"),
    ],
)
def test_bad_settings_are_named(variable: str, value: str) -> None:
    """A setting that cannot be used is named, and a secret in it is not repeated."""
    with pytest.raises(BadSettings, match=variable) as caught:
        resolve(environment={variable: value})
    assert "secret" not in caught.value.message


def test_the_readme_has_every_setting() -> None:
    """The table of settings says what the code says."""
    text = (CLIENT / "README.md").read_text()
    for setting in SETTINGS:
        assert f"`{setting.name}` | {f'`{setting.default}` ' if setting.default else ''}| {setting.sentence} |" in text
