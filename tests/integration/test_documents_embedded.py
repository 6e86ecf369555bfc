"""The embedded document server: started, guarded, restarted, stopped, and nothing acknowledged lost."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure
from structlog.testing import capture_logs

from runtime.backends.documents_embedded import EmbeddedDocuments
from runtime.backends.documents_mongodb import Client, connect, ping
from runtime.backends.embedded.child import EmbeddedDocumentsError
from runtime.backends.embedded.lock import hold_lock
from runtime.backends.embedded.login import EmbeddedLogin

pytestmark = pytest.mark.integration

# Stands in for the server: says what the real one says, then does what the test wants.
SCRIPT = [sys.executable, "-c"]
DIES_AT_ONCE = [*SCRIPT, "import sys; sys.exit('disk on fire')"]
PORT_IS_TAKEN = [*SCRIPT, "import sys; sys.exit('OSError: [Errno 98] Address already in use')"]
SAYS_NOTHING = [*SCRIPT, "import time; time.sleep(600)"]


@asynccontextmanager
async def client_of(documents: EmbeddedDocuments) -> AsyncIterator[Client]:
    client = connect(documents.url, timeout_s=20)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after its first start, which is the slow one."""
    folder = tmp_path_factory.mktemp("template")

    async def first_start() -> None:
        async with EmbeddedDocuments(folder, "data"):
            pass

    asyncio.run(first_start())
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A folder that was started before."""
    return shutil.copytree(template, tmp_path / "data")


def password_in(folder: Path) -> str:
    return (folder / "password").read_text()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def wait_gone(pid_descriptor: int) -> bool:
    """A process's end can be waited for through its descriptor, also of one that is not our child."""
    readable, _, _ = select.select([pid_descriptor], [], [], 20)
    return bool(readable)


async def test_documents_are_there_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    for start in range(3):
        async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
            await ping(client)
            things = client["space"]["things"]
            assert await things.count_documents({}) == start
            await things.insert_one({"start": start})
            url = documents.url
        assert password_in(folder) in url


async def test_nobody_else_gets_in(folder: Path) -> None:
    async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
        await client["space"]["things"].insert_one({})
        secret = password_in(folder)
        for url in (documents.url.replace(secret, "wrong"), _without_login(documents.url)):
            stranger = connect(url, timeout_s=20)
            with pytest.raises(OperationFailure):
                await stranger["space"]["things"].find_one()
            await stranger.close()
        assert mode_of(folder) == 0o700
        assert mode_of(folder / "password") == 0o600
        assert secret not in repr(documents)


async def test_secrets_are_not_given_away_by_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YUNHAN_ACCESS_KEY_SECRET", "environment-secret")
    with capture_logs() as logs:
        async with EmbeddedDocuments(folder, "data") as documents:
            process = Path("/proc") / str(documents.pid)
            if process.exists():
                visible = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                assert password_in(folder).encode() not in visible
                assert b"environment-secret" not in visible
    assert password_in(folder) not in str(logs)
    assert password_in(folder) not in (folder / "server.log").read_text()


async def test_settings_of_somebody_else_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (tmp_path, tmp_path / ".secantus"):
        place.mkdir(exist_ok=True)
        (place / "secantusd.toml").write_text("this is no configuration")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    async with EmbeddedDocuments(tmp_path, "data") as documents, client_of(documents) as client:
        await ping(client)


