"""The installation's part of the egress policy, from the settings."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.services.egress_rules import EgressRuleLimits
from runtime.settings import Settings, SettingsError
from sandbox.egress.access import EgressAccess
from sandbox.egress.internal import InternalHandler
from sandbox.egress.limits import EgressLimits
from sandbox.egress.policy import EgressPolicy
from sandbox.egress.rules import EgressRuleError


def egress_access(
    settings: Settings, internal: Mapping[str, InternalHandler] | None = None
) -> EgressAccess:
    """What functions may reach; `internal` beside that, whatever the rules say.

    Raises SettingsError for rules that cannot be read."""
    return EgressAccess(
        policy=_policy(settings),
        extend=_may_extend(settings),
        limits=EgressLimits(
            connections_max=settings.egress_connections_max,
            connects_burst=settings.egress_connects_burst,
            connects_per_s=settings.egress_connects_per_second,
        ),
        internal=internal or {},
    )


def egress_limits(settings: Settings) -> EgressRuleLimits:
    """Bounds of the rules of a space or a function. Raises SettingsError as above."""
    return EgressRuleLimits(
        rules_max=settings.egress_rules_max,
        rule_max_characters=settings.egress_rule_max,
        within=None if _may_extend(settings) else _policy(settings),
    )


def _may_extend(settings: Settings) -> bool:
    return settings.egress_space_rules == "any"


def _policy(settings: Settings) -> EgressPolicy:
    try:
        return EgressPolicy.from_text(allow=settings.egress_allow, public=settings.egress_public)
    except EgressRuleError as error:
        raise SettingsError(f"YUNHAN_EGRESS_ALLOW: {error}") from error
