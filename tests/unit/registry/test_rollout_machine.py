"""A rollout under anything that time, evidence and people do to it, in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry.errors import Conflict
from registry.traffic.actions import Abort, Action, Advance, Expire, Findings, Pause, Promote, Resume, RollBack, Yield
from registry.traffic.journal import first_line, line_of
from registry.traffic.rollout import Rollout, RolloutEvent, RolloutState, decide, moved, plan_of, replans
from tests.support.rollouts import rollout

NEEDED = 100
LIMIT_MS = 600_000


class RolloutMachine(RuleBasedStateMachine):
    """Does to a rollout what a controller and people may do, and remembers what it should have done."""

    @initialize(
        shares=st.lists(st.sampled_from([0, 1, 5, 50, 100]), min_size=1, max_size=5).map(sorted),
        pauses=st.lists(st.sampled_from([None, "0s", "10s", "60s"]), min_size=5, max_size=5),
    )
    def begin(self, shares: list[int], pauses: list[str | None]) -> None:
        """A rollout begins."""
        steps = [{"setWeight": share, "pause": pause} for share, pause in zip(shares, pauses, strict=False)]
        self.now_ms = 1_000
        self.rollout: Rollout = rollout(self.now_ms, steps=steps)
        self.requests = 0
        self.steps = [0]
        self.journal: list[RolloutEvent] = [first_line(self.rollout, "ana")]
        self.going_ms = 0

    @rule(ms=st.sampled_from([1, 500, 9_000, 10_000, 61_000, 300_000]))
    def time_goes_by(self, ms: int) -> None:
        """Time passes."""
        self.now_ms += ms
        if self.rollout.state is RolloutState.RUNNING:
            self.going_ms += ms

    @rule(count=st.sampled_from([1, 60, 100]))
    def requests_come(self, count: int) -> None:
        """The canary answers some requests, if it has a share."""
        if self.rollout.share:
            self.requests += count

    @rule(findings=st.sampled_from([Findings()] * 6 + [Findings(failing="bad"), Findings(shifted="differs")]))
    def look(self, findings: Findings) -> None:
        """The controller looks."""
        before = self.rollout
        action = decide(before, self.now_ms, findings, self.requests)
        if action is None:
            return
        self._do(action)
        if isinstance(action, Advance | Promote):
            step = before.at
            assert self.requests >= NEEDED or step.share == 0
            assert before.step_elapsed_ms(self.now_ms) >= (step.pause_ms or 0)
            assert step.pause_ms is not None or before.released == before.step
            assert not findings.failing and (before.looked or not findings.shifted)
            assert isinstance(action, Advance) or before.step == len(before.spec.steps) - 1
        if isinstance(action, Expire):
            assert self.going_ms >= LIMIT_MS
            assert (
                self.requests >= NEEDED
                or before.share == 0
                or any(word in action.reason for word in (f"{self.requests} of {NEEDED}", "pause are left", "differs"))
            )
        if isinstance(action, RollBack):
            assert findings.failing in action.reason
        if isinstance(action, Advance):
            self.steps.append(self.rollout.step)
            self.requests = 0

    @rule(action=st.sampled_from([Pause(""), Resume(""), Promote("", by_hand=True), Abort("no"), Yield(99), Advance()]))
    def somebody_acts(self, action: Action) -> None:
        """A person, or a controller that is late, tries something, legal or not; mostly the rollout goes on after."""
        if isinstance(action, Promote | Abort | Yield) and self.now_ms % 5:
            return
        before = self.rollout
        if isinstance(action, Advance):
            if before.ended or before.state is RolloutState.PAUSED:
                self._refused(action)
            return
        try:
            self._do(action)
        except Conflict:
            assert self.rollout == before

    def _refused(self, action: Action) -> None:
        try:
            moved(self.rollout, action, self.now_ms)
        except Conflict:
            return
        raise AssertionError("an illegal move was made")

    def _do(self, action: Action) -> None:
        before = self.rollout
        after = moved(before, action, self.now_ms)
        assert not before.ended, "ended stays ended"
        assert after.turn == before.turn + 1
        assert after.plan_revision - before.plan_revision == int(replans(before, after))
        self.journal.append(line_of(before, after, action, "ana", now_ms=self.now_ms, numbers={}))
        self.rollout = after

    @invariant()
    def no_step_is_left_out_or_repeated(self) -> None:
        """Steps come one after the other, each in a revision of its own."""
        assert self.steps == list(range(len(self.steps)))
        assert self.rollout.step == self.steps[-1]
        assert self.rollout.revisions == tuple(range(2, 2 + len(self.steps)))

    @invariant()
    def the_weight_is_the_steps(self) -> None:
        """Never more than the step allows, and none at all once it ended without success."""
        canary = plan_of(self.rollout).canary
        if self.rollout.ended:
            assert canary is None
            assert (plan_of(self.rollout).stable == "2") is (self.rollout.state is RolloutState.SUCCEEDED)
        else:
            assert canary is not None and canary.share == self.rollout.at.share

    @invariant()
    def a_pause_freezes(self) -> None:
        """Both clocks show the time in which it was running."""
        if not self.rollout.ended:
            assert self.rollout.elapsed_ms(self.now_ms) == self.going_ms
            assert self.rollout.step_elapsed_ms(self.now_ms) <= self.going_ms

    @invariant()
    def the_journal_is_linear(self) -> None:
        """One line a move, numbered from 1, each plan revision named once."""
        assert [line.number for line in self.journal] == list(range(1, self.rollout.turn + 1))
        named = [line.revision for line in self.journal if line.revision is not None]
        assert named == list(range(2, self.rollout.plan_revision + 1))


TestRolloutMachine = RolloutMachine.TestCase
TestRolloutMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
