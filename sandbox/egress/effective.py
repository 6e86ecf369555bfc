"""What one function may reach: the worker's policy with the rules of its space and of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import structlog

from sandbox.api import EgressRules
from sandbox.egress.policy import EgressPolicy
from sandbox.egress.rules import EgressRuleError, Rule, parse_rules

_log = structlog.get_logger(__name__)

_CACHED_MAX = 1024


@lru_cache(maxsize=_CACHED_MAX)
def effective_policy(worker: EgressPolicy, rules: EgressRules, *, extend: bool) -> EgressPolicy:
    """`extend` = rules may open what `worker` does not; otherwise they only choose within it, so beside an
    inherited policy they change nothing. What `worker` denies stays denied in any case.

    A rule that this version cannot read grants nothing and is told in the program's log."""
    if not extend:
        if rules.inherit:
            return worker
        return EgressPolicy(
            allow=tuple(_readable(rules.allow)), public=False, inherits=False, within=worker
        )
    if rules.inherit and not rules.allow:
        return worker
    own = tuple(_readable(rules.allow))
    if rules.inherit:
        return replace(worker, allow=worker.allow + own)
    return replace(worker, allow=own, public=False, inherits=False)


def _readable(texts: tuple[str, ...]) -> Iterator[Rule]:
    for text in texts:
        try:
            yield from parse_rules(text)
        except EgressRuleError as error:
            _log.warning("egress_rule_unreadable", rule=text[:300], error=str(error)[:300])
