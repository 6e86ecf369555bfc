"""Transactions of the model of a collection: a copy as of the first command, and whose changes collide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tests.harness.document_model import (
    DUPLICATE_KEY,
    Answer,
    Caller,
    Collection,
    Entry,
    ModelError,
    Params,
)
from tests.harness.document_model_stage import Told
from tests.harness.document_model_values import identical, same, stored_id

WRITE_CONFLICT, NO_SUCH_TRANSACTION = "112", "251"


class Transaction:
    """One that is open."""

    def __init__(self) -> None:
        self.view: Collection | None = None
        """What it sees; None before its first command."""
        self.written: list[Any] = []
        """Ids of documents that it changed, made or deleted."""
        self.overtaken: list[Any] = []
        """Ids of documents that others changed since its first command."""
        self.failed = False

    def run(
        self, params: Params, told: Told, committed: Collection, others: Sequence[Transaction]
    ) -> list[Answer | ModelError]:
        """What the service may answer. `told` is what it did: the ids that it made are in it."""
        if self.failed:
            return [ModelError(NO_SUCH_TRANSACTION)]
        before = self.view = self.view or committed.copy()
        after = before.copy()
        try:
            expected: Answer | ModelError = after.run(params, Caller(), iter(_made(told)))
        except ModelError as error:
            expected = error
        written = changed_ids(before.entries, after.entries)
        taken = [*self.overtaken, *(each for other in others for each in other.written)]
        if any(_is_in(each, taken) for each in written):
            inserted = len(after.entries) > len(before.entries)
            return [ModelError(WRITE_CONFLICT), *([ModelError(DUPLICATE_KEY)] if inserted else [])]
        if isinstance(expected, ModelError):
            return [expected, *([ModelError(WRITE_CONFLICT)] if taken else [])]
        self.view = after
        self.written += written
        return [expected]

    def fail(self) -> None:
        """Nothing of it will be written."""
        self.failed = True
        self.written = []

    def has_written(self, identity: Any) -> bool:
        """`identity` is a JSON value."""
        return _is_in(stored_id(identity), self.written)

    def overtaken_by(self, identities: Iterable[Any]) -> None:
        """Others changed these documents."""
        if self.view is not None:
            self.overtaken += identities

    def merged(self, committed: Sequence[Entry]) -> list[Entry]:
        """What everybody sees after its commit."""
        own = [] if self.view is None else self.view.entries
        kept = [each for each in committed if not _is_in(each.document["_id"], self.written)]
        return kept + [each for each in own if _is_in(each.document["_id"], self.written)]


def changed_ids(before: Sequence[Entry], after: Sequence[Entry]) -> list[Any]:
    """Of documents that are new, gone or not the same."""
    ids = [each.document["_id"] for each in (*before, *after)]
    return [each for each in ids if not _alike(_at(before, each), _at(after, each))]


def _alike(one: Entry | None, other: Entry | None) -> bool:
    if one is None or other is None:
        return one is other
    return identical(one.document, other.document)


def _at(entries: Sequence[Entry], identity: Any) -> Entry | None:
    return next((each for each in entries if same(each.document["_id"], identity)), None)


def _is_in(identity: Any, identities: Iterable[Any]) -> bool:
    return any(same(identity, each) for each in identities)


def _made(told: Told) -> list[str]:
    result = told.data and told.data["result"]
    made = [
        result[key]
        for key in ("insertedId", "upsertedId")
        if isinstance(result, dict) and key in result
    ]
    return [str(each) for each in made]