async def test_kill_under_a_live_client_loses_nothing_acknowledged(folder: Path) -> None:
    acknowledged: list[int] = []
    kills = 0
    async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
        things = client["space"]["things"]
        url = documents.url

        async def write_on() -> None:
            number = 0
            while kills < 3 or number < acknowledged_at_last_kill + 50:
                number += 1
                try:
                    await things.insert_one({"_id": number})
                except (AutoReconnect, DuplicateKeyError):
                    # Not acknowledged, so nothing is promised. A duplicate: it was stored, and the
                    # driver's repetition met a server that had forgotten whose it is.
                    continue
                acknowledged.append(number)

        acknowledged_at_last_kill = 0
        writing = asyncio.create_task(write_on())
        for _ in range(3):
            before = len(acknowledged)
            while len(acknowledged) < before + 50:
                await asyncio.sleep(0)
            victim = documents.pid
            os.kill(victim, signal.SIGKILL)
            acknowledged_at_last_kill = acknowledged[-1]
            kills += 1
        await writing
        assert documents.url == url
        assert documents.pid != victim
        stored = {each["_id"] async for each in things.find({}, {"_id": 1})}
    assert stored >= set(acknowledged)


async def test_first_start_that_was_interrupted_is_repaired(folder: Path) -> None:
    async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
        await client["space"]["things"].insert_one({"_id": 1})
    first = password_in(folder)
    (folder / "password").unlink()  # as if we had died between making the user and writing this
    async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
        assert await client["space"]["things"].find_one() == {"_id": 1}
    assert password_in(folder) != first


async def test_users_of_somebody_else_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = EmbeddedLogin.make

    async def make_with_intruder(self: EmbeddedLogin, port: int) -> None:
        await make(self, port)
        intruder: Client = connect(
            f"mongodb://127.0.0.1:{port}/?directConnection=true", timeout_s=9
        )
        await intruder["elsewhere"].command("createUser", "mallory", pwd="x", roles=["readWrite"])
        await intruder.close()

    monkeypatch.setattr(EmbeddedLogin, "make", make_with_intruder)
    with pytest.raises(EmbeddedDocumentsError, match="mallory"):
        await EmbeddedDocuments(tmp_path, "data").__aenter__()
    assert not (tmp_path / "password").exists()


async def test_wrong_password_file_says_what_to_do(folder: Path) -> None:
    async with EmbeddedDocuments(folder, "data"):
        pass
    (folder / "password").write_text("of another database")
    with pytest.raises(EmbeddedDocumentsError, match="delete that file"):
        await EmbeddedDocuments(folder, "data").__aenter__()


async def test_second_owner_is_refused(folder: Path) -> None:
    async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
        with pytest.raises(EmbeddedDocumentsError, match=f"process {os.getpid()}"):
            await EmbeddedDocuments(folder, "data", lock_timeout_s=0).__aenter__()
        await ping(client)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
async def test_server_dies_with_its_program(folder: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from runtime.backends.documents_embedded import EmbeddedDocuments\n"
        "async def main():\n"
        "    async with EmbeddedDocuments(pathlib.Path(sys.argv[1]), 'data') as documents:\n"
        "        print('server', documents.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(folder)), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    words: list[bytes] = []
    while words[:1] != [b"server"]:  # the program's log is on the same stream
        words = (await owner.stdout.readline()).split()
    server = os.pidfd_open(int(words[1]))
    try:
        owner.kill()
        assert await asyncio.to_thread(wait_gone, server)
    finally:
        os.close(server)
    await owner.communicate()
    async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
        await ping(client)  # the lock went with it


async def test_lock_is_held_by_an_orphaned_server_too(tmp_path: Path) -> None:
    """Where the kernel does not kill it."""
    async with hold_lock(tmp_path / "lock", timeout_s=0) as lock:
        orphan = await asyncio.create_subprocess_exec(*SAYS_NOTHING, pass_fds=(lock,))
    with pytest.raises(EmbeddedDocumentsError, match="in use"):
        async with hold_lock(tmp_path / "lock", timeout_s=0):
            pass
    orphan.kill()
    async with hold_lock(
        tmp_path / "lock", timeout_s=20
    ):  # a former server may need a moment to end
        await orphan.wait()


async def test_missing_server_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.backends.embedded.child._DISTRIBUTION", "no-such-distribution")
    with pytest.raises(EmbeddedDocumentsError, match=r"yunhan\[embedded\].*YUNHAN_DOCUMENTS_URL"):
        await EmbeddedDocuments(tmp_path, "data").__aenter__()


async def test_server_of_another_version_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.backends.embedded.child.VERSION", "0.0.1")
    with pytest.raises(EmbeddedDocumentsError, match=r"knows only 0\.0\.1.*yunhan\[embedded\]"):
        await EmbeddedDocuments(tmp_path, "data").__aenter__()
    assert not (tmp_path / "data").exists()
    with pytest.raises(EmbeddedDocumentsError, match="disk on fire"):  # a command is not asked
        await EmbeddedDocuments(tmp_path, "data", command=DIES_AT_ONCE).__aenter__()


async def test_server_is_found_as_a_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.backends.embedded.child.PROGRAM", "no-such-program")
    async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
        await ping(client)


async def test_server_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedDocumentsError, match="disk on fire"):
        await EmbeddedDocuments(tmp_path, "data", command=DIES_AT_ONCE).__aenter__()
    assert "disk on fire" in (tmp_path / "server.log").read_text()


