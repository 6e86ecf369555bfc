"""Leases unpacked code: fetched and unpacked once, kept while it is used and while it fits."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from runtime.code_trees import (
    CodeTree,
    TreeKey,
    make_tree,
    new_home,
    remove_home,
    take_over_trees,
)
from runtime.errors import OursError, UnavailableError
from runtime.package.check import PackageError, PackageLimits
from runtime.ports import FileStore
from runtime.services.code_blobs import code_key
from runtime.threads import run_to_end

_log = structlog.get_logger(__name__)


class _Slot:
    """What the cache knows about one key.

    `ready` is None until the tree is needed in this process, then a future that always ends with a
    result: afterwards there is a `tree` or a `failure`.
    """

    __slots__ = ("dropped", "failure", "key", "leases", "ready", "tree")

    def __init__(self, key: TreeKey, tree: CodeTree | None = None) -> None:
        self.key = key
        self.tree = tree
        self.leases = 0
        self.ready: asyncio.Future[None] | None = None
        self.failure: UnavailableError | None = None
        self.dropped = False

    @property
    def idle(self) -> bool:
        return self.leases == 0 and (self.ready is None or self.ready.done())

    @property
    def size_bytes(self) -> int:
        return self.tree.size_bytes if self.tree is not None else 0


class CodeCache:
    """The unpacked code of one worker. It owns its folder; two programs must not share one."""

    def __init__(
        self,
        folder: Path,
        file_store: FileStore,
        *,
        max_bytes: int,
        limits: PackageLimits,
        fetches_max: int = 2,
    ) -> None:
        """`max_bytes` bounds the unpacked trees; leased ones may exceed it. `fetches_max` packages
        are fetched and unpacked at the same time, further ones wait."""
        self._folder = folder
        self._file_store = file_store
        self._max_bytes = max_bytes
        self._limits = limits
        self._fetches = asyncio.Semaphore(fetches_max)
        self._slots: OrderedDict[TreeKey, _Slot] = OrderedDict()  # least recently used first
        self._tasks: asyncio.TaskGroup | None = None
        self._preparing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Sweep what a crash left and take over whole trees; on exit stop fetching.

        Trees of earlier starts count as used when they were unpacked. Raises OSError when the
        folder cannot be used."""
        for tree in await run_to_end(take_over_trees, self._folder):
            self._slots[tree.key] = _Slot(tree.key, tree)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._trim()
            try:
                yield
            finally:
                self._tasks = None
                for task in self._preparing:
                    task.cancel()

    @asynccontextmanager
    async def lease(self, digest: str, function: str) -> AsyncIterator[Path]:
        """The folder with the function's index.js at its top; it stays until the context is left.

        Concurrent leases of the same code share one fetch, which goes on when the one who asked
        first is cancelled. Raises UnavailableError naming the digest when the code cannot be had;
        the next lease tries again.
        """
        slot, ready = self._slot(TreeKey(digest, function))
        slot.leases += 1
        try:
            await asyncio.shield(ready)
            if slot.tree is None:
                assert slot.failure is not None
                raise UnavailableError(slot.failure.message) from slot.failure
            yield slot.tree.code_dir
        finally:
            slot.leases -= 1
            self._settle(slot)

    async def drop(self, digest: str) -> None:
        """Delete the trees of a package in the background, leased ones when their last lease ends.

        Idempotent."""
        for key in [key for key in self._slots if key.digest == digest]:
            slot = self._slots.pop(key)
            slot.dropped = True
            self._settle(slot)

    # --- which trees are kept -------------------------------------------------------------------

    def _slot(self, key: TreeKey) -> tuple[_Slot, asyncio.Future[None]]:
        """The slot of this key as the most recently used, with its preparation at least begun."""
        key.check()
        if self._tasks is None:
            raise UnavailableError(f"code {key.digest} cannot be had: the worker is not running")
        slot = self._slots.setdefault(key, _Slot(key))
        self._slots.move_to_end(key)
        if slot.ready is None:
            slot.ready = asyncio.get_running_loop().create_future()
            task = self._tasks.create_task(
                self._prepare(slot, slot.ready), name=f"prepare code {key.digest}"
            )
            self._preparing.add(task)
            task.add_done_callback(self._preparing.discard)
        return slot, slot.ready

    def _settle(self, slot: _Slot) -> None:
        """After a lease or a preparation has ended: forget, delete and trim what that allows."""
        current = self._slots.get(slot.key) is slot
        if current and slot.failure is not None:
            del self._slots[slot.key]  # the next lease tries again
        elif current:
            self._slots.move_to_end(slot.key)
        elif slot.dropped and slot.idle:
            self._discard(slot)
        self._trim()

    def _trim(self) -> None:
        """Delete the least recently used idle trees while there are too many bytes."""
        excess = sum(slot.size_bytes for slot in self._slots.values()) - self._max_bytes
        for slot in list(self._slots.values()):
            if excess <= 0:
                return
            if slot.idle:
                excess -= slot.size_bytes
                del self._slots[slot.key]
                self._discard(slot)

    def _discard(self, slot: _Slot) -> None:
        """Delete an idle tree in the background; while the cache closes it stays for next time."""
        tree, slot.tree = slot.tree, None
        if tree is not None and self._tasks is not None:
            self._tasks.create_task(self._remove(tree.home), name=f"remove code {tree.key.digest}")

    # --- making and removing trees --------------------------------------------------------------

    async def _prepare(self, slot: _Slot, ready: asyncio.Future[None]) -> None:
        """Make the slot's tree usable. Every path sets `ready`, with a tree or a failure."""
        what = f"code {slot.key.digest} of function {slot.key.function}"
        try:
            async with self._fetches:
                slot.tree = await self._whole(slot.tree) or await self._fetch(slot.key)
        except OursError as error:
            slot.failure = UnavailableError(f"{what}: {error.message}")
        except (PackageError, OSError) as error:
            slot.failure = UnavailableError(f"{what} cannot be unpacked: {error}")
        except asyncio.CancelledError:
            slot.failure = UnavailableError(f"{what}: the worker is stopping")
            raise
        except Exception:  # noqa: BLE001 - one package must not stop the worker
            _log.exception("code_prepare_failed", digest=slot.key.digest)
            slot.failure = UnavailableError(f"{what} cannot be had: see the worker's log")
        finally:
            if slot.failure is not None:
                slot.tree = None
            ready.set_result(None)
            self._settle(slot)

    async def _whole(self, tree: CodeTree | None) -> CodeTree | None:
        """A tree of an earlier start if it is whole; otherwise it is removed."""
        if tree is None or await run_to_end(tree.is_whole):
            return tree
        _log.warning("code_tree_damaged", digest=tree.key.digest, path=str(tree.home))
        await self._remove(tree.home)
        return None

    async def _fetch(self, key: TreeKey) -> CodeTree:
        home = new_home(self._folder, key)
        packed = home / "package.zip"
        try:
            await run_to_end(home.mkdir, 0o700)
            if await self._file_store.get_file(code_key(key.digest), packed):
                return await run_to_end(make_tree, home, key, packed, self._limits)
        except BaseException:
            await self._remove(home)
            raise
        await self._remove(home)
        raise UnavailableError("the file store has no such package; deploy it again")

    async def _remove(self, home: Path) -> None:
        try:
            await run_to_end(remove_home, home)
        except OSError as error:  # out of use anyway; the next start sweeps what is left
            _log.warning("code_remove_failed", path=str(home), error=str(error))
