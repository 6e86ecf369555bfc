"""The view of spaces that calls use: in memory, never older than `control_max_age_s`.

A warm call reads no document (design decision 3). One poll compares the revisions of all cached spaces;
what changed is read again. Changes made by this process are seen at once (`invalidate`), changes by others
after a poll. When the database does not answer, views grow too old and calls are refused as unavailable,
because a revoked or deleted space must not live on in a cache.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from runtime.documents.rules import Rules
from runtime.errors import YunhanError
from runtime.files.rules import FileRules
from runtime.messages import (
    EGRESS_INHERITED,
    AccessConfig,
    EgressConfig,
    Function,
    HttpTriggerConfig,
    Space,
    SpaceStatus,
)
from runtime.ports import Clock, ControlStore
from runtime.sealing import SecretBox
from runtime.services.space_editor import unknown_space
from runtime.services.space_keys import client_secret_context

_log = structlog.get_logger(__name__)

_SPACE_ID_MAX = 64
NO_RULES = Rules.of({})
DEFAULT_FILE_RULES = FileRules.of("")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceView:
    """What a call needs of its space."""

    space_id: str
    status: SpaceStatus
    client_secret: bytes = field(repr=False)
    public_key_pem: str
    functions: Mapping[str, Function]
    http_triggers: HttpTriggerConfig
    trigger_paths: Mapping[str, str]
    """The function of each trigger path."""
    egress: EgressConfig = EGRESS_INHERITED
    rules: Rules = NO_RULES
    """Access to its database by clients."""
    file_rules: FileRules = DEFAULT_FILE_RULES
    access: AccessConfig = field(default_factory=AccessConfig)
    revision: int


@dataclass(slots=True)
class _Cached:
    view: SpaceView | None
    """None: there is no such space."""
    checked: float


class SpaceDirectory:
    """See the module. `on_read` is told of every view read from the store (None: no such space). `used` names
    spaces that have to be followed although nobody asks for them here: those whose sandboxes live here."""

    def __init__(
        self,
        *,
        store: ControlStore,
        box: SecretBox,
        clock: Clock,
        max_age_s: float,
        poll_s: float,
        max_spaces: int,
    ) -> None:
        self._store = store
        self._box = box
        self._clock = clock
        self._max_age_s = max_age_s
        self._poll_s = poll_s
        self._max_spaces = max_spaces
        self._cached: OrderedDict[str, _Cached] = OrderedDict()
        self._absent: OrderedDict[str, _Cached] = OrderedDict()
        """Ids that are no spaces: strangers may ask for any number of them, and push out no space."""
        self._loading: dict[str, asyncio.Lock] = {}
        self._changes = 0
        self._changed: set[str] = set()
        """Invalidated since the last poll: their sandboxes may have to go though nobody calls."""
        self.on_read: Callable[[str, SpaceView | None], None] = lambda _id, _view: None
        self.used: Callable[[], Iterable[str]] = lambda: ()

    def __len__(self) -> int:
        return len(self._cached)

    async def get(self, space_id: str) -> SpaceView:
        """The space as it was at most `max_age_s` ago.

        Raises NotFoundError (InvalidSpaceId.NotFound) or UnavailableError."""
        if len(space_id) > _SPACE_ID_MAX or not space_id.isascii():  # anybody may send anything
            raise unknown_space(space_id)
        cached = self._fresh(space_id)
        if cached is None:
            cached = await self._load(space_id)
        if cached.view is None:
            raise unknown_space(space_id)
        return cached.view

    async def catch_up(self, space_id: str, revision: int) -> None:
        """Read a space of which only an older revision is known here, or nothing. A database that does not
        answer is no error: what is known stays for as long as it may be used."""
        cached = self._cached.get(space_id)
        if cached is not None and cached.view is not None and cached.view.revision >= revision:
            return
        try:
            await self._load(space_id, revision)
        except YunhanError as error:
            _log.warning("space_not_caught_up", space=space_id, error=str(error))

    def invalidate(self, space_id: str) -> None:
        """Forget what is known of a space; the next call reads it."""
        self._changes += 1
        self._absent.pop(space_id, None)
        if self._cached.pop(space_id, None) is not None:
            self._changed.add(space_id)

    async def run(self) -> None:
        """Poll for ever. A database that does not answer is logged and tried again."""
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.poll()
            except YunhanError as error:
                _log.warning("control_poll_failed", error=str(error))

    async def poll(self) -> None:
        """Compare every cached space once. Raises UnavailableError."""
        began = self._clock.monotonic()
        known = [space_id for space_id, cached in self._cached.items() if cached.view is not None]
        stored = await self._store.revisions(known) if known else {}
        for space_id in known:
            cached = self._cached.get(space_id)
            if cached is None:
                continue
            revision = cached.view.revision if cached.view else None
            if stored.get(space_id) == revision:
                cached.checked = max(cached.checked, began)
            else:
                self.invalidate(space_id)
        changed, self._changed = self._changed, set()
        for space_id in changed.union(self.used()):
            if self._fresh(space_id) is None:
                await self._load(space_id)

    def _fresh(self, space_id: str, revision: int = 0) -> _Cached | None:
        known = self._cached if space_id in self._cached else self._absent
        cached = known.get(space_id)
        if cached is None or self._clock.monotonic() - cached.checked > self._max_age_s:
            return None
        if cached.view is not None and cached.view.revision < revision:
            return None
        known.move_to_end(space_id)
        return cached

    async def _load(self, space_id: str, revision: int = 0) -> _Cached:
        lock = self._loading.setdefault(space_id, asyncio.Lock())
        try:
            async with lock:
                cached = self._fresh(space_id, revision)  # another call may have loaded it
                return cached if cached is not None else await self._read(space_id)
        finally:
            if not lock.locked():
                self._loading.pop(space_id, None)

    async def _read(self, space_id: str) -> _Cached:
        changes = self._changes
        began = self._clock.monotonic()
        space = await self._store.read_space(space_id)
        cached = _Cached(self._view(space) if space else None, began)
        if changes == self._changes:  # else it may be older than the change
            self.on_read(space_id, cached.view)
            self._cached.pop(space_id, None)
            self._absent.pop(space_id, None)
            known = self._absent if cached.view is None else self._cached
            known[space_id] = cached
            while len(known) > self._max_spaces:
                known.popitem(last=False)
        return cached

    def _view(self, space: Space) -> SpaceView:
        return SpaceView(
            space_id=space.space_id,
            status=space.status,
            client_secret=self._box.open(
                space.client_secret_sealed, context=client_secret_context(space.space_id)
            ),
            public_key_pem=space.public_key_pem,
            functions=space.functions,
            http_triggers=space.http_triggers,
            trigger_paths={
                function.http_path: name
                for name, function in space.functions.items()
                if function.http_path
            },
            egress=space.egress,
            rules=Rules.of(space.database.policies),
            file_rules=FileRules.of(space.files.rules),
            access=space.access,
            revision=space.revision,
        )
