from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import doctor_rungs, doctor_triggers
from sandbox.api import SandboxError, Spawner
from sandbox.spawners.bubblewrap import BubblewrapSpawner
from sandbox.spawners.landlock import LandlockSpawner
from sandbox.wall_probe import WallReport
from tests.harness.program import free_port
from tests.unit.cli_support import KEY_ID, FakeManagement, Shell, free_address, serving


@pytest.fixture
def fake() -> Iterator[FakeManagement]:
    with serving(FakeManagement()) as fake:
        fake.answers["YunhanDescribeServer"] = {"Rung": "bubblewrap", "Isolates": True}
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


def test_a_running_program(shell: Shell, fake: FakeManagement, walls: list[str]) -> None:
    shell.announce(fake.endpoint)
    shell.environ["YUNHAN_HTTP"] = fake.endpoint.removeprefix("http://")
    found = findings(shell)
    assert found["program"] == {
        "name": "program",
        "state": "ok",
        "text": f"ready at {fake.endpoint} on rung bubblewrap",
        "next_step": "",
        "ways": {},
        "details": [],
    }
    assert found["address"]["state"] == "ok"
    assert found["management key"]["text"] == KEY_ID


@pytest.mark.parametrize(
    ("rung", "isolates", "said"),
    [
        ("process", False, "on rung process: its functions run as its user"),
        ("landlock", True, "on rung landlock; from here it would be bubblewrap"),
    ],
)
def test_a_program_on_another_rung_than_this_environment_gives_is_a_warning(
    shell: Shell,
    fake: FakeManagement,
    walls: list[str],
    rung: str,
    isolates: bool,
    said: str,
) -> None:
    """Its environment is another one: what this command tries says nothing about it."""
    shell.announce(fake.endpoint)
    fake.answers["YunhanDescribeServer"] = {"Rung": rung, "Isolates": isolates}
    found = findings(shell)
    assert found["sandbox"]["state"] == "ok"
    assert found["program"]["state"] == "warning"
    assert said in found["program"]["text"]


def test_a_gateway_without_a_worker_is_told(
    shell: Shell, fake: FakeManagement, walls: list[str]
) -> None:
    shell.announce(fake.endpoint)
    problem = {"Part": "workers", "Text": "no worker has reported since then"}
    fake.answers["YunhanDescribeServer"] = {"Rung": "", "Isolates": False, "Problems": [problem]}
    finding = findings(shell)["program"]
    assert finding["state"] == "problem"
    assert "no worker has reported" in finding["text"]
    assert "rung" not in finding["text"]
    assert "yunhan worker" in finding["next_step"]
    assert finding["details"] == ["workers: no worker has reported since then"]


GATEWAY_ONLY = {"management key", "address", "https address", "local CA", "trigger domain"}


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (503, "problem")])
def test_where_a_worker_runs_it_is_asked_and_a_gateway_named(
    shell: Shell, fake: FakeManagement, walls: list[str], status: int, state: str
) -> None:
    fake.ready_status = status
    shell.environ["YUNHAN_WORKER_HTTP"] = fake.endpoint.removeprefix("http://")
    with socket.create_server(("127.0.0.1", 0)) as other:
        shell.environ["YUNHAN_HTTP"] = f"127.0.0.1:{other.getsockname()[1]}"
        shell.run_worker()
        found = findings(shell)
    assert not found.keys() & GATEWAY_ONLY
    assert found["program"]["state"] == state
    assert "a worker runs here" in found["program"]["text"]
    assert ("ask a gateway" in found["program"]["text"]) == (status == 200)
    assert (fake.endpoint in found["program"]["next_step"]) == (status == 503)


def test_a_worker_that_does_not_answer_is_a_problem(shell: Shell, walls: list[str]) -> None:
    shell.environ["YUNHAN_WORKER_HTTP"] = free_address()
    shell.run_worker()
    finding = findings(shell)["program"]
    assert finding["state"] == "problem"
    assert "nothing answers" in finding["text"]
    shell.environ["YUNHAN_WORKER_HTTP"] = ""
    finding = findings(shell)["program"]
    assert finding["state"] == "ok"
    assert "YUNHAN_WORKER_HTTP is empty" in finding["text"]


def test_beside_a_gateway_a_worker_hides_nothing(
    shell: Shell, fake: FakeManagement, walls: list[str]
) -> None:
    shell.run_worker()
    shell.announce(fake.endpoint)
    found = findings(shell)
    assert found.keys() >= GATEWAY_ONLY
    assert found["program"]["text"].startswith(f"ready at {fake.endpoint}")


def test_production_without_a_master_key_is_a_problem(shell: Shell, tmp_path: Path) -> None:
    assert findings(shell)["master key"]["state"] == "ok"
    shell.environ["YUNHAN_ENV"] = "production"
    finding = findings(shell)["master key"]
    assert finding["state"] == "problem"
    assert "YUNHAN_MASTER_KEY_FILE" in finding["next_step"]
    file = tmp_path / "master.key"
    shell.environ["YUNHAN_MASTER_KEY_FILE"] = str(file)
    finding = findings(shell)["master key"]
    assert finding["state"] == "problem"
    assert str(file) in finding["text"]
    file.write_text(base64.b64encode(bytes(32)).decode())
    file.chmod(0o600)
    assert findings(shell)["master key"]["state"] == "ok"


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


