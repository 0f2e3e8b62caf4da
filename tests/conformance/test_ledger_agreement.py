"""The SQL ledger and the one in memory are told the same story and must tell the same one back, errors included."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from registry.adapters.memory.ledger import memory_ledger
from registry.adapters.sql.database import open_database
from registry.adapters.sql.ledger import ledger_on
from registry.errors import HeadgateError
from registry.plans import Canary, Plan, Shadow
from registry.ports import Ledger, Registration
from registry.records import AliasName, ModelName, VersionNumber, VersionState
from tests.support.ledgers import FAILED, PASSED, Clock, catalog_version, number, sealed, sqlite_url

models = st.sampled_from([ModelName("a"), ModelName("b")])
numbers = st.integers(1, 4).map(number)
aliases = st.sampled_from([AliasName("x"), AliasName("Y")])
states = st.sampled_from([VersionState.READY, VersionState.REJECTED, VersionState.CHECKING])


def _plain(value: object) -> object:
    """Return sequences as lists, so that how an answer is held does not matter."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


class Agreement(RuleBasedStateMachine):
    """Does everything to both ledgers."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._clock = Clock()
        self._database = open_database(sqlite_url(Path(self._folder.name)))
        self._database.migrate()
        self._ledgers = (memory_ledger(self._clock), ledger_on(self._database, self._clock))

    def teardown(self) -> None:
        """Close the database."""
        self._database.close()
        self._folder.cleanup()

    def _both(self, act: Callable[[Ledger], object]) -> object:
        answers = []
        for ledger in self._ledgers:
            try:
                answers.append(_plain(act(ledger)))
            except HeadgateError as error:
                answers.append((error.code, error.message, error.details))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(model=models, version=numbers, created=st.sampled_from([None, 77]))
    def observe(self, model: ModelName, version: VersionNumber, created: int | None) -> None:
        """MLflow has a version."""
        self._both(lambda ledger: ledger.versions.observe(catalog_version(int(version), model, created)))

    @rule(lease=st.integers(1, 3_000), later=st.integers(0, 2_000))
    def claim(self, lease: int, later: int) -> None:
        """A checker asks for work, some time later."""
        self._clock.now_ms += later
        now = self._clock.now_ms
        self._both(lambda ledger: ledger.versions.claim(now, now + lease))

    @rule(model=models, version=numbers, until=st.integers(0, 20_000))
    def renew(self, model: ModelName, version: VersionNumber, until: int) -> None:
        """A checker needs longer."""
        self._both(lambda ledger: ledger.versions.renew(model, version, until))

    @rule(model=models, version=numbers, state=states)
    def settle(self, model: ModelName, version: VersionNumber, state: VersionState) -> None:
        """A check ends."""
        ready = state is VersionState.READY
        checks, what = (PASSED, sealed(f"{model}{version}")) if ready else (FAILED, None)
        self._both(lambda ledger: ledger.versions.settle(model, version, state, checks, what))

    @rule(model=models, version=numbers)
    def admit(self, model: ModelName, version: VersionNumber) -> None:
        """A version goes all the way, so that there is something to give traffic to."""
        self._both(lambda ledger: ledger.versions.observe(catalog_version(int(version), model)))
        self._both(lambda ledger: ledger.versions.claim(self._clock.now_ms, self._clock.now_ms + 10))
        self._both(
            lambda ledger: ledger.versions.settle(
                model, version, VersionState.READY, PASSED, sealed(f"{model}{version}")
            )
        )

    @rule(model=models, version=numbers)
    def retire(self, model: ModelName, version: VersionNumber) -> None:
        """A version is taken out of service."""
        self._both(lambda ledger: ledger.versions.retire(model, version))

    @rule(
        model=models,
        version=st.none() | numbers,
        off=st.sampled_from([0, 0, 0, -1, 1]),
        canary=st.none() | st.builds(Canary, numbers, st.just(100)),
        shadows=st.lists(st.builds(Shadow, numbers), max_size=2).map(tuple),
    )
    def append(
        self,
        model: ModelName,
        version: VersionNumber | None,
        off: int,
        canary: Canary | None,
        shadows: tuple[Shadow, ...],
    ) -> None:
        """Somebody promotes, mostly with the right revision."""
        current = self._ledgers[0].plans.current(model)
        expected = (current.revision if current else 0) + off
        plan = None if version is None else Plan(version, "note", canary=canary, shadows=shadows)
        self._both(lambda ledger: ledger.plans.append(model, expected, plan, "ana", "why"))

    @rule(model=models, alias=aliases)
    def put_back(self, model: ModelName, alias: AliasName) -> None:
        """MLflow's alias was moved, and put back."""
        self._both(lambda ledger: ledger.aliases.put_back(model, alias, who="mlflow", why="moved"))

    @rule(model=models, alias=aliases, version=st.none() | numbers, expected=st.none() | st.integers(0, 4))
    def set_alias(
        self, model: ModelName, alias: AliasName, version: VersionNumber | None, expected: int | None
    ) -> None:
        """An alias moves."""
        self._both(lambda ledger: ledger.aliases.set(model, alias, version, who="ana", expected=expected))

    @rule(model=models, alias=aliases, version=st.none() | numbers)
    def note_mirrored(self, model: ModelName, alias: AliasName, version: VersionNumber | None) -> None:
        """MLflow was seen to say something of an alias."""
        self._both(lambda ledger: ledger.aliases.note_mirrored(model, alias, version))

    @rule(model=models)
    def remove(self, model: ModelName) -> None:
        """MLflow has the model no longer."""
        self._both(lambda ledger: ledger.models.remove(model))

    @rule(model=models)
    def retire_all(self, model: ModelName) -> None:
        """The model is about to be deleted in MLflow."""
        self._both(lambda ledger: ledger.models.retire_all(model))

    @rule(model=models, key=st.sampled_from("kl"), version=st.none() | numbers)
    def register(self, model: ModelName, key: str, version: VersionNumber | None) -> None:
        """A key is begun, or completed."""
        if version is None:
            self._both(lambda ledger: ledger.registrations.begin(Registration(model, key, f"content of {key}", None)))
        else:
            self._both(lambda ledger: ledger.registrations.complete(model, key, version))

    @rule(since=st.integers(-1, 40))
    def follow(self, since: int) -> None:
        """A node asks what changed."""
        self._both(lambda ledger: ledger.snapshots.page(since))

    @invariant()
    def agree(self) -> None:
        """Both say the same of everything."""
        self._both(lambda ledger: ledger.snapshots.page(0))
        self._both(lambda ledger: ledger.snapshots.page(max(1, ledger.snapshots.revision() - 3)))
        self._both(lambda ledger: ledger.models.page(10, "", ""))
        self._agree_about(ModelName("a"))
        self._agree_about(ModelName("b"))

    def _agree_about(self, model: ModelName) -> None:
        self._both(lambda ledger: ledger.versions.page(model, 10, 0))
        self._both(lambda ledger: ledger.plans.history(model, 10, 0))
        self._both(lambda ledger: ledger.aliases.all(model))
        self._both(lambda ledger: ledger.aliases.history(model, AliasName("x"), 10, 0))

    @invariant()
    def what_serves_is_ready(self) -> None:
        """Whatever the plan in force or an alias names is ready (R05)."""
        for model in self._ledgers[1].snapshots.page(0).models:
            named = set(model.aliases.values()) | (model.plan.versions if model.plan else set())
            assert named <= model.versions.keys()


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
