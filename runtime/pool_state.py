"""Which sandbox serves which invocation: decisions only, no I/O, no clock of its own.

`PoolState` is told what happened (leased, started, released, ended, time passed) and answers what to do.
`runtime.pool` carries it out. A sandbox is in one of four states::

    starting -> prewarmed -> bound -> (gone)        made ahead, without code
    starting -----------------^                     made for one key

and a bound one is leased by 0 to `capacity` invocations of its key. Invariants:

- a sandbox never changes its key; nobody else's invocation ever enters it (design decision 5);
- there are never more than `max_sandboxes`;
- an idle sandbox is given up for a new one only when the limit is reached, the longest unused first;
- `lease` never waits: it says `Full` when every sandbox is leased (waiting here could deadlock, since
  waiting parents hold sandboxes while their children ask for some).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from sandbox.api import INHERITED, EgressRules


@dataclass(frozen=True, slots=True)
class SandboxClass:
    """What distinguishes sandboxes before code is bound to them."""

    node_major: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Content:
    """What binding puts into a sandbox: a deployment, and what its function's environment and its rules of
    the network are now."""

    deployment_id: str
    env_digest: str = ""
    """Of the sealed variables; empty = none."""
    egress: EgressRules = INHERITED


@dataclass(frozen=True, slots=True)
class SandboxKey:
    """Whom a bound sandbox belongs to: one content of one space, under one set of limits."""

    space_id: str
    content: Content
    sandbox_class: SandboxClass
    capacity: int


@dataclass(frozen=True, slots=True)
class Warm:
    """Use this bound sandbox."""

    sandbox_id: str


@dataclass(frozen=True, slots=True)
class Bind:
    """Bind this prewarmed sandbox, then use it."""

    sandbox_id: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a sandbox under this id, bind it, use it. First stop `evict`, if given."""

    sandbox_id: str
    evict: str | None


@dataclass(frozen=True, slots=True)
class Full:
    """Every sandbox is leased: refuse."""


Decision = Warm | Bind | Start | Full


class _Phase(Enum):
    STARTING = "starting"
    PREWARMED = "prewarmed"
    BOUND = "bound"


@dataclass(slots=True)
class _Entry:
    sandbox_id: str
    sandbox_class: SandboxClass
    phase: _Phase
    key: SandboxKey | None = None
    leases: int = 0
    idle_since: float = 0.0
    retired: bool = False
    """Takes no more leases; stopped when the last one is released."""


class PoolState:
    """See the module. Times are seconds of any monotonic clock, given by the caller."""

    def __init__(
        self, *, max_sandboxes: int, prewarm: int, prewarm_class: SandboxClass, idle_s: float
    ) -> None:
        self._max = max_sandboxes
        self._prewarm = prewarm
        self._prewarm_class = prewarm_class
        self._idle_s = idle_s
        self._entries: dict[str, _Entry] = {}
        self._by_key: dict[SandboxKey, list[_Entry]] = {}
        self._made = 0

    def __len__(self) -> int:
        return len(self._entries)

    def lease(self, key: SandboxKey) -> Decision:
        """Decide for one invocation. Every decision but `Full` counts as a lease on its sandbox."""
        for entry in reversed(self._by_key.get(key, ())):  # the latest bound is the likeliest warm
            if entry.phase is _Phase.BOUND and not entry.retired and entry.leases < key.capacity:
                entry.leases += 1
                return Warm(entry.sandbox_id)
        for entry in self._entries.values():
            if entry.phase is _Phase.PREWARMED and entry.sandbox_class == key.sandbox_class:
                self._give_to(entry, key)
                return Bind(entry.sandbox_id)
        evict: str | None = None
        if len(self._entries) >= self._max:
            victim = self._longest_idle()
            if victim is None:
                return Full()
            evict = victim.sandbox_id
            self._forget(victim)
        entry = self._add(key.sandbox_class)
        self._give_to(entry, key)
        return Start(entry.sandbox_id, evict)

    def bound(self, sandbox_id: str) -> None:
        """The user's module is loaded: others with the same key may come in."""
        entry = self._entries.get(sandbox_id)
        if entry is not None:
            entry.phase = _Phase.BOUND

    def released(self, sandbox_id: str, *, reusable: bool, now: float) -> bool:
        """One lease ended. True: stop the sandbox now (it is forgotten here already)."""
        entry = self._entries.get(sandbox_id)
        if entry is None:
            return False
        entry.leases -= 1
        entry.idle_since = now
        if not reusable:
            entry.retired = True
        if entry.retired and entry.leases == 0:
            self._forget(entry)
            return True
        return False

    def ended(self, sandbox_id: str) -> None:
        """The sandbox died or could not be started. Idempotent."""
        entry = self._entries.get(sandbox_id)
        if entry is not None:
            self._forget(entry)

    def retire(self, *, space_id: str, keep: frozenset[Content]) -> list[str]:
        """Sandboxes of this space with another content get no more leases. Returns whom to stop now."""
        stop: list[str] = []
        for entry in list(self._entries.values()):
            key = entry.key
            if key is None or key.space_id != space_id or key.content in keep:
                continue
            entry.retired = True
            if entry.leases == 0:
                self._forget(entry)
                stop.append(entry.sandbox_id)
        return stop

    def prewarm(self) -> list[tuple[str, SandboxClass]]:
        """Sandboxes to start ahead now; they count at once. Never displaces anything."""
        ready = sum(1 for e in self._entries.values() if e.key is None)
        room = self._max - len(self._entries)
        wanted = min(self._prewarm - ready, room)
        return [
            (self._add(self._prewarm_class).sandbox_id, self._prewarm_class)
            for _ in range(max(0, wanted))
        ]

    def prewarmed(self, sandbox_id: str) -> None:
        """A sandbox that was started ahead is ready."""
        entry = self._entries.get(sandbox_id)
        if entry is not None and entry.phase is _Phase.STARTING:
            entry.phase = _Phase.PREWARMED

    def idle(self, now: float) -> list[str]:
        """Bound sandboxes that were not used for `idle_s`; they are forgotten here, stop them."""
        stop = [e for e in self._idle_entries() if now - e.idle_since >= self._idle_s]
        for entry in stop:
            self._forget(entry)
        return [entry.sandbox_id for entry in stop]

    def spaces(self) -> set[str]:
        """Those that have a bound sandbox here."""
        return {entry.key.space_id for entry in self._entries.values() if entry.key is not None}

    def _idle_entries(self) -> Iterator[_Entry]:
        return (e for e in self._entries.values() if e.phase is _Phase.BOUND and e.leases == 0)

    def _longest_idle(self) -> _Entry | None:
        """Whom to give up for a new sandbox: an idle bound one, else a prewarmed one of another class."""
        bound = min(self._idle_entries(), key=lambda e: e.idle_since, default=None)
        if bound is not None:
            return bound
        return next((e for e in self._entries.values() if e.phase is _Phase.PREWARMED), None)

    def _add(self, sandbox_class: SandboxClass) -> _Entry:
        self._made += 1
        entry = _Entry(f"s{self._made}", sandbox_class, _Phase.STARTING)
        self._entries[entry.sandbox_id] = entry
        return entry

    def _give_to(self, entry: _Entry, key: SandboxKey) -> None:
        entry.phase = _Phase.STARTING
        entry.key = key
        entry.leases = 1
        self._by_key.setdefault(key, []).append(entry)

    def _forget(self, entry: _Entry) -> None:
        del self._entries[entry.sandbox_id]
        if entry.key is not None:
            same = self._by_key[entry.key]
            same.remove(entry)
            if not same:
                del self._by_key[entry.key]