def test_an_embedded_database_of_another_version_is_a_problem(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings(shell)["documents"]["state"] == "ok"
    monkeypatch.setattr("runtime.backends.embedded.child.VERSION", "0.0.1")
    finding = findings(shell)["documents"]
    assert finding["state"] == "problem"
    assert "pip install 'yunhan[embedded]'" in finding["text"]


def test_a_broker_that_takes_no_connection_is_a_problem(shell: Shell) -> None:
    assert findings(shell)["queue"]["state"] == "ok"
    shell.environ["YUNHAN_QUEUE_URL"] = f"amqp://u:secret@{free_address()}/"
    finding = findings(shell)["queue"]
    assert finding["state"] == "problem"
    assert "YUNHAN_QUEUE_URL" in finding["next_step"]
    assert "secret" not in str(finding)


def test_what_a_broker_was_not_asked_is_said(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        shell.environ["YUNHAN_QUEUE_URL"] = f"amqp://u@127.0.0.1:{broker.getsockname()[1]}/"
        finding = findings(shell)["queue"]
    assert finding["state"] == "ok"
    assert "consumer_timeout was not asked" in finding["details"][0]
    assert "1800 s" in finding["details"][0]


def test_a_part_that_does_not_work_is_a_problem(
    shell: Shell, fake: FakeManagement, walls: list[str]
) -> None:
    shell.announce(fake.endpoint)
    problem = {"Part": "intake", "Text": "no connection to RabbitMQ"}
    described = {"Rung": "bubblewrap", "Isolates": True, "Problems": [problem]}
    fake.answers["YunhanDescribeServer"] = described
    finding = findings(shell)["program"]
    assert finding["state"] == "problem"
    assert finding["details"] == ["intake: no connection to RabbitMQ"]


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


@pytest.fixture
def walls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What escapes from a rung that works get hold of."""
    got: list[str] = []

    async def work(_self: Spawner) -> None:
        return None

    async def attempt(_spawner: Spawner, _run_dir: Path) -> WallReport:
        return WallReport(tried=3, got=got)

    monkeypatch.setattr(BubblewrapSpawner, "start", work)
    monkeypatch.setattr(doctor_rungs, "try_walls", attempt)
    return got


def test_isolation_is_tried(shell: Shell, walls: list[str]) -> None:
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "ok"
    assert finding["text"].startswith("bubblewrap")
    assert finding["text"].endswith("3 attempts to get out of one failed")


def test_a_rung_that_an_attempt_gets_out_of_is_a_problem(shell: Shell, walls: list[str]) -> None:
    walls.append("a file of this machine")
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "problem"
    assert "got hold of a file of this machine" in finding["text"]
    assert "YUNHAN_SANDBOX" in finding["next_step"]


def test_tells_what_each_rung_needs_and_what_is_weak_here(
    shell: Shell, walls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BubblewrapSpawner, "weaknesses", ("Something is weak.",))
    details = findings(shell)["sandbox"]["details"]
    assert "Something is weak." in details
    ladder = [line.split()[:3] for line in details if " needs " in line]
    assert ladder == [
        ["*", "bubblewrap", "needs"],
        ["-", "landlock", "needs"],
        ["-", "docker", "needs"],
        ["-", "process", "needs"],
    ]
    told = shell.run("doctor").stdout
    assert "           Something is weak.\n" in told
    assert f"uid {os.geteuid()}" in told


def test_says_why_auto_passed_over_a_rung(shell: Shell, no_walls: None) -> None:
    finding = findings(shell)["sandbox"]
    assert finding["text"].startswith("process")
    refused = [line for line in finding["details"] if "bwrap is not installed." in line]
    assert len(refused) == 2, "bubblewrap and landlock"


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
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "problem"
    assert "Install bubblewrap" in finding["text"]
    shell.environ["YUNHAN_SANDBOX"] = "process"
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "problem"
    assert "unset YUNHAN_SANDBOX" in finding["text"]


def test_whoever_asked_for_no_walls_is_told_how_to_get_some(shell: Shell) -> None:
    shell.environ["YUNHAN_SANDBOX"] = "process"
    finding = findings(shell)["sandbox"]
    assert finding["state"] == "warning"
    assert "unset YUNHAN_SANDBOX" in finding["next_step"]


def test_a_misspelt_setting_is_a_problem_and_the_rest_is_told(shell: Shell) -> None:
    shell.environ["YUNHAN_SLOT"] = "3"
    found = findings(shell)
    assert found["settings"]["state"] == "problem"
    assert "YUNHAN_SLOTS" in found["settings"]["text"]
    assert found["python"]["state"] == "ok"


def test_the_text_report_names_the_next_step(shell: Shell) -> None:
    told = shell.run("doctor").stdout
    assert "-> Start it with `yunhan up`" in told


def test_a_redis_that_is_not_there(shell: Shell) -> None:
    assert "redis" in shell.run("doctor").stdout
    shell.environ["YUNHAN_REDIS_URL"] = f"redis://u:secret@127.0.0.1:{free_port()}/0"
    told = shell.run("doctor").stdout
    assert "takes no connection" in told
    assert "Start Redis, or correct YUNHAN_REDIS_URL" in told
    assert "secret" not in told
