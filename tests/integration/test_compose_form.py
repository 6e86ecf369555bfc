"""The Compose form, as an operator starts it: image, secrets, two gateways behind HAProxy, two workers."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from runtime.data_dir import AccessKey
from tests.harness.compose_form import ComposeForm, Images, docker, missing_reason
from tests.harness.lacking import lacks
from tests.harness.management import Management
from tests.harness.polling import poll

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CODE = """module.exports = async (ctx) => {
  await new Promise((resolve) => setTimeout(resolve, ctx.args.ms ?? 0));
  return { name: ctx.args.name ?? null, from: ctx.args.headers?.['x-forwarded-for'] ?? null };
};"""
TOKEN_FREE = ("master.key", "queue.password", "documents.password", "files.secret")


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeForm]:
    if reason := missing_reason():
        lacks(reason)
    name = f"yunhan-test-{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("compose")
    images = Images(folder, name)
    volumes = docker("volume", "ls", "--quiet")
    try:
        images.build()
        form = ComposeForm(folder, name, images)
        try:
            assert form.endpoint in form.script("up.sh")
            yield form
        finally:
            form.down()
        assert not docker("ps", "--all", "--quiet", "--filter", f"name={name}")
        assert docker("volume", "ls", "--quiet") == volumes
        assert not docker("network", "ls", "--quiet", "--filter", f"name={name}")
    finally:
        images.remove()


@pytest.fixture(scope="module")
def management(form: ComposeForm) -> Management:
    keys = json.loads(form.compose("exec", "-T", "gateway", "yunhan", "keys", "--json"))
    key = AccessKey(key_id=keys["accessKeyId"], secret=keys["accessKeySecret"])
    return Management(form.endpoint, key)


@pytest.fixture(scope="module")
def space_id(management: Management) -> str:
    space_id, _ = management.space("compose")
    management.deploy(space_id, "echo", {"index.js": CODE}, HttpTriggerPath="/http/echo")
    management.call("UpdateHttpTriggerConfig", SpaceId=space_id, EnableService=True)
    return space_id


def get(url: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(
        url, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_command_line_deploys_and_calls_an_example(form: ComposeForm) -> None:
    space = json.loads(form.script("yunhan.sh", "space", "create", "command", "--json"))["spaceId"]
    form.script("yunhan.sh", "deploy", "examples/hello", "--space", space)
    said = form.script("yunhan.sh", "invoke", "hello", "--space", space, "--json")
    assert json.loads(said)["result"] == {"text": "hello world"}


def test_both_gateways_and_both_workers_answer(
    form: ComposeForm, management: Management, space_id: str
) -> None:
    with ThreadPoolExecutor(8) as threads:
        calls = [
            threads.submit(management.invoke, space_id, "echo", {"name": number, "ms": 50})
            for number in range(120)
        ]
        answers = [json.loads(call.result()["Result"])["name"] for call in calls]
    assert answers == list(range(120))
    log = form.logs("balancer")
    assert "gateways/gateway1 " in log
    assert "gateways/gateway2 " in log
    for worker in form.containers("worker"):
        poll(lambda: form.metrics(worker, 8701)["yunhan_records_written_total"], 30)  # noqa: B023


def test_functions_run_in_the_strongest_rung(form: ComposeForm, management: Management) -> None:
    facts = management.call("YunhanDescribeServer")
    assert (facts["Rung"], facts["Isolates"]) == ("bubblewrap", True)
    assert len(facts["Workers"]) == 2
    findings = form.compose("exec", "-T", "worker", "yunhan", "doctor")
    assert "attempts to get out of one failed" in findings


def test_triggers_are_reached_by_host_name_and_learn_the_client(
    form: ComposeForm, space_id: str
) -> None:
    host = f"{space_id}.fn.localhost:{form.port}"
    status, body = get(f"{form.endpoint}/http/echo", Host=host, X_Forwarded_For="203.0.113.7")
    assert status == 200, body
    client = json.loads(body)["from"]
    assert client
    assert "203.0.113.7" not in client, "whoever asks cannot choose it"


def test_metrics_stay_inside(form: ComposeForm, space_id: str) -> None:
    assert get(f"{form.endpoint}/readyz")[0] == 200
    assert get(f"{form.endpoint}/metrics")[0] == 404
    assert "yunhan_connections_open" in form.metrics(form.containers("gateway")[0], 8700)


def test_an_asynchronous_job_ends(management: Management, space_id: str) -> None:
    asked = management.call("YunhanInvokeAsync", SpaceId=space_id, Name="echo", Args="{}")

    assert management.job_over(asked["JobId"], 30, SpaceId=space_id)["State"] == "succeeded"


def test_programs_have_no_privilege_and_no_secret_in_their_environment(form: ComposeForm) -> None:
    secrets = {(form.folder / "secrets" / name).read_text().strip() for name in TOKEN_FREE}
    for service in ("gateway", "worker"):
        [container, *_] = form.containers(service)
        text = docker("inspect", container)
        described = json.loads(text)[0]
        assert not any(secret in text for secret in secrets)
        assert described["Config"]["User"] == "10001:10001"
        assert described["HostConfig"]["Privileged"] is False
        assert described["HostConfig"]["ReadonlyRootfs"] is True
        assert described["HostConfig"]["CapDrop"] == ["ALL"]
        assert not any("docker.sock" in mount["Source"] for mount in described["Mounts"])


@pytest.mark.parametrize("service", ["worker", "gateway"])
def test_stopping_one_of_two_loses_no_call(
    form: ComposeForm, management: Management, space_id: str, service: str
) -> None:
    """SIGTERM while calls run: they end, further ones go to the other one."""
    stopped = form.containers(service)[0]
    over = Event()

    def keep_calling(caller: int) -> int:
        count = 0
        while not over.is_set():
            answer = management.invoke(space_id, "echo", {"name": caller, "ms": 100})
            assert answer["Outcome"] == "ok", answer
            assert json.loads(answer["Result"])["name"] == caller
            count += 1
        return count

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(keep_calling, number) for number in range(4)]
        try:
            time.sleep(1)  # calls are under way at any moment from now on
            docker("stop", "--time", "60", stopped)
            code = json.loads(docker("inspect", stopped))[0]["State"]["ExitCode"]
            time.sleep(1)
        finally:
            over.set()
        counts = [caller.result() for caller in callers]
    assert code == 0, form.logs(service)
    assert min(counts) > 10
    docker("start", stopped)
    status = "{{.State.Health.Status}}"
    poll(lambda: docker("inspect", "--format", status, stopped) == "healthy", 60)


def test_more_workers_are_one_command(form: ComposeForm, management: Management) -> None:
    form.compose("up", "--detach", "--no-build", "--no-recreate", "--wait", "--scale", "worker=3")
    poll(lambda: len(management.call("YunhanDescribeServer")["Workers"]) == 3, 30)


def test_secrets_are_made_once(form: ComposeForm) -> None:
    folder = form.folder / "secrets"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert form.script("secrets.sh") == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.fixture(scope="module", autouse=True)
def nothing_in_the_clone() -> Iterator[None]:
    """The test works on a copy."""
    secrets = Path(__file__).parents[2] / "deploy" / "compose" / "secrets"
    before = secrets.exists()
    yield
    assert secrets.exists() == before
