"""What functions reach of the network."""

from __future__ import annotations

from typing import Literal

from runtime.settings.fields import SettingGroup, setting


class EgressSettings(SettingGroup):
    """The way out through the worker."""

    egress_public: bool = setting(
        True,  # noqa: FBT003 - a default like the others
        "boolean",
        "functions may reach public addresses",
    )
    egress_allow: str = setting(
        "",
        "rules",
        "private addresses that functions may reach, e.g. 10.0.0.5:3306, db.internal, 10.1.0.0/16",
    )
    egress_space_rules: Literal["any", "narrow"] = setting(
        "any",
        "name",
        "what rules of spaces and functions may open: any address, or (narrow) nothing that"
        " YUNHAN_EGRESS_PUBLIC and YUNHAN_EGRESS_ALLOW do not",
    )
    egress_rules_max: int = setting(
        32, "count", "allow rules of one space, and of one function; jobs carry both", ge=1, le=256
    )
    egress_rule_max: int = setting(
        280, "characters", "one allow rule; a host name alone may have 253", ge=1, le=1024
    )
    egress_connections_max: int = setting(
        64, "count", "open connections of one sandbox to the network", ge=1
    )
    egress_connects_burst: int = setting(
        200, "count", "connections that one sandbox may make without a wait, after a rest", ge=1
    )
    egress_connects_per_second: float = setting(
        200.0, "1/s", "connections of one sandbox beyond its burst; further ones wait", gt=0
    )