async def test_lost_races_for_a_port_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedDocumentsError, match="taken by another program"):
        await EmbeddedDocuments(tmp_path, "data", command=PORT_IS_TAKEN).__aenter__()


async def test_server_that_is_never_ready_is_stopped(folder: Path) -> None:
    documents = EmbeddedDocuments(folder, "data", command=SAYS_NOTHING, start_timeout_s=0.3)
    with pytest.raises(EmbeddedDocumentsError, match="not ready"):
        await documents.__aenter__()
    assert documents._child is not None
    assert documents._child.returncode == -signal.SIGKILL


async def test_cancelled_start_leaves_nothing_behind(folder: Path) -> None:
    documents = EmbeddedDocuments(folder, "data", command=SAYS_NOTHING)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await documents.__aenter__()
    if documents._child is not None:
        assert documents._child.returncode == -signal.SIGKILL
    async with EmbeddedDocuments(folder, "data", lock_timeout_s=0):
        pass


async def test_server_that_cannot_be_kept_running_ends_the_program(folder: Path) -> None:
    with capture_logs() as logs:
        async with EmbeddedDocuments(folder, "data", restarts_max=2) as documents:
            documents._command = DIES_AT_ONCE
            os.kill(documents.pid, signal.SIGKILL)
            with pytest.raises(EmbeddedDocumentsError, match="disk on fire"):
                await documents.wait_failed()
    assert [log["event"] for log in logs if "failed" in log["event"]] == ["documents_failed"]


async def test_wait_failed_waits_while_all_is_well(folder: Path) -> None:
    documents = EmbeddedDocuments(folder, "data")
    with pytest.raises(RuntimeError, match="async with"):
        await documents.wait_failed()
    async with documents:
        waiting = asyncio.create_task(documents.wait_failed())
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.sleep(0)
    assert not waiting.done()  # stopped in good order is no failure
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedDocumentsError, match="YUNHAN_DATA_DIR"):
        await EmbeddedDocuments(tmp_path / "file" / "data", "data").__aenter__()


def test_on_uvloop(folder: Path) -> None:
    """The program's event loop where it is there; processes and cancellation are its own code."""
    uvloop = pytest.importorskip("uvloop")

    async def live() -> None:
        async with EmbeddedDocuments(folder, "data") as documents, client_of(documents) as client:
            await client["space"]["things"].insert_one({"_id": 1})
            os.kill(documents.pid, signal.SIGKILL)
            assert await client["space"]["things"].find_one() == {"_id": 1}
        with pytest.raises(EmbeddedDocumentsError, match="disk on fire"):
            await EmbeddedDocuments(folder, "data", command=DIES_AT_ONCE).__aenter__()

    uvloop.run(live())


def _without_login(url: str) -> str:
    return "mongodb://" + url.partition("@")[2].replace("authSource=admin&", "")
