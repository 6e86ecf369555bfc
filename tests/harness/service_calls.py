"""What SDKs and functions may call, over memory adapters, for tests that are about something else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.backends.control_memory import ControlMemory
from runtime.backends.file_records_memory import FileRecordsMemory
from runtime.backends.files_object import open_file_store
from runtime.backends.users_memory import UsersMemory
from runtime.ports import Clock
from runtime.sealing import SecretBox
from runtime.services.directory import SpaceDirectory
from runtime.services.profiles import Profiles
from runtime.services.redis_cli import RedisCli, RedisCliLimits
from runtime.services.sealed_platform_keys import SealedPlatformKeys
from runtime.services.tokens import TokenService
from runtime.services.users import LoginLimits, UserService
from runtime.settings import Settings
from runtime.wiring.files import FileParts, build_files


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryParts:
    """Files, users and no Redis."""

    files: FileParts
    users: UsersMemory
    profiles: Profiles
    redis: RedisCli


def memory_parts(
    directory: SpaceDirectory,
    *,
    box: SecretBox,
    clock: Clock,
    settings: Settings | None = None,
) -> MemoryParts:
    """Every call makes new ones."""
    settings = Settings() if settings is None else settings
    users = UsersMemory()
    return MemoryParts(
        files=build_files(
            settings,
            records=FileRecordsMemory(),
            files=open_file_store("memory:", Path("unused")),
            directory=directory,
            box=box,
            clock=clock,
        ),
        users=users,
        profiles=Profiles(users),
        redis=RedisCli(None, prefix="test", limits=RedisCliLimits.from_settings(settings)),
    )


def parts_of_nobody(clock: Clock) -> MemoryParts:
    """Of an installation without spaces."""
    box = SecretBox(b"k" * 32)
    directory = SpaceDirectory(
        store=ControlMemory(), box=box, clock=clock, max_age_s=9, poll_s=9, max_spaces=9
    )
    return memory_parts(directory, box=box, clock=clock)


def user_service(
    tokens: TokenService, users: UsersMemory, *, box: SecretBox, clock: Clock
) -> UserService:
    """Of an installation that knows no platform."""
    return UserService(
        tokens=tokens,
        records=users,
        platforms={},
        keys=SealedPlatformKeys(box),
        clock=clock,
        limits=LoginLimits(timeout_s=1, under_way_max=1, under_way_max_per_space=1),
    )
