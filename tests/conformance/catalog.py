"""What every ``Catalog`` promises (``registry/ports.py``). A binding gives ``catalog`` and ``users`` of one world."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry.errors import InvalidRequest, NotFound
from registry.ports import Catalog
from registry.records import AliasName, CatalogModel, ModelName, VersionNumber
from tests.support.catalogs import PLACE, Users

CHAMPION = AliasName("champion")
ONE = VersionNumber("1")
TWO = VersionNumber("2")


@pytest.fixture
def model() -> ModelName:
    """A name that no other test uses: a world may outlive a test."""
    return ModelName(f"model-{uuid.uuid4().hex[:8]}")


def seen(catalog: Catalog, model: str) -> CatalogModel:
    """Return the model as the catalog has it now."""
    return next(m for m in catalog.changed_since(0) if m.name == model)


def newest_stamp(catalog: Catalog) -> int:
    """Return the time of the last change of all."""
    return max((m.updated_ms for m in catalog.changed_since(0)), default=0)


class CatalogPromises:
    """The suite."""

    def test_a_version_is_as_it_was_created(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """A created version comes back with source, place, run, user and tags, and so does who asks later."""
        run_id = users.user_creates_run("ada")

        created = catalog.create_version(model, PLACE, run_id, {"kéy": "välue"})

        assert (created.model, created.version, created.source, created.location) == (model, "1", PLACE, PLACE)
        assert (created.run_id, created.user, dict(created.tags)) == (run_id, "ada", {"kéy": "välue"})
        assert created.created_ms > 0
        assert seen(catalog, model).versions == (created,)

    def test_versions_are_numbered_in_order(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """Whoever creates them, versions count up from 1 and are listed in that order."""
        catalog.create_version(model, PLACE, None, {})
        users.user_creates_version(model)
        catalog.create_version(model, PLACE, None, {})

        assert [v.version for v in seen(catalog, model).versions] == ["1", "2", "3"]
        assert model in catalog.names()

    def test_a_number_is_never_used_twice(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """Neither deleting the newest version nor deleting the model and creating it again frees a number."""
        users.user_creates_version(model)
        users.user_creates_version(model)
        users.user_deletes_version(model, "2")
        assert users.user_creates_version(model).version == "3"
        users.user_deletes_model(model)
        assert model not in catalog.names()
        assert users.user_creates_version(model).version == "4"
        users.user_deletes_version(model, "4")
        users.user_deletes_model(model)

        assert catalog.create_version(model, PLACE, None, {}).version == "5"
        assert [v.version for v in seen(catalog, model).versions] == ["5"]

    def test_nothing_changed_is_nothing(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """After the newest stamp there is nothing, and at it only what changed last."""
        users.user_creates_version(f"{model}-other")
        users.user_creates_version(model)
        newest = newest_stamp(catalog)

        assert list(catalog.changed_since(newest + 1)) == []
        assert [m.name for m in catalog.changed_since(newest)] == [model]

    @pytest.mark.parametrize(
        "change",
        [
            lambda users, model: users.user_creates_version(model),
            lambda users, model: users.user_sets_alias(model, "challenger", "1"),
            lambda users, model: users.user_sets_alias(model, "champion", "1"),
            lambda users, model: users.user_deletes_alias(model, "champion"),
            lambda users, model: users.user_deletes_version(model, "1"),
            lambda users, model: users.user_tags_version(model, "1", "a", "b"),
        ],
        ids=["version", "alias", "alias moved", "alias removed", "version deleted", "tag"],
    )
    def test_every_change_is_seen(
        self, catalog: Catalog, users: Users, model: ModelName, change: Callable[[Users, str], object]
    ) -> None:
        """Whoever has seen everything up to a stamp sees each later change by asking for what came after it."""
        users.user_creates_version(model)
        users.user_creates_version(model)
        users.user_sets_alias(model, "champion", "2")
        newest = newest_stamp(catalog)

        change(users, model)

        assert [m.name for m in catalog.changed_since(newest + 1)] == [model]

    def test_one_model_is_as_in_the_list(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """One model is told just as among all, with deleted versions gone; one that is not there is None."""
        assert catalog.model(model) is None
        for _ in range(3):
            users.user_creates_version(model)
        users.user_deletes_version(model, "2")
        users.user_sets_alias(model, "champion", "3")
        found = catalog.model(model)
        assert found == seen(catalog, model)
        assert found is not None and [v.version for v in found.versions] == ["1", "3"]
        users.user_deletes_model(model)
        assert catalog.model(model) is None

    def test_aliases_follow(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """An alias is set, moved and removed, and doing any of it twice is the same as once."""
        users.user_creates_version(model)
        users.user_creates_version(model)
        for wanted in (ONE, ONE, TWO):
            catalog.set_alias(model, CHAMPION, wanted)
            assert seen(catalog, model).aliases == {"champion": wanted}
        for _ in range(2):
            catalog.set_alias(model, CHAMPION, None)
            assert seen(catalog, model).aliases == {}
        catalog.set_alias(ModelName("never-was"), CHAMPION, None)

    def test_an_alias_names_a_version_that_exists(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """An alias cannot be set to a version that is not there, and goes when its version goes."""
        users.user_creates_version(model)
        with pytest.raises(NotFound):
            catalog.set_alias(model, CHAMPION, TWO)
        catalog.set_alias(model, CHAMPION, ONE)

        users.user_deletes_version(model, "1")

        assert seen(catalog, model).aliases == {}

    def test_a_version_is_found_by_its_tag(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """The newest live version with a tag's exact value is found, and nothing where none has it."""
        catalog.create_version(model, PLACE, None, {"key": "a"})
        second = catalog.create_version(model, PLACE, None, {"key": "a"})
        catalog.create_version(model, PLACE, None, {"key": "b"})

        assert catalog.find_version(model, "key", "a") == second
        users.user_deletes_version(model, "2")
        found = catalog.find_version(model, "key", "a")
        assert found is not None
        assert found.version == "1"
        assert catalog.find_version(model, "key", "A") is None
        assert catalog.find_version(ModelName("never-was"), "key", "a") is None

    def test_deleting_twice_is_deleting_once(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """A deleted version is gone, and deleting it again, or what never was, is no error."""
        users.user_creates_version(model)
        for _ in range(2):
            catalog.delete_version(model, ONE)
        catalog.delete_version(ModelName("never-was"), ONE)

        assert seen(catalog, model).versions == ()

    def test_the_run_must_exist(self, catalog: Catalog, model: ModelName) -> None:
        """A version of a run that is not there is refused, and no number is spent on it."""
        with pytest.raises(NotFound):
            catalog.create_version(model, PLACE, "0" * 31 + "f", {})

        assert catalog.create_version(model, PLACE, None, {}).version == "1"

    @pytest.mark.parametrize(
        "source", ["s3://bucket/model", "file:///etc", "mlflow-artifacts:/a/../b", "http://host/m"]
    )
    def test_the_files_are_in_our_store(self, catalog: Catalog, model: ModelName, source: str) -> None:
        """A source anywhere else is refused."""
        with pytest.raises(InvalidRequest):
            catalog.create_version(model, source, None, {})

    def test_other_spellings_of_a_place_are_resolved(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """A folder below a run, and another version, are known by the place where their files are."""
        run_id = users.user_creates_run("ada")

        below_run = catalog.create_version(model, f"runs:/{run_id}/fitted", run_id, {})
        copied = catalog.create_version(model, f"models:/{model}/1", None, {})

        assert below_run.location.startswith("mlflow-artifacts:/")
        assert below_run.location.endswith(f"{run_id}/artifacts/fitted")
        assert copied.location == below_run.location

    def test_many_at_once_get_a_number_each(self, catalog: Catalog, model: ModelName) -> None:
        """Eight writers that create ten versions each get eighty numbers without a gap or a failure."""

        def register(_: int) -> list[str]:
            return [catalog.create_version(model, PLACE, None, {}).version for _ in range(10)]

        with ThreadPoolExecutor(8) as threads:
            numbers = [n for batch in threads.map(register, range(8)) for n in batch]

        assert sorted(map(int, numbers)) == list(range(1, 81))

    def test_an_alias_never_dangles(self, catalog: Catalog, users: Users, model: ModelName) -> None:
        """However setting an alias and deleting its version fall together, no alias is left on a deleted version."""
        for turn in range(1, 16):
            number = VersionNumber(str(turn))
            users.user_creates_version(model)
            with ThreadPoolExecutor(2) as threads:
                setting = threads.submit(catalog.set_alias, model, CHAMPION, number)
                threads.submit(catalog.delete_version, model, number).result()
                error = setting.exception()
            assert error is None or isinstance(error, NotFound)
            assert seen(catalog, model).aliases == {}
