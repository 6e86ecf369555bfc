"""The official PyPI package, unmodified, against a real server: every typed action built so far."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from alibabacloud_mpserverless20190615 import models
from alibabacloud_mpserverless20190615.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException
from alibabacloud_tea_openapi.models import Config

from runtime.errors import OverloadedError
from runtime.messages import Outcome
from tests.unit.management_support import Bench, make_record, make_zip
from tests.unit.scripted_invoker import Invocation
from tests.unit.signed_requests import ACCESS_KEY


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.clock.time_ms = time.time_ns() // 1_000_000  # the package signs with the real time
    return made


@pytest.fixture
async def client(bench: Bench, tmp_path: Path) -> AsyncIterator[Client]:
    async with bench.serve(tmp_path) as url:
        yield make_client(url, ACCESS_KEY)


def make_client(url: str, key: tuple[str, str]) -> Client:
    return Client(
        Config(
            protocol="http",
            endpoint=url.removeprefix("http://"),
            access_key_id=key[0],
            access_key_secret=key[1],
        )
    )


async def test_spaces(client: Client, bench: Bench) -> None:
    created = await client.create_space_async(models.CreateSpaceRequest(name="小程序", desc="测试"))
    space_id = created.body.space_id
    assert created.body.request_id
    await bench.add_space("mp-2")
    listed = await client.list_space_async(
        models.ListSpaceRequest(space_ids=[space_id, "mp-x"], page_num=1, page_size=10)
    )
    assert listed.body.count == 1
    assert isinstance(listed.body.gmt_create, str)
    (space,) = listed.body.spaces
    assert (space.name, space.desc, space.status) == ("小程序", "测试", "RUNNING")
    assert space.gmt_create == bench.clock.now_ms()
    described = await client.describe_spaces_async(
        models.DescribeSpacesRequest(space_ids=[space_id], emas_workspace_id=1)
    )
    assert described.body.spaces[0].auto_renew is False
    assert all(value is not None for value in vars(described.body.spaces[0]).values())
    await client.update_space_async(
        models.UpdateSpaceRequest(space_id=space_id, desc="a b!'()*~中文&=+/%", status="PAUSED")
    )
    assert (await bench.spaces.get(space_id)).desc == "a b!'()*~中文&=+/%"
    config = await client.describe_space_client_config_async(
        models.DescribeSpaceClientConfigRequest(space_id=space_id, detail="true")
    )
    assert config.body.private_key.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert config.body.endpoint.startswith("http://127.0.0.1:")
    await client.reset_server_secret_async(models.ResetServerSecretRequest(space_id=space_id))
    await client.delete_space_async(models.DeleteSpaceRequest(space_id=space_id))
    with pytest.raises(ClientException) as caught:
        await client.delete_space_async(models.DeleteSpaceRequest(space_id=space_id))
    assert caught.value.code == "InvalidSpaceId.NotFound"
    assert caught.value.data["HostId"]


async def test_functions_and_deployments(client: Client, bench: Bench) -> None:
    space_id = (await bench.add_space()).space_id
    created = await client.create_function_async(
        models.CreateFunctionRequest(
            space_id=space_id, name="demo", desc="测试", runtime="nodejs14", memory=256, timeout=5
        )
    )
    assert created.body.spec.instance_concurrency == "1"
    assert created.body.spec.runtime == "Node.js 14"
    updated = await client.update_function_async(
        models.UpdateFunctionRequest(
            space_id=space_id,
            name="demo",
            memory=512,
            instance_concurrency=2,
            http_trigger_path="",
        )
    )
    assert updated.body.spec.instance_concurrency == 2
    assert updated.body.spec.memory == "512 MB"
    assert (updated.body.desc, updated.body.http_trigger_path) == ("测试", "")
    before = await client.describe_function_async(
        models.DescribeFunctionRequest(space_id=space_id, name="demo")
    )
    assert before.body.deployment is None
    made = await client.create_function_deployment_async(
        models.CreateFunctionDeploymentRequest(space_id=space_id, name="demo")
    )
    async with (
        ClientSession() as session,
        session.put(made.body.upload_signed_url, data=make_zip()) as response,
    ):
        assert response.status == 200
    await client.deploy_function_async(
        models.DeployFunctionRequest(space_id=space_id, deployment_id=made.body.deployment_id)
    )
    deployments = await client.list_function_deployment_async(
        models.ListFunctionDeploymentRequest(
            space_id=space_id, name="demo", status="DEPLOY_SUCCESS", page_num=1, page_size=10
        )
    )
    assert deployments.body.data_list[0].status.status == "DEPLOY_SUCCESS"
    assert deployments.body.paginator.total == 1
    after = await client.describe_function_async(
        models.DescribeFunctionRequest(space_id=space_id, name="demo")
    )
    assert after.body.deployment.deployment_id == made.body.deployment_id
    assert after.body.function.spec.timeout == "5s"
    listed = await client.list_function_async(
        models.ListFunctionRequest(space_id=space_id, filter_by="dem", page_num=1, page_size=10)
    )
    assert [each.name for each in listed.body.data_list] == ["demo"]
    assert listed.body.paginator.page_count == 1
    await client.delete_function_async(models.DeleteFunctionRequest(space_id=space_id, name="demo"))
    with pytest.raises(ClientException) as caught:
        await client.describe_function_async(
            models.DescribeFunctionRequest(space_id=space_id, name="demo")
        )
    assert caught.value.code == "FunctionNotFound"


async def test_runs_and_logs(client: Client, bench: Bench) -> None:
    space_id = (await bench.add_space()).space_id
    request = models.RunFunctionRequest(
        space_id=space_id, body='{"functionTarget": "demo", "functionArgs": {"a": 1}}'
    )
    run = await client.run_function_async(request)
    assert run.body.result == '{"a":1}'
    assert run.body.runtime_meta.billing_duration == 100
    assert run.body.runtime_meta.request_id == bench.invoker.calls[0].request_id
    now_ms = bench.clock.now_ms()
    await bench.records.insert([make_record(space_id=space_id, started_ms=now_ms)])
    logs = await client.list_function_log_async(
        models.ListFunctionLogRequest(
            space_id=space_id,
            name="demo",
            from_date=now_ms - 1000,
            to_date=now_ms + 1000,
            status="SUCCESS",
            log_request_id="r1",
        )
    )
    (entry,) = logs.body.data_list
    assert (entry.contents, entry.levels) == (["hi 1"], ["INFO"])

    def refuse(_invocation: Invocation) -> Outcome:
        raise OverloadedError("the queue is full")

    bench.invoker.script = refuse
    with pytest.raises(ServerException) as caught:
        await client.run_function_async(request)
    assert caught.value.code == "Throttling.Api.Concurrency"


async def test_errors(client: Client, bench: Bench) -> None:
    request = models.ListFunctionRequest(space_id="mp-none")
    for key, code in (
        ((ACCESS_KEY[0], "wrong"), "SignatureDoesNotMatch"),
        (("nobody", ACCESS_KEY[1]), "InvalidAccessKeyId.NotFound"),
        (ACCESS_KEY, "InvalidSpaceId.NotFound"),
    ):
        other = make_client(f"http://{client._endpoint}", key)
        with pytest.raises(ClientException) as caught:
            await other.list_function_async(request)
        assert caught.value.code == code
    with pytest.raises(ClientException) as caught:
        await client.describe_fcopen_status_async()
    assert caught.value.code == "InvalidAction.NotFound"


async def test_the_blocking_client(client: Client, bench: Bench) -> None:
    await bench.add_space()
    request = models.ListSpaceRequest(page_num=1, page_size=10)
    listed = await asyncio.to_thread(client.list_space, request)
    assert listed.body.count == 1


async def test_databases(client: Client, bench: Bench) -> None:
    space_id = (await bench.add_space()).space_id
    bench.databases.put(space_id, "users", '{"_id":"1"}')
    done = await client.run_dbcommand_async(
        models.RunDBCommandRequest(
            space_id=space_id, body='{"command":"count","collection":"users","query":{}}'
        )
    )
    assert (done.body.affected_docs, done.body.result) == (1, "1")
    renamed = await client.rename_dbcollection_async(
        models.RenameDBCollectionRequest(
            space_id=space_id, origin_collection="users", new_collection="people"
        )
    )
    assert renamed.body.request_id
    updated = await client.update_service_policy_async(
        models.UpdateServicePolicyRequest(
            space_id=space_id,
            service_name="db",
            collection_name="people",
            policy_name="EXTENDED",
            policy='{".write":false,".read":true}',
        )
    )
    described = await client.describe_service_policy_async(
        models.DescribeServicePolicyRequest(
            space_id=space_id, service_name="db", collection_name="people"
        )
    )
    for body in (updated.body, described.body):
        assert (body.space_id, body.service_name, body.collection_name) == (
            space_id,
            "db",
            "people",
        )
        assert (body.policy_name, body.policy) == ("EXTENDED", '{".write":false,".read":true}')
    deleted = await client.delete_dbcollection_async(
        models.DeleteDBCollectionRequest(
            space_id=space_id, body='{"command":"drop","collection":"people"}'
        )
    )
    assert deleted.body.request_id
    assert bench.databases.spaces[space_id] == {}
