"""Who must go: situations, each with a sentence, and what holds in all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.pool.eviction import QUIET_SECONDS, Claim, Resident, Situation, choose_victim

NOW = 1000.0
OLD = Resident("old", 40, used_at=100.0)
NEW = Resident("new", 40, used_at=NOW - 1)
KEPT = Resident("kept", 40, used_at=50.0, kept=True)
BUSY = Resident("busy", 40, used_at=10.0, in_use=True)
SHADOW = Resident("shadow", 40, used_at=NOW, kept=True, background=True)
FREE = Resident("free", 0, used_at=1.0)

SITUATIONS = {
    "nothing is missing, so nobody goes": ([OLD, NEW], 0, Claim.REQUEST, None),
    "the least recently used goes first": ([NEW, OLD], 10, Claim.REQUEST, "old"),
    "what is in use never goes": ([BUSY, NEW], 10, Claim.REQUEST, "new"),
    "with everything in use nobody goes": ([BUSY], 10, Claim.REQUEST, None),
    "what a warm plan names goes last": ([KEPT, NEW], 10, Claim.REQUEST, "new"),
    "but it goes for a request that waits": ([KEPT, BUSY], 10, Claim.REQUEST, "kept"),
    "it does not go for a plan that waits": ([KEPT, BUSY], 10, Claim.SWAP, None),
    "a plan that waits takes what was just used": ([KEPT, NEW], 10, Claim.SWAP, "new"),
    "what is loaded ahead does not": ([KEPT, NEW], 10, Claim.AHEAD, None),
    "what is loaded ahead takes what is long idle": ([NEW, OLD], 10, Claim.AHEAD, "old"),
    "several may have to go, one after the other": ([OLD, NEW], 80, Claim.REQUEST, "old"),
    "nobody goes where all together are not enough": ([OLD, NEW, BUSY], 81, Claim.REQUEST, None),
    "what runs in the background goes before all others": ([OLD, SHADOW], 10, Claim.REQUEST, "shadow"),
    "for a plan that waits too": ([OLD, SHADOW], 10, Claim.SWAP, "shadow"),
    "and for what is loaded ahead": ([OLD, SHADOW], 10, Claim.AHEAD, "shadow"),
    "nobody goes for a shadow": ([OLD, SHADOW], 10, Claim.BACKGROUND, None),
    "who costs nothing helps nobody": ([FREE, OLD], 10, Claim.REQUEST, "old"),
    "what has grown beyond the budget makes somebody go": ([OLD, BUSY], 10, None, "old"),
    "also where that is not enough": ([OLD, BUSY], 500, None, "old"),
    "a version alone may be larger than the budget": ([OLD], 10, None, None),
}


@pytest.mark.parametrize("sentence", SITUATIONS)
def test_situation(sentence: str) -> None:
    """Each sentence of the table holds."""
    residents, missing, claim, victim = SITUATIONS[sentence]
    assert choose_victim(Situation(residents, missing, claim, NOW)) == victim


RESIDENTS = st.lists(
    st.tuples(st.integers(0, 100), st.floats(0, NOW), st.booleans(), st.booleans(), st.booleans()), max_size=12
).map(lambda drawn: [Resident(key, *facts) for key, facts in enumerate(drawn)])
CLAIMS = st.sampled_from((*Claim, None))


@given(RESIDENTS, st.integers(-10, 500), CLAIMS)
def test_whoever_goes_was_free_to_go(residents: list[Resident[int]], missing: int, claim: Claim | None) -> None:
    """A victim is idle, costs something, and is not one that its rival may not take."""
    victim = choose_victim(Situation(residents, missing, claim, NOW))
    for resident in residents:
        if resident.key == victim:
            assert missing > 0
            assert not resident.in_use
            assert resident.memory_bytes > 0
            assert claim is not Claim.BACKGROUND
            if resident.background:
                continue
            assert not (resident.kept and claim in (Claim.SWAP, Claim.AHEAD))
            assert claim is not Claim.AHEAD or NOW - resident.used_at >= QUIET_SECONDS


@given(RESIDENTS, st.integers(1, 500), st.sampled_from(Claim))
def test_nobody_goes_in_vain(residents: list[Resident[int]], missing: int, claim: Claim) -> None:
    """Applied again and again, it ends with room for what wants to come, or nobody went."""
    left, freed = list(residents), 0
    while (victim := choose_victim(Situation(left, missing - freed, claim, NOW))) is not None:
        gone = next(r for r in left if r.key == victim)
        left.remove(gone)
        freed += gone.memory_bytes
    assert freed == 0 or freed >= missing


@given(RESIDENTS, st.integers(1, 500), st.sampled_from(Claim))
def test_a_weaker_claim_takes_no_more(residents: list[Resident[int]], missing: int, claim: Claim) -> None:
    """Whom a load ahead or a swap may send away, a request may too."""
    situation = Situation(residents, missing, claim, NOW)
    if choose_victim(situation) is not None:
        assert choose_victim(replace(situation, claim=Claim.REQUEST)) is not None
