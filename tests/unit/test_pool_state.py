"""The pool's decisions: examples, then random histories against the invariants."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.pool_state import (
    Bind,
    Content,
    Full,
    PoolState,
    SandboxClass,
    SandboxKey,
    Start,
    Warm,
)

CLASS = SandboxClass(24, 256)


def key(name: str = "a", capacity: int = 1, sandbox_class: SandboxClass = CLASS) -> SandboxKey:
    return SandboxKey("mp-space", Content(f"dep-{name}"), sandbox_class, capacity)


def pool(max_sandboxes: int = 3, prewarm: int = 0, idle_s: float = 10.0) -> PoolState:
    return PoolState(
        max_sandboxes=max_sandboxes, prewarm=prewarm, prewarm_class=CLASS, idle_s=idle_s
    )


def start(state: PoolState, wanted: SandboxKey) -> str:
    decision = state.lease(wanted)
    assert isinstance(decision, Start)
    state.bound(decision.sandbox_id)
    return decision.sandbox_id


def test_a_released_sandbox_is_used_again() -> None:
    state = pool()
    sandbox_id = start(state, key())
    assert state.released(sandbox_id, reusable=True, now=1) is False
    assert state.lease(key()) == Warm(sandbox_id)


def test_a_leased_sandbox_of_capacity_one_is_not_shared() -> None:
    state = pool()
    start(state, key())
    assert isinstance(state.lease(key()), Start)


def test_capacity_lets_others_in_only_after_the_code_is_loaded() -> None:
    state = pool()
    wanted = key(capacity=2)
    first = state.lease(wanted)
    assert isinstance(first, Start)
    assert isinstance(state.lease(wanted), Start)
    state.bound(first.sandbox_id)
    assert state.lease(wanted) == Warm(first.sandbox_id)


def test_another_deployment_never_gets_a_bound_sandbox() -> None:
    state = pool()
    sandbox_id = start(state, key("a"))
    state.released(sandbox_id, reusable=True, now=1)
    assert isinstance(state.lease(key("b")), Start)


def test_a_prewarmed_sandbox_goes_to_the_first_key_of_its_class() -> None:
    state = pool(prewarm=1)
    [(sandbox_id, _)] = state.prewarm()
    state.prewarmed(sandbox_id)
    other = key(sandbox_class=SandboxClass(24, 512))
    assert isinstance(state.lease(other), Start)
    assert state.lease(key()) == Bind(sandbox_id)
    assert isinstance(state.lease(key("b")), Start)


def test_prewarming_stops_at_the_limit_and_counts_what_is_under_way() -> None:
    state = pool(max_sandboxes=2, prewarm=5)
    assert len(state.prewarm()) == 2
    assert state.prewarm() == []


def test_a_full_pool_gives_up_the_longest_idle_sandbox() -> None:
    state = pool(max_sandboxes=2)
    old, new = start(state, key("old")), start(state, key("new"))
    state.released(new, reusable=True, now=2)
    state.released(old, reusable=True, now=1)
    decision = state.lease(key("c"))
    assert isinstance(decision, Start)
    assert decision.evict == old


def test_a_full_pool_of_leased_sandboxes_refuses() -> None:
    state = pool(max_sandboxes=2)
    start(state, key("a"))
    start(state, key("b"))
    assert state.lease(key("c")) == Full()


def test_a_sandbox_that_is_not_reusable_ends_with_its_last_lease() -> None:
    state = pool()
    wanted = key(capacity=2)
    sandbox_id = start(state, wanted)
    assert state.lease(wanted) == Warm(sandbox_id)
    assert state.released(sandbox_id, reusable=False, now=1) is False
    assert isinstance(state.lease(wanted), Start)
    assert state.released(sandbox_id, reusable=True, now=2) is True


def test_idle_sandboxes_are_stopped_after_their_time() -> None:
    state = pool(idle_s=10)
    busy, idle = start(state, key("busy")), start(state, key("idle"))
    state.released(idle, reusable=True, now=0)
    assert state.idle(9.9) == []
    assert state.idle(10) == [idle]
    assert state.released(busy, reusable=True, now=10) is False


def test_retire_spares_the_kept_deployment_and_running_calls() -> None:
    state = pool()
    kept, idle, busy = start(state, key("kept")), start(state, key("idle")), start(state, key("x"))
    for sandbox_id in (kept, idle):
        state.released(sandbox_id, reusable=True, now=0)
    assert state.retire(space_id="mp-space", keep=frozenset({Content("dep-kept")})) == [idle]
    assert state.released(busy, reusable=True, now=1) is True
    assert state.lease(key("kept")) == Warm(kept)


def test_a_changed_environment_retires_like_another_deployment() -> None:
    state = pool()
    old, new = Content("dep-a", "env-1"), Content("dep-a", "env-2")
    idle, busy = (start(state, SandboxKey("mp-space", old, CLASS, capacity)) for capacity in (1, 2))
    state.released(idle, reusable=True, now=0)
    assert isinstance(state.lease(SandboxKey("mp-space", new, CLASS, 1)), Start)
    assert state.retire(space_id="mp-space", keep=frozenset({new})) == [idle]
    assert isinstance(state.lease(SandboxKey("mp-space", old, CLASS, 2)), Start)
    assert state.released(busy, reusable=True, now=1) is True


class PoolHistories(RuleBasedStateMachine):
    """Random events; after each one the invariants of the module hold."""

    @initialize(max_sandboxes=st.integers(1, 6), prewarm=st.integers(0, 3))
    def make(self, max_sandboxes: int, prewarm: int) -> None:
        self.max = max_sandboxes
        self.state = pool(max_sandboxes, prewarm, idle_s=5)
        self.owner: dict[str, SandboxKey | None] = {}
        self.leases: dict[str, int] = {}
        self.now = 0.0

    @rule(name=st.sampled_from("abc"), capacity=st.sampled_from([1, 3]))
    def lease(self, name: str, capacity: int) -> None:
        wanted = key(name, capacity)
        decision = self.state.lease(wanted)
        match decision:
            case Warm(sandbox_id):
                assert self.owner[sandbox_id] == wanted, "a sandbox served another deployment"
            case Bind(sandbox_id):
                assert self.owner[sandbox_id] is None
                self.owner[sandbox_id] = wanted
            case Start(sandbox_id, evict):
                if evict is not None:
                    assert self.leases.pop(evict, 0) == 0, "a leased sandbox was given up"
                    del self.owner[evict]
                assert sandbox_id not in self.owner
                self.owner[sandbox_id] = wanted
            case Full():
                assert len(self.owner) == self.max
                return
        self.leases[sandbox_id] = self.leases.get(sandbox_id, 0) + 1
        assert self.leases[sandbox_id] <= capacity

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), reusable=st.booleans(), loaded=st.booleans())
    def release(self, data: st.DataObject, reusable: bool, loaded: bool) -> None:
        sandbox_id = data.draw(st.sampled_from(sorted(self.leases)))
        if loaded:
            self.state.bound(sandbox_id)
        self.now += 1
        stop = self.state.released(sandbox_id, reusable=reusable, now=self.now)
        self.leases[sandbox_id] -= 1
        if stop:
            assert self.leases[sandbox_id] == 0
            del self.owner[sandbox_id]
        if self.leases[sandbox_id] == 0:
            del self.leases[sandbox_id]

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        sandbox_id = data.draw(st.sampled_from(sorted(self.owner)))
        self.state.ended(sandbox_id)
        self.state.ended(sandbox_id)
        del self.owner[sandbox_id]
        self.leases.pop(sandbox_id, None)

    @rule(ready=st.booleans())
    def prewarm(self, ready: bool) -> None:
        for sandbox_id, _ in self.state.prewarm():
            self.owner[sandbox_id] = None
            if ready:
                self.state.prewarmed(sandbox_id)

    @rule(seconds=st.floats(0, 10))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for sandbox_id in self.state.idle(self.now):
            assert sandbox_id not in self.leases, "a leased sandbox was called idle"
            del self.owner[sandbox_id]

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "state"):
            assert len(self.state) == len(self.owner) <= self.max


TestPoolHistories = PoolHistories.TestCase
TestPoolHistories.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
