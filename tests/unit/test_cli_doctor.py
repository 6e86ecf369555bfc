from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import doctor_triggers
from sandbox.api import SandboxError, Spawner
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.landlock import LandlockSpawner
from tests.unit.cli_support import KEY_ID, FakeManagement, Shell, free_address, serving


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        yield fake


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr(doctor_triggers, "resolve", lambda _host: ["127.0.0.1"])
    shell = Shell(tmp_path / "data")
    shell.environ |= {"YUNHAN_HTTP": free_address(), "YUNHAN_HTTPS": free_address()}
    return shell


def findings(shell: Shell) -> dict[str, dict[str, Any]]:
    result = shell.run("doctor", "--json")
    report = json.loads(result.stdout)
    states = {finding["state"] for finding in report["findings"]}
    assert report["ok"] is ("problem" not in states)
    assert result.exit_code == (0 if report["ok"] else 1)
    return {finding["name"]: finding for finding in report["findings"]}


def test_a_fresh_machine(shell: Shell) -> None:
    found = findings(shell)
    assert found["python"]["state"] == "ok"
    assert "v24." in found["node"]["text"]
    assert found["data directory"]["state"] == "ok"
    assert found["address"]["text"].endswith("is free")
    assert found["https address"]["text"].endswith("is free")
    assert found["local CA"]["text"].endswith("ca.pem is made at the first start")
    assert found["trigger domain"]["text"] == "{space id}.fn.localhost"
    assert found["program"]["state"] == "warning"
    assert "yunhan up" in found["program"]["next_step"]
    assert not shell.data_dir.exists(), "doctor leaves nothing behind"


def test_a_running_program(shell: Shell, fake: FakeManagement) -> None:
    shell.announce(fake.endpoint)
    shell.environ["YUNHAN_HTTP"] = fake.endpoint.removeprefix("http://")
    found = findings(shell)
    assert found["program"] == {
        "name": "program",
        "state": "ok",
        "text": f"ready at {fake.endpoint}",
        "next_step": "",
        "ways": {},
    }
    assert found["address"]["state"] == "ok"
    assert found["management key"]["text"] == KEY_ID


def test_a_program_that_is_not_ready_is_a_problem(shell: Shell, fake: FakeManagement) -> None:
    shell.announce(fake.endpoint)
    fake.ready_status = 503
    assert findings(shell)["program"]["state"] == "problem"


def test_an_address_that_another_program_has_is_a_problem(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        shell.environ["YUNHAN_HTTP"] = f"127.0.0.1:{other.getsockname()[1]}"
        finding = findings(shell)["address"]
    assert finding["state"] == "problem"
    assert "YUNHAN_HTTP" in finding["next_step"]


def test_a_data_directory_that_cannot_be_made_is_a_problem(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shell.environ["YUNHAN_DATA_DIR"] = str(tmp_path / "file" / "data")
    assert findings(shell)["data directory"]["state"] == "problem"


def test_a_database_that_takes_no_connection_is_a_problem(shell: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shell.environ["YUNHAN_DOCUMENTS_URL"] = f"mongodb://u:pw@127.0.0.1:{free.getsockname()[1]}/"
        finding = findings(shell)["documents"]
    assert finding["state"] == "problem"
    assert "pw" not in finding["text"]


def test_a_node_executable_that_does_not_run_is_a_problem(shell: Shell) -> None:
    shell.environ["YUNHAN_NODE_PATHS"] = "20=/nowhere/node"
    finding = findings(shell)["node"]
    assert finding["state"] == "problem"
    assert "/nowhere/node" in finding["text"]


@pytest.fixture
def no_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no rung with walls works."""

    async def fail(_self: Spawner) -> None:
        raise SandboxError("bwrap is not installed.", what_next="Install it.")

    monkeypatch.setattr(BubblewrapSpawner, "start", fail)
    monkeypatch.setattr(LandlockSpawner, "start", fail)


def test_isolation_is_tried(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(_self: BubblewrapSpawner) -> None:
        return None

    monkeypatch.setattr(BubblewrapSpawner, "start", work)
    finding = findings(shell)["sandbox"]
    assert (finding["state"], finding["text"].split()[0]) == ("ok", "bubblewrap")


def test_no_isolation_is_told_honestly(shell: Shell, no_walls: None) -> None:
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "warning"
    assert finding["text"].startswith("process")
    assert "bubblewrap" in finding["next_step"]


def test_a_rung_that_was_asked_for_and_does_not_work_is_a_problem(
    shell: Shell, no_walls: None
) -> None:
    shell.environ["YUNHAN_SANDBOX"] = "bubblewrap"
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "problem"
    assert "bwrap is not installed. Install it." in finding["text"]
    shell.environ |= {
        "YUNHAN_SANDBOX": "docker",
        "YUNHAN_DOCKER_HOST": "unix:///nowhere/docker.sock",
    }
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "problem"
    assert "/nowhere/docker.sock" in finding["text"]


def test_production_refuses_the_process_rung(shell: Shell, no_walls: None) -> None:
    shell.environ["YUNHAN_ENV"] = "production"
    assert findings(shell)["sandbox"]["state"] == "problem"


def test_a_misspelt_setting_is_a_problem_and_the_rest_is_told(shell: Shell) -> None:
    shell.environ["YUNHAN_SLOT"] = "3"
    found = findings(shell)
    assert found["settings"]["state"] == "problem"
    assert "YUNHAN_SLOTS" in found["settings"]["text"]
    assert found["python"]["state"] == "ok"


def test_the_text_report_names_the_next_step(shell: Shell) -> None:
    shell.environ["YUNHAN_REDIS_URL"] = "redis://x"
    told = shell.run("doctor").stdout
    assert "-> Start it with `yunhan up`" in told
    assert "YUNHAN_REDIS_URL is set but has no effect" in told
