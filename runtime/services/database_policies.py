"""The access rules of a space's collections: set and describe (spec: management API §5).

Rules belong to names: a collection that is renamed takes none along, one that is dropped leaves its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from runtime.documents.errors import DatabaseError
from runtime.documents.names import check_collection
from runtime.documents.rule_documents import (
    DOCUMENT_MAX_CHARACTERS,
    document_of_policies,
    policies_of_document,
)
from runtime.documents.rules import policy_of
from runtime.errors import InvalidParameterError
from runtime.messages import CollectionPolicy, DatabaseConfig, PolicyName, Space
from runtime.ports import Clock
from runtime.services.space_editor import SpaceEditor

_Change = Callable[[Mapping[str, CollectionPolicy]], Mapping[str, CollectionPolicy]]
_log = structlog.get_logger(__name__)


class DatabasePolicyService:
    """Use cases. Unknown spaces raise NotFoundError. Clients have a change with the next look at their space:
    this gateway's at once, others' after their next poll."""

    def __init__(self, *, editor: SpaceEditor, clock: Clock) -> None:
        self._editor = editor
        self._clock = clock

    async def policies(self, space_id: str) -> Mapping[str, CollectionPolicy]:
        """By collection, as they are stored; `*` is that of all others. As the guide's one document:
        `documents.rule_documents.document_of_policies`."""
        return (await self._editor.read(space_id)).database.policies

    async def set(
        self, space_id: str, collection: str, name: PolicyName, text: str | None = None
    ) -> CollectionPolicy:
        """The collection's policy from now on; it need not exist yet. `text` counts for EXTENDED only.

        The same again changes nothing. Raises RuleTextError (an InvalidParameterError) with every fault and
        its place, InvalidParameterError for a name that no collection can have and for one rule too many."""
        _check_name(collection, "CollectionName")
        policy = policy_of(name, text)
        await self._store(space_id, lambda present: {**present, collection: policy})
        _log.info("database_policy_changed", space=space_id, collection=collection, policy=name)
        return policy

    async def set_document(self, space_id: str, text: str) -> None:
        """The rules of the guide's document instead of all present ones. Collections whose rule has the same
        text keep the name of their preset. Raises as `set`."""
        wanted = policies_of_document(text)
        for collection in wanted:
            _check_name(collection, "Policy")

        def change(present: Mapping[str, CollectionPolicy]) -> Mapping[str, CollectionPolicy]:
            return {
                name: present[name]
                if name in present and present[name].text == policy.text
                else policy
                for name, policy in wanted.items()
            }

        await self._store(space_id, change)
        _log.info("database_policies_replaced", space=space_id, collections=len(wanted))

    async def _store(self, space_id: str, change: _Change) -> None:
        def apply(space: Space) -> Space:
            policies = change(space.database.policies)
            # equal mappings may differ in their order, which people see
            if list(policies.items()) == list(space.database.policies.items()):
                return space
            _check_size(policies)
            now_ms = self._clock.now_ms()
            return replace(space, database=DatabaseConfig(policies=policies), modified_ms=now_ms)

        await self._editor.change(space_id, apply)


def _check_name(collection: str, parameter: str) -> None:
    try:
        check_collection(collection, parameter)
    except DatabaseError as error:
        raise InvalidParameterError(parameter, error.message) from None


def _check_size(policies: Mapping[str, CollectionPolicy]) -> None:
    """What is stored can always be given back as one document."""
    characters = len(document_of_policies(policies))
    if characters > DOCUMENT_MAX_CHARACTERS:
        raise InvalidParameterError(
            "Policy",
            f"all rules of a space together have at most {DOCUMENT_MAX_CHARACTERS} characters,"
            f" these {characters}",
            code="DatabasePolicyLimitExceeded",
        )
