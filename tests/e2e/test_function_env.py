"""Environment variables of functions in a running program: who sees them, when, and where they are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness.management import Management
from tests.harness.program import Program

pytestmark = pytest.mark.e2e

SECRET = "swordfish-7d1f9b"
SOURCE = """
const atLoad = { ...process.env };
module.exports = (ctx) => ({
  value: process.env.TOKEN ?? null, atLoad: atLoad.TOKEN ?? null,
  inContext: ctx.env.TOKEN ?? null, names: Object.keys(process.env) });
"""
PARENT = """
module.exports = async (ctx) => {
  const { result } = await ctx.mpserverless.function.invoke('child', {});
  return { mine: process.env.TOKEN ?? null, childs: result.value };
};
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program whose log and data these tests read whole, and may restart."""
    program = Program(tmp_path_factory.mktemp("env") / "data", YUNHAN_SANDBOX="process")
    program.start()
    yield program
    assert program.stop() == 0, program.log()


@pytest.fixture(scope="module")
def admin(own: Program) -> Management:
    return Management(own.endpoint, own.access_key())


@pytest.fixture(scope="module")
def spaces(admin: Management) -> tuple[str, str]:
    """Two spaces with the same functions."""
    one, two = admin.space("one")[0], admin.space("two")[0]
    for space_id in (one, two):
        for name in ("reader", "child"):
            admin.deploy(space_id, name, {"index.js": SOURCE}, Timeout=30)
        admin.deploy(space_id, "parent", {"index.js": PARENT}, Timeout=30)
    return one, two


def set_env(admin: Management, space_id: str, name: str, **env: str) -> None:
    admin.call(
        "YunhanUpdateFunctionEnv", SpaceId=space_id, Name=name, Clear=True, Set=json.dumps(env)
    )


def read(admin: Management, space_id: str, name: str = "reader") -> dict[str, Any]:
    answer = admin.invoke(space_id, name)
    assert answer["Success"], answer
    found: dict[str, Any] = json.loads(answer["Result"])
    return found


def test_a_variable_is_there_before_the_code_loads(
    admin: Management, spaces: tuple[str, str]
) -> None:
    set_env(admin, spaces[0], "reader", TOKEN="云 😀\n=")
    found = read(admin, spaces[0])
    assert (found["value"], found["atLoad"]) == ("云 😀\n=", "云 😀\n=")
    assert found["inContext"] is None
    assert not [name for name in found["names"] if name.startswith("YUNHAN_")]


def test_the_next_call_sees_a_change_and_none_an_old_value(
    admin: Management, spaces: tuple[str, str]
) -> None:
    """Also when warm sandboxes of the old value are there and others call at the same time."""
    with ThreadPoolExecutor(6) as threads:
        for number in range(5):
            set_env(admin, spaces[0], "reader", TOKEN=f"v{number}")
            found = list(threads.map(lambda _: read(admin, spaces[0]), range(6)))
            assert {each["value"] for each in found} == {f"v{number}"}
            assert {each["atLoad"] for each in found} == {f"v{number}"}


def test_the_same_value_again_keeps_the_sandbox(admin: Management, spaces: tuple[str, str]) -> None:
    set_env(admin, spaces[0], "reader", TOKEN="same")
    read(admin, spaces[0])
    set_env(admin, spaces[0], "reader", TOKEN="same")
    assert admin.invoke(spaces[0], "reader")["Bill"]["Cold"] is False


def test_an_unset_variable_is_gone(admin: Management, spaces: tuple[str, str]) -> None:
    set_env(admin, spaces[0], "reader", TOKEN="x", OTHER="y")
    read(admin, spaces[0])
    admin.call("YunhanUpdateFunctionEnv", SpaceId=spaces[0], Name="reader", Unset='["TOKEN"]')
    found = read(admin, spaces[0])
    assert found["value"] is None
    assert "OTHER" in found["names"]


def test_neither_another_space_nor_another_function_has_it(
    admin: Management, spaces: tuple[str, str]
) -> None:
    set_env(admin, spaces[0], "reader", TOKEN="mine")
    assert read(admin, spaces[0])["value"] == "mine"
    assert read(admin, spaces[1])["value"] is None
    assert read(admin, spaces[0], "child")["value"] is None


def test_a_called_function_has_its_own(admin: Management, spaces: tuple[str, str]) -> None:
    set_env(admin, spaces[0], "parent", TOKEN="parent's")
    assert read(admin, spaces[0], "parent") == {"mine": "parent's", "childs": None}
    set_env(admin, spaces[0], "child", TOKEN="child's")
    assert read(admin, spaces[0], "parent") == {"mine": "parent's", "childs": "child's"}


def test_a_value_is_nowhere_in_the_clear_and_survives_a_restart(
    own: Program, admin: Management, spaces: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "vars.env"
    file.write_text(f"TOKEN={SECRET}\n")
    where = ("--space", spaces[0])
    admin.call("UpdateFunction", SpaceId=spaces[0], Name="reader", Desc=f"not-{SECRET[:9]}-secret")
    done = own.cli("function", "set", "reader", *where, "--env-file", str(file))
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert read(admin, spaces[0])["value"] == SECRET
    refused = own.cli("function", "set", "reader", *where, "--env", f"NODE_OPTIONS={SECRET}")
    assert refused.returncode == 1
    assert SECRET not in refused.stdout + refused.stderr
    assert own.stop() == 0
    # The record of the call above has no result in it; everything else is on disk now.
    kept = [path for path in own.data_dir.rglob("*") if path.is_file()]
    assert any(f"not-{SECRET[:9]}-secret".encode() in path.read_bytes() for path in kept)
    found_in = [path for path in (*kept, own.log_path) if SECRET.encode() in path.read_bytes()]
    assert found_in == []
    own.start()
    assert read(admin, spaces[0])["value"] == SECRET
    shown = own.cli("function", "env", "reader", *where, "--show-values", "--json")
    assert json.loads(shown.stdout)["variables"] == [{"name": "TOKEN", "value": SECRET}]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_value_is_in_no_process_argument(
    own: Program, admin: Management, spaces: tuple[str, str]
) -> None:
    set_env(admin, spaces[0], "reader", TOKEN=SECRET)
    read(admin, spaces[0])
    assert own.process is not None
    seen = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            texts = (path / "cmdline").read_bytes(), (path / "environ").read_bytes()
        except OSError:  # ended meanwhile, or somebody else's
            continue
        seen += 1
        assert not any(SECRET.encode() in text for text in texts), path
    assert seen > 1
