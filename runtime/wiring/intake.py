"""The public intake of a gateway, where users of the broker may send messages."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from pathlib import Path

from runtime.intake.users import IntakeUsers, UsersError, read_users, read_users_json
from runtime.services.intake import IntakeLimits, IntakeService
from runtime.settings import Settings, SettingsError
from runtime.wiring.adapters import open_intake
from runtime.wiring.common import Common


async def build_intake(common: Common, stack: AsyncExitStack) -> IntakeService | None:
    """None without users. Closed with `stack`. Raises SettingsError, OursError."""
    settings = common.settings
    if not settings.intake_on:
        return None
    users = load_users(settings)
    return IntakeService(
        intake=await open_intake(settings, common.clock, stack),
        calls=common.async_calls,
        users=users,
        clock=common.clock,
        limits=IntakeLimits(
            in_hand_max=settings.intake_in_hand_max,
            try_s=settings.intake_try_s,
            hold_s=settings.intake_hold_s,
            tries_max=settings.intake_tries_max,
            rounds_max=settings.intake_delivery_limit,
        ),
        random=random.random,
    )


def load_users(settings: Settings) -> IntakeUsers:
    """From the text or the file. Raises SettingsError."""
    path = settings.intake_users_file
    if not path:
        return read_users(settings.intake_users)
    try:
        return read_users_json(Path(path).read_bytes())
    except (OSError, UsersError) as error:
        raise SettingsError(f"YUNHAN_INTAKE_USERS_FILE={path}: {error}") from None
