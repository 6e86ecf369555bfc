"""The access rules of a space's files: set and describe (spec: management API §5, "Permissions")."""

from __future__ import annotations

from dataclasses import replace

import structlog

from runtime.files.rules import DEFAULT_FILE_RULES, check_file_rules
from runtime.messages import Space
from runtime.ports import Clock
from runtime.services.space_editor import SpaceEditor

_log = structlog.get_logger(__name__)


class FilePolicyService:
    """Use cases. Unknown spaces raise NotFoundError. Clients have a change with the next look at their space:
    this gateway's at once, others' after their next poll."""

    def __init__(self, *, editor: SpaceEditor, clock: Clock) -> None:
        self._editor = editor
        self._clock = clock

    async def rules(self, space_id: str) -> str:
        """The document that counts: as its author wrote it, else DEFAULT_FILE_RULES."""
        return (await self._editor.read(space_id)).files.rules or DEFAULT_FILE_RULES

    async def set(self, space_id: str, text: str) -> None:
        """The document from now on; blank: back to DEFAULT_FILE_RULES. The same again changes nothing.

        Raises RuleTextError (an InvalidParameterError) with every fault and its place."""
        rules = text if text.strip() else ""
        if rules:
            check_file_rules(rules)

        def apply(space: Space) -> Space:
            if space.files.rules == rules:
                return space
            files = replace(space.files, rules=rules)
            return replace(space, files=files, modified_ms=self._clock.now_ms())

        await self._editor.change(space_id, apply)
        _log.info("file_rules_changed", space=space_id, default=not rules)
