from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from runtime.services.functions import FunctionChange
from tests.unit.management_support import SPACE_ID, Bench
from tests.unit.signed_requests import Caller
from tests.unit.tls.tls_support import issue

DOMAIN = "shop.example.com"
ORIGINAL = {
    "RequestId",
    "EnableService",
    "DefaultEndpoint",
    "CustomDomain",
    "CustomDomainCname",
    "CustomDomainCertificateInfo",
}


async def test_a_new_space_has_no_triggers(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    answer = await call("DescribeHttpTriggerConfig", SpaceId=SPACE_ID)
    assert answer.status == 200
    assert set(answer.body) == ORIGINAL
    assert answer.body["EnableService"] is False
    assert answer.body["DefaultEndpoint"] == f"{SPACE_ID}.fn.localhost:8743"
    assert not answer.body["CustomDomain"]
    assert not answer.body["CustomDomainCname"]
    assert not answer.body["CustomDomainCertificateInfo"]


async def test_switching_and_a_custom_domain(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    missing = await call("UpdateHttpTriggerConfig", SpaceId=SPACE_ID)
    assert (missing.status, missing.code) == (400, "MissingEnableService")
    on = await call("UpdateHttpTriggerConfig", SpaceId=SPACE_ID, EnableService=True)
    assert (on.status, set(on.body)) == (200, ORIGINAL)
    assert on.body["EnableService"] is True
    now = datetime.fromtimestamp(bench.clock.now_ms() / 1000, UTC)
    issued = issue(DOMAIN, start=now - timedelta(days=1), end=now + timedelta(days=9))
    domain = await call(
        "UpdateHttpTriggerConfig",
        SpaceId=SPACE_ID,
        EnableService=True,
        CustomDomain=DOMAIN,
        CustomDomainCertificate=issued.pem,
        CustomDomainPrivateKey=issued.key_pem,
    )
    assert domain.body["CustomDomain"] == DOMAIN
    assert domain.body["CustomDomainCname"] == f"{SPACE_ID}.fn.localhost"
    info = json.loads(domain.body["CustomDomainCertificateInfo"])
    assert info["names"] == [DOMAIN]
    assert "PRIVATE" not in json.dumps(domain.body)
    off = await call("UpdateHttpTriggerConfig", SpaceId=SPACE_ID, EnableService=False)
    assert off.body["CustomDomain"] == DOMAIN
    await bench.add_space("mp-other")
    taken = await call(
        "UpdateHttpTriggerConfig", SpaceId="mp-other", EnableService=True, CustomDomain=DOMAIN
    )
    assert (taken.status, taken.code) == (400, "CustomDomainAlreadyExists")
    gone = await call(
        "UpdateHttpTriggerConfig", SpaceId=SPACE_ID, EnableService=True, CustomDomain=""
    )
    assert not gone.body["CustomDomainCertificateInfo"]


async def test_what_the_original_lacks(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    answer = await call("YunhanDescribeHttpTriggerConfig", SpaceId=SPACE_ID)
    assert answer.body["PathEndpoint"].endswith(f"/trigger/{SPACE_ID}")
    assert answer.body["RequestMaxBytes"] == answer.body["ResponseMaxBytes"] == 4096
    raised = await call(
        "YunhanUpdateHttpTriggerLimits", SpaceId=SPACE_ID, ResponseMaxBytes=1_048_576
    )
    assert (raised.body["RequestMaxBytes"], raised.body["ResponseMaxBytes"]) == (4096, 1_048_576)
    wrong = await call(
        "YunhanUpdateHttpTriggerLimits", SpaceId=SPACE_ID, ResponseMaxBytes=1_048_577
    )
    assert (wrong.status, wrong.code) == (400, "InvalidParameter.ResponseMaxBytes")
    back = await call("YunhanUpdateHttpTriggerLimits", SpaceId=SPACE_ID, ResponseMaxBytes=0)
    assert back.body["ResponseMaxBytes"] == 4096


async def test_the_path_of_a_function(call: Caller, bench: Bench) -> None:
    await bench.add_space()
    await bench.functions.create(SPACE_ID, "demo", FunctionChange())
    await bench.functions.create(SPACE_ID, "other", FunctionChange())

    async def update(name: str, path: str) -> tuple[int, str | None]:
        answer = await call("UpdateFunction", SpaceId=SPACE_ID, Name=name, HttpTriggerPath=path)
        return answer.status, answer.body.get("Code")

    assert await update("demo", "/http/demo") == (200, None)
    described = await call("DescribeFunction", SpaceId=SPACE_ID, Name="demo")
    assert described.body["Function"]["HttpTriggerPath"] == "/http/demo"
    assert await update("demo", "/http/demo") == (200, None)
    assert await update("other", "/http/demo") == (400, "HttpTriggerPathAlreadyExists")
    assert await update("other", "/x") == (400, "InvalidParameter.HttpTriggerPath")
    assert await update("demo", "") == (200, None)
    assert await update("other", "/http/demo") == (200, None)
