"""What a command may multiply out of one document: loops in expressions, and stages that follow each other.

A server looks at `maxTimeMS` between documents and stages at best, so a single document must not keep it
busy for long. The estimate of `expression_work` is carried through the stages: which fields were made
large, and into how many documents `$unwind` and `$lookup` turn one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.documents.expression_names import Fields, Scope
from runtime.documents.expression_values import DATA, FIELD, Value, largest
from runtime.documents.expression_work import COPIED, GrowthError, Work
from runtime.messages.documents import DocumentCommand

_SEARCHED: Final = 10
"""Steps of one document's turn in a search through a collection."""


_LOOKS: Final = 4
"""For each value of a command: what `$reduce`s within each other take."""
_LOOKS_FREE: Final = 3_000
"""For a command of any size: few values, deeply entangled."""
_LOOKS_MAX: Final = 100_000
"""Some tenths of a second."""


def looks_max(values: int) -> int:
    """What the estimate of a command with so many values may take itself."""
    return min(_LOOKS_FREE + _LOOKS * values, _LOOKS_MAX)


def growth_problem(command: DocumentCommand, work: Work) -> str | None:
    """Why this command may not run (with its place in front), or None. Takes a command that the
    allow-lists have let through; recursion is bounded by its depth."""
    for name, value in [*command.arguments.items(), *command.options.items()]:
        try:
            if name in ("query", "filter"):
                _filter(work, value, Scope(), 1)
            elif name == "arrayFilters":
                for each in value:
                    _filter(work, each, Scope(), 1)
            elif name == "pipeline":
                _Pipeline(work, 1).run(value)
        except GrowthError as error:
            return f"{name} {error}"
    return None


def _filter(work: Work, value: Any, names: Scope, times: int) -> None:
    work.look(len(value))
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
    made: Fields = field(default_factory=Fields)
    """The document as stages have made it."""
    variables: Mapping[str, Value] = field(default_factory=dict)
    """Of the `$lookup` around the pipeline."""

    def run(self, stages: list[Mapping[str, Any]]) -> None:
        for stage in stages:
            ((name, body),) = stage.items()
            self.work.look()
            self.work.spend(self.documents)
            step = _STAGES.get(name)
            if step is not None:
                step(self, body)

    @property
    def names(self) -> Scope:
        return Scope(self.made, self.made, self.variables)

    def value(self, expression: Any) -> Value:
        return self.work.value(expression, self.names, self.documents)

    def inner(self, stages: Any, made: Fields, documents: int) -> None:
        self.work.look()
        self.work.spend(documents)
        if stages:
            self.work.look(len(made) // COPIED)
            _Pipeline(self.work, documents, made.copy(), self.variables).run(stages)

    def fields(self, body: dict[str, Any]) -> None:
        values = {path: self.value(each) for path, each in body.items()}
        for path, value in values.items():
            name = _first(path)
            self.made.put(name, largest([value, self.made.of(name)]) if "." in path else value)

    def project(self, body: dict[str, Any]) -> None:
        self.work.look(len(body))
        self.fields({path: each for path, each in body.items() if not _is_choice(each)})

    def match(self, body: Any) -> None:
        _filter(self.work, body, self.names, self.documents)

    def expression(self, body: Any) -> Value:
        return self.value(body)

    def replaced(self, body: Any) -> None:
        self.made = Fields(other=largest([self.value(body), FIELD]))

    def replace_root(self, body: dict[str, Any]) -> None:
        self.replaced(body["newRoot"])

    def group(self, body: dict[str, Any]) -> None:
        # Accumulators gather what other documents hold, which is data again.
        made = {name: largest([self.value(each), FIELD]) for name, each in body.items()}
        self.made = Fields(made)

    def bucket(self, body: dict[str, Any]) -> None:
        for key in ("groupBy", "boundaries", "default"):
            self.value(body.get(key))
        self.work.spend(int(min(max(0, body.get("buckets", 0)), self.work.steps_max + 1)))
        self.group(body.get("output", {}))

    def window(self, body: dict[str, Any]) -> None:
        self.value(body.get("partitionBy"))
        self.work.spend(self.documents * DATA * len(body["output"]))
        self.fields(body["output"])

    def unwind(self, body: Any) -> None:
        path = body if isinstance(body, str) else body["path"]
        name = _first(path.removeprefix("$"))
        value = self.made.of(name)
        if value.length > DATA:
            self.documents *= value.length
            self.made.put(name, value.one())
        self.work.spend(self.documents)

    def facet(self, body: dict[str, Any]) -> None:
        for pipeline in body.values():
            self.inner(pipeline, self.made, self.documents)
        self.made = Fields()

    def lookup(self, body: dict[str, Any]) -> None:
        outer = self.variables
        let = {name: self.value(each) for name, each in body.get("let", {}).items()}
        self.variables = self.work.inside(self.names, let).variables
        self.work.spend(self.documents * DATA)
        self.inner(body.get("pipeline", []), Fields(), self.documents * DATA)
        self.variables = outer
        self.made.put(_first(body["as"]), FIELD)

    def union(self, body: Any) -> None:
        stages = body.get("pipeline", []) if isinstance(body, dict) else []
        self.inner(stages, Fields(), self.documents)

    def graph_lookup(self, body: dict[str, Any]) -> None:
        self.value(body["startWith"])
        self.work.spend(self.documents * DATA * _SEARCHED)
        found = self.documents * DATA
        _filter(self.work, body.get("restrictSearchWithMatch", {}), Scope(), found)
        self.made.put(_first(body["as"]), FIELD)

    def geo_near(self, body: dict[str, Any]) -> None:
        self.match(body.get("query", {}))


def _first(path: str) -> str:
    return path.partition(".")[0]


def _is_choice(value: Any) -> bool:
    """Whether a projection only takes or leaves the field."""
    return isinstance(value, bool | int | float)


_STAGES: Final[Mapping[str, Callable[[_Pipeline, Any], object]]] = {
    "$addFields": _Pipeline.fields,
    "$bucket": _Pipeline.bucket,
    "$bucketAuto": _Pipeline.bucket,
    "$facet": _Pipeline.facet,
    "$geoNear": _Pipeline.geo_near,
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
