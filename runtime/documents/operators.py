"""What a command may hold: allow-lists of operators, depths and numbers; and which collections it reads."""

from __future__ import annotations

from typing import Any

from runtime.documents.errors import EXCEEDED_MEMORY_LIMIT
from runtime.documents.expression_bounds import growth_problem, looks_max
from runtime.documents.expression_work import Work
from runtime.documents.filters import check_filter
from runtime.documents.pipelines import check_pipeline
from runtime.documents.updates import check_update
from runtime.documents.walk import OperatorLimits, Walk
from runtime.messages.documents import DocumentCommand, Verb

__all__ = ["OperatorLimits", "check_command"]

_INSERTS = frozenset({Verb.INSERT_ONE, Verb.INSERT_MANY})


def check_command(command: DocumentCommand, limits: OperatorLimits) -> frozenset[str]:
    """The collections that its pipeline reads beside its own ($lookup, $unionWith, $graphLookup at any
    depth; its own too when it is named there). Takes what `parse` made, before owner rules are added.

    What is not on the lists is refused: code, writes elsewhere, other databases, states of the server.
    Raises DatabaseError; never RecursionError, whatever the values hold."""
    walk = Walk(command.collection, limits)
    for values in (command.arguments, command.options):
        for name, value in values.items():
            walk.shape(value, name)
    for name, value in command.arguments.items():
        _check_argument(walk, command.verb, name, value)
    for each in command.options.get("arrayFilters", ()):
        check_filter(walk, each, "arrayFilters")
    problem = growth_problem(
        command, Work(limits.steps, looks_max(walk.values), interpreted=limits.interpreted)
    )
    if problem is not None:
        raise walk.error(problem, EXCEEDED_MEMORY_LIMIT)
    return frozenset(walk.foreign)


def _check_argument(walk: Walk, verb: Verb, name: str, value: Any) -> None:
    if name in ("query", "filter"):
        check_filter(walk, value, name)
    elif name == "update":
        check_update(walk, value, name)
    elif name == "pipeline":
        check_pipeline(walk, value, name)
    elif name in ("doc", "replacement"):
        walk.stored(value, name, dots=verb not in _INSERTS)
    elif name == "docs":
        if len(value) > walk.limits.documents:
            raise walk.error(f"docs has more than {walk.limits.documents} documents")
        for each in value:
            walk.stored(each, name, dots=False)
