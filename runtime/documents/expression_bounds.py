"""What a command may multiply out of one document: loops in expressions, and stages that follow each other.

A server looks at `maxTimeMS` between documents and stages at best, so a single document must not keep it
busy for long. The estimate of `expression_work` is carried through the stages: which fields were made
large, and into how many documents `$unwind` and `$lookup` turn one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.documents.expression_values import DATA, FIELD, OTHER_FIELDS, Names, Value, largest
from runtime.documents.expression_work import GrowthError, Work
from runtime.messages.documents import DocumentCommand

_SEARCHED: Final = 10
"""Steps of one document's turn in a search through a collection."""


def growth_problem(command: DocumentCommand, steps_max: int) -> str | None:
    """Why this command may not run (with its place in front), or None. Takes a command that the
    allow-lists have let through; recursion is bounded by its depth."""
    work = Work(steps_max)
    for name, value in [*command.arguments.items(), *command.options.items()]:
        try:
            if name in ("query", "filter"):
                _filter(work, value, {}, 1)
            elif name == "arrayFilters":
                for each in value:
                    _filter(work, each, {}, 1)
            elif name == "pipeline":
                _Pipeline(work, 1).run(value)
        except GrowthError as error:
            return f"{name} {error}"
    return None


def _filter(work: Work, value: Any, names: Names, times: int) -> None:
    for key, each in value.items():
        if key == "$expr":
            work.value(each, names, times)
        elif key in ("$and", "$or", "$nor"):
            for branch in each:
                _filter(work, branch, names, times)


@dataclass(slots=True)
class _Pipeline:
    """One document's way through a pipeline: what it has become."""

    work: Work
    documents: int
    made: dict[str, Value] = field(default_factory=dict)
    """Fields that stages have made, by `$` and their first name; others are the document's own."""

    def run(self, stages: list[Mapping[str, Any]]) -> None:
        for stage in stages:
            ((name, body),) = stage.items()
            self.work.spend(self.documents)
            step = _STAGES.get(name)
            if step is not None:
                step(self, body)

    def value(self, expression: Any) -> Value:
        return self.work.value(expression, self.made, self.documents)

    def inner(self, stages: Any, variables: Names, documents: int) -> None:
        pipeline = _Pipeline(self.work, documents, dict(variables))
        pipeline.work.spend(documents)
        pipeline.run(stages)

    def fields(self, body: dict[str, Any]) -> None:
        values = {path: self.value(each) for path, each in body.items()}
        for path, value in values.items():
            name = _first(path)
            before = self.made.get(name, FIELD)
            self.made[name] = largest([value, before]) if "." in path else value

    def project(self, body: dict[str, Any]) -> None:
        chosen = {path: each for path, each in body.items() if not _is_choice(each)}
        self.fields({path.partition(".")[0]: chosen[path] for path in chosen})

    def match(self, body: Any) -> None:
        _filter(self.work, body, self.made, self.documents)

    def expression(self, body: Any) -> Value:
        return self.value(body)

    def replaced(self, body: Any) -> None:
        self.made = {OTHER_FIELDS: largest([self.value(body), FIELD])}

    def replace_root(self, body: dict[str, Any]) -> None:
        self.replaced(body["newRoot"])

    def group(self, body: dict[str, Any]) -> None:
        made = {_first(name): self.value(each) for name, each in body.items()}
        # Accumulators gather what other documents hold, which is data again.
        self.made = {name: largest([value, FIELD]) for name, value in made.items()}

    def bucket(self, body: dict[str, Any]) -> None:
        self.value(body.get("groupBy"))
        self.work.spend(int(min(max(0, body.get("buckets", 0)), self.work.steps_max + 1)))
        self.group(body.get("output", {}))

    def window(self, body: dict[str, Any]) -> None:
        self.value(body.get("partitionBy"))
        self.work.spend(self.documents * DATA * len(body["output"]))
        self.fields(body["output"])

    def unwind(self, body: Any) -> None:
        path = body if isinstance(body, str) else body["path"]
        name = path.partition(".")[0]
        value = self.made.get(name, self.made.get(OTHER_FIELDS, FIELD))
        if value.length > DATA:
            self.documents *= value.length
            self.made[name] = value.one()
        self.work.spend(self.documents)

    def facet(self, body: dict[str, Any]) -> None:
        for pipeline in body.values():
            self.inner(pipeline, self.made, self.documents)
        self.made = {}

    def lookup(self, body: dict[str, Any]) -> None:
        for each in body.get("let", {}).values():
            self.value(each)
        self.work.spend(self.documents * DATA)
        self.inner(body.get("pipeline", []), {}, self.documents * DATA)
        self.made[_first(body["as"])] = FIELD

    def union(self, body: Any) -> None:
        self.inner(body.get("pipeline", []) if isinstance(body, dict) else [], {}, self.documents)

    def graph_lookup(self, body: dict[str, Any]) -> None:
        self.value(body["startWith"])
        self.work.spend(self.documents * DATA * _SEARCHED)
        self.made[_first(body["as"])] = FIELD


def _first(path: str) -> str:
    return f"${path.partition('.')[0]}"


def _is_choice(value: Any) -> bool:
    """Whether a projection only takes or leaves the field."""
    return isinstance(value, bool | int | float)


_STAGES: Final[Mapping[str, Callable[[_Pipeline, Any], object]]] = {
    "$addFields": _Pipeline.fields,
    "$bucket": _Pipeline.bucket,
    "$bucketAuto": _Pipeline.bucket,
    "$facet": _Pipeline.facet,
    "$graphLookup": _Pipeline.graph_lookup,
    "$group": _Pipeline.group,
    "$lookup": _Pipeline.lookup,
    "$match": _Pipeline.match,
    "$project": _Pipeline.project,
    "$redact": _Pipeline.expression,
    "$replaceRoot": _Pipeline.replace_root,
    "$replaceWith": _Pipeline.replaced,
    "$set": _Pipeline.fields,
    "$setWindowFields": _Pipeline.window,
    "$sortByCount": _Pipeline.expression,
    "$unionWith": _Pipeline.union,
    "$unwind": _Pipeline.unwind,
}
"""The others neither evaluate nor multiply."""
