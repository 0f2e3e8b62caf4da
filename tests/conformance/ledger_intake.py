"""What ``Uploads`` and ``Registrations`` promise. Bound to each ledger by ``test_ledger_*.py``."""

from __future__ import annotations

import pytest

from registry.digest import sha256_digest
from registry.errors import Conflict, NotFound
from registry.intake import Registration
from registry.ports import Ledger
from registry.records import ModelName, Upload, UploadFile
from tests.support.ledgers import CHURN, Clock, number


def upload(name: str = "u1", count: int = 2, created_ms: int = 1_000) -> Upload:
    """Return an upload of ``count`` files, none of which has come."""
    files = tuple(UploadFile(f"b/{n}.bin", n, sha256_digest(bytes([n]))) for n in reversed(range(count)))
    return Upload(id=name, files=files, committed=False, created_ms=created_ms)


class UploadPromises:
    """Model directories on their way in."""

    def test_an_upload_lives(self, ledger: Ledger) -> None:
        """Begun, files arrive in any order and twice, and the commit closes it, twice too."""
        ledger.uploads.create(upload())
        assert ledger.uploads.get("u1") == upload()
        for path in ("b/0.bin", "b/1.bin", "b/1.bin"):
            ledger.uploads.arrived("u1", path)
        ledger.uploads.commit("u1")
        ledger.uploads.commit("u1")
        done = ledger.uploads.get("u1")
        assert done is not None
        assert done.committed
        assert [(f.path, f.arrived) for f in done.files] == [("b/1.bin", True), ("b/0.bin", True)]

    def test_commit_names_what_has_not_come(self, ledger: Ledger) -> None:
        """A commit before all files came is refused, names ten at most, and closes nothing."""
        ledger.uploads.create(upload(count=13))
        ledger.uploads.arrived("u1", "b/12.bin")
        with pytest.raises(Conflict) as refused:
            ledger.uploads.commit("u1")
        assert refused.value.code == "not_ready"
        assert refused.value.details == {"missing": [f"b/{n}.bin" for n in range(11, 1, -1)]}
        assert "and 2 more" in refused.value.message
        still = ledger.uploads.get("u1")
        assert still is not None
        assert not still.committed

    def test_unknown_uploads_are_not_found(self, ledger: Ledger) -> None:
        """An id or a file that nobody declared is refused."""
        ledger.uploads.create(upload())
        assert ledger.uploads.get("u2") is None
        for arrival in (("u2", "b/0.bin"), ("u1", "b/9.bin")):
            with pytest.raises(NotFound) as refused:
                ledger.uploads.arrived(*arrival)
            assert refused.value.code == "unknown_upload"
        with pytest.raises(NotFound):
            ledger.uploads.commit("u2")

    def test_an_id_is_used_once(self, ledger: Ledger) -> None:
        """A second upload of one id is refused, and the first stays."""
        ledger.uploads.create(upload())
        with pytest.raises(Conflict) as refused:
            ledger.uploads.create(upload(count=5))
        assert refused.value.code == "already_exists"
        assert ledger.uploads.get("u1") == upload()

    def test_abandoned_uploads_can_be_forgotten(self, ledger: Ledger) -> None:
        """Old uploads that were never committed are given up, oldest first, and can go; others stay."""
        for name, created in (("new", 2_000), ("old", 500), ("older", 400), ("kept", 300)):
            ledger.uploads.create(upload(name, 0, created))
        ledger.uploads.commit("kept")
        assert list(ledger.uploads.abandon(2_000)) == ["older", "old"]
        for name in ("old", "new", "kept", "unknown", "old"):
            ledger.uploads.forget(name)
        assert ledger.uploads.get("old") is None
        assert ledger.uploads.get("new") is not None
        assert ledger.uploads.get("kept") is not None
        assert list(ledger.uploads.abandon(2_001)) == ["older", "new"]

    def test_what_was_given_up_is_gone(self, ledger: Ledger) -> None:
        """An upload that was given up is found by nobody, and listed until it is forgotten."""
        ledger.uploads.create(upload(count=1))
        ledger.uploads.arrived("u1", "b/0.bin")
        assert list(ledger.uploads.abandon(10_000)) == ["u1"]
        assert ledger.uploads.get("u1") is None
        with pytest.raises(NotFound):
            ledger.uploads.arrived("u1", "b/0.bin")
        with pytest.raises(NotFound):
            ledger.uploads.commit("u1")
        assert list(ledger.uploads.abandon(0)) == ["u1"]
        ledger.uploads.forget("u1")
        assert list(ledger.uploads.abandon(10_000)) == []

    def test_an_arrival_keeps_an_upload(self, ledger: Ledger, clock: Clock) -> None:
        """The age of an upload counts from its last arrival."""
        ledger.uploads.create(upload())
        clock.now_ms = 5_000
        ledger.uploads.arrived("u1", "b/0.bin")
        assert list(ledger.uploads.abandon(5_000)) == []
        assert list(ledger.uploads.abandon(5_001)) == ["u1"]

    def test_long_paths_are_kept(self, ledger: Ledger) -> None:
        """The longest path that the rules allow, in a script of four bytes a letter, is one of an upload's files."""
        path = "\U00020000" * 1024
        ledger.uploads.create(Upload("u1", (UploadFile(path, 1, sha256_digest(b"")),), committed=False, created_ms=1))
        ledger.uploads.arrived("u1", path)
        ledger.uploads.commit("u1")
        done = ledger.uploads.get("u1")
        assert done is not None
        assert done.files[0].path == path


class RegistrationPromises:
    """Idempotency keys."""

    def test_the_first_to_begin_is_recorded(self, ledger: Ledger) -> None:
        """A key stands for the content it was first used with, per model."""
        first = Registration(CHURN, "k", "content a", None)
        assert ledger.registrations.begin(first) == first
        assert ledger.registrations.begin(Registration(CHURN, "k", "content b", None)) == first
        other = Registration(ModelName("other"), "k", "content b", None)
        assert ledger.registrations.begin(other) == other

    def test_a_completed_key_tells_its_version(self, ledger: Ledger) -> None:
        """Once complete, the same key gives the same version; completing it twice is the same as once."""
        asked = Registration(CHURN, "k", "content", None)
        ledger.registrations.begin(asked)
        for _ in range(2):
            ledger.registrations.complete(CHURN, "k", number(3))
        assert ledger.registrations.begin(asked) == Registration(CHURN, "k", "content", number(3))

    def test_a_key_never_changes_its_version(self, ledger: Ledger) -> None:
        """A second version for one key is refused, and so is a key that nobody began."""
        ledger.registrations.begin(Registration(CHURN, "k", "content", None))
        ledger.registrations.complete(CHURN, "k", number(3))
        with pytest.raises(Conflict):
            ledger.registrations.complete(CHURN, "k", number(4))
        with pytest.raises(NotFound):
            ledger.registrations.complete(CHURN, "other", number(4))
        assert ledger.registrations.begin(Registration(CHURN, "k", "", None)).version == "3"

    def test_long_keys_are_told_apart(self, ledger: Ledger) -> None:
        """Keys are compared whole, however long."""
        for end in "ab":
            ledger.registrations.begin(Registration(CHURN, "x" * 10_000 + end, end, None))
        assert ledger.registrations.begin(Registration(CHURN, "x" * 10_000 + "b", "?", None)).fingerprint == "b"
