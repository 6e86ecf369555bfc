"""What the separate programs refuse, and the keys that they share."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.backends.control_memory import ControlMemory
from runtime.cli.connection import Access, find_endpoint, find_key
from runtime.data_dir import AccessKey, DataDir
from runtime.sealing import MasterKeyError, SecretBox
from runtime.settings import Settings, SettingsError
from runtime.wiring.keys import check_master_key, management_key
from runtime.wiring.roles import Role, settings_for

SHARED = {
    "queue_url": "amqp://guest@broker/",
    "documents_url": "mongodb://database/",
    "files_url": "s3://bucket",
    "master_key_file": Path("/keys/master.key"),
}


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.WORKER])
def test_each_program_has_a_directory_of_its_own(role: Role) -> None:
    settings = settings_for(role, Settings.model_validate({**SHARED, "data_dir": Path("/data")}))
    assert settings.data_dir == Path("/data") / role.value


def test_up_takes_what_it_is_given() -> None:
    settings = Settings()
    assert settings_for(Role.UP, settings) is settings


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.WORKER])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue_url", "memory:"),
        ("documents_url", "embedded:"),
        ("files_url", "file:"),
        ("files_url", "memory:"),
        ("master_key_file", None),
    ],
)
def test_what_only_one_program_has_is_refused(role: Role, name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"YUNHAN_{name.upper()}"):
        settings_for(role, Settings.model_validate({**SHARED, name: value}))


def test_a_shared_folder_is_a_file_store() -> None:
    settings_for(
        Role.GATEWAY, Settings.model_validate({**SHARED, "files_url": "file:///srv/files"})
    )


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_for(Role.WORKER, Settings())
    for name in SHARED:
        assert f"YUNHAN_{name.upper()}" in str(caught.value)


async def test_a_wrong_master_key_is_noticed() -> None:
    control = ControlMemory()
    await check_master_key(SecretBox(b"a" * 32), control)
    await check_master_key(SecretBox(b"a" * 32), control)
    with pytest.raises(MasterKeyError, match="YUNHAN_MASTER_KEY_FILE"):
        await check_master_key(SecretBox(b"b" * 32), control)


async def test_every_gateway_has_the_key_of_the_first(tmp_path: Path) -> None:
    control, box = ControlMemory(), SecretBox(b"a" * 32)
    first = await management_key(Settings(), DataDir(tmp_path / "1"), box, control)
    second = await management_key(Settings(), DataDir(tmp_path / "2"), box, control)
    assert first == second
    assert DataDir(tmp_path / "2").read_access_key() == first


async def test_a_key_of_an_older_version_stays(tmp_path: Path) -> None:
    old = AccessKey(key_id="old", secret="s")
    DataDir(tmp_path).write_access_key(old)
    control, box = ControlMemory(), SecretBox(b"a" * 32)
    assert await management_key(Settings(), DataDir(tmp_path), box, control) == old


async def test_a_given_key_wins_and_half_of_one_is_refused(tmp_path: Path) -> None:
    control, box = ControlMemory(), SecretBox(b"a" * 32)
    given = Settings(access_key_id="mine", access_key_secret=SecretStr("s"))
    key = await management_key(given, DataDir(tmp_path), box, control)
    assert key == AccessKey(key_id="mine", secret="s")
    with pytest.raises(SettingsError, match="both"):
        await management_key(Settings(access_key_id="x"), DataDir(tmp_path), box, control)


def test_the_command_line_finds_a_gateway_below_the_directory(tmp_path: Path) -> None:
    gateway = DataDir(tmp_path / "gateway")
    gateway.write_access_key(AccessKey(key_id="g", secret="s"))
    access = Access(data_dir=tmp_path, key_id="", key_secret="")
    with gateway.announce("http://gateway"):
        assert find_endpoint(access) == "http://gateway"
        assert find_key(access).key_id == "g"
        DataDir(tmp_path).write_access_key(AccessKey(key_id="u", secret="s"))
        with DataDir(tmp_path).announce("http://up"):
            assert find_endpoint(access) == "http://up"
            assert find_key(access).key_id == "u"
