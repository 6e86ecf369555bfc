"""What every `UserRecords` adapter must keep."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from runtime.messages import Provider
from runtime.ports import UserRecords

_SPACE = "mp-00000000-0000-4000-8000-000000000001"
_OTHER = "mp-00000000-0000-4000-8000-000000000002"
_NOW_MS = 1_700_000_000_123
_ALIPAY, _WECHAT = Provider.ALIPAY, Provider.WECHAT


class UserRecordsContract:
    """Give `users`, an empty store, and `rivals`, several over the same data."""

    @pytest.fixture
    def users(self) -> UserRecords:
        raise NotImplementedError

    @pytest.fixture
    def rivals(self, users: UserRecords) -> Sequence[UserRecords]:
        return [users] * 4

    async def test_a_user_is_the_same_each_time(self, users: UserRecords) -> None:
        first = await users.seen(_SPACE, _WECHAT, "wx1", "o-1", now_ms=_NOW_MS)
        assert re.fullmatch("[0-9a-f]{24}", first.user_id)
        assert int(first.user_id[:8], 16) == _NOW_MS // 1000
        assert (first.space_id, first.provider, first.app_id, first.open_id) == (
            _SPACE,
            _WECHAT,
            "wx1",
            "o-1",
        )
        again = await users.seen(_SPACE, _WECHAT, "wx1", "o-1", now_ms=_NOW_MS + 5000)
        assert (first.created_ms, first.last_seen_ms) == (_NOW_MS, _NOW_MS)
        assert again.user_id == first.user_id
        assert (again.created_ms, again.last_seen_ms) == (_NOW_MS, _NOW_MS + 5000)
        assert await users.read(_SPACE, first.user_id) == again

    async def test_a_clock_that_lags_takes_nothing_back(self, users: UserRecords) -> None:
        await users.seen(_SPACE, _WECHAT, "wx1", "o-1", now_ms=_NOW_MS)
        again = await users.seen(_SPACE, _WECHAT, "wx1", "o-1", now_ms=_NOW_MS - 5000)
        assert (again.created_ms, again.last_seen_ms) == (_NOW_MS, _NOW_MS)

    async def test_any_other_part_is_another_user(self, users: UserRecords) -> None:
        identities = [
            (_SPACE, _ALIPAY, "a", "bc"),
            (_OTHER, _ALIPAY, "a", "bc"),
            (_SPACE, _WECHAT, "a", "bc"),
            (_SPACE, _ALIPAY, "ab", "c"),
            (_SPACE, _ALIPAY, "a/b", "c"),
            (_SPACE, _ALIPAY, "a", "b/c"),
            (_SPACE, _ALIPAY, "a", "BC"),
            (_SPACE, _ALIPAY, 'a","b', "c"),
            (_SPACE, _ALIPAY, "应用", "用户"),
        ]
        made = [await users.seen(*each, now_ms=_NOW_MS) for each in identities]
        assert len({user.user_id for user in made}) == len(identities)

    async def test_a_user_is_read_in_its_space_only(self, users: UserRecords) -> None:
        user = await users.seen(_SPACE, _ALIPAY, "a", "1", now_ms=_NOW_MS)
        assert await users.read(_OTHER, user.user_id) is None
        assert await users.read(_SPACE, "f" * 24) is None

    async def test_all_who_come_at_once_are_one_user(
        self, users: UserRecords, rivals: Sequence[UserRecords]
    ) -> None:
        for number in range(5):
            seen = await asyncio.gather(
                *(
                    each.seen(_SPACE, _ALIPAY, "a", f"u{number}", now_ms=_NOW_MS + late)
                    for late, each in enumerate([*rivals, *rivals])
                )
            )
            (user_id,) = {user.user_id for user in seen}
            stored = await users.read(_SPACE, user_id)
            assert stored is not None
            assert stored.last_seen_ms == _NOW_MS + 2 * len(rivals) - 1

    async def test_a_space_goes_with_its_users_alone(self, users: UserRecords) -> None:
        mine = await users.seen(_SPACE, _ALIPAY, "a", "1", now_ms=_NOW_MS)
        other = await users.seen(_OTHER, _ALIPAY, "a", "1", now_ms=_NOW_MS)
        await users.delete_space(_SPACE)
        await users.delete_space(_SPACE)
        assert await users.read(_SPACE, mine.user_id) is None
        assert await users.read(_OTHER, other.user_id) == other
        anew = await users.seen(_SPACE, _ALIPAY, "a", "1", now_ms=_NOW_MS)
        assert anew.user_id != mine.user_id
