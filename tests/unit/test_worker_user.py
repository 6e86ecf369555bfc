"""Which invocations tell a sandbox their user (`event.userInfo`)."""

from __future__ import annotations

import pytest

from runtime.messages import Principal, Provider
from runtime.testing.queue import sample_job
from sandbox.api import WechatUser
from tests.harness.small_worker import SmallWorker

WECHAT = Principal(user_id="u", app_id="wx1", provider=Provider.WECHAT.value, open_id="o1")


@pytest.mark.parametrize(
    ("principal", "user"),
    [
        (WECHAT, WechatUser(open_id="o1", app_id="wx1")),
        (Principal(), None),
        (Principal(user_id="u"), None),
        (Principal(user_id="u", app_id="wx1", provider=Provider.WECHAT.value), None),
        (Principal(user_id="u", provider=Provider.WECHAT.value, open_id="o1"), None),
        (
            Principal(user_id="u", app_id="1", provider=Provider.ALIPAY.value, open_id="2088"),
            None,
        ),
    ],
)
async def test_only_users_of_wechat_are_told(principal: Principal, user: WechatUser | None) -> None:
    small = SmallWorker()
    small.spawner.functions["hello"] = lambda _ctx: 1
    async with small.open():
        assert (await small.queue.call(sample_job(principal=principal))).ok
        [sandbox] = small.spawner.spawned
        assert [each.user for each in sandbox.invocations] == [user]
