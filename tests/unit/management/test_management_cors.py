"""The actions on the CORS list, as their parameters arrive: texts."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.errors import InvalidParameterError
from runtime.gateway.management import cors
from runtime.gateway.management.deps import ManagementDeps
from runtime.gateway.management.parameters import Parameters
from runtime.services.cors import CorsService
from tests.unit.management_support import SPACE_ID, Bench


class Caller:
    """Carries out one action at a time."""

    def __init__(self, bench: Bench) -> None:
        service = CorsService(editor=bench.editor, clock=bench.clock, domains_max=9)
        self._deps = cast(ManagementDeps, SimpleNamespace(cors=service))

    async def __call__(self, action: str, **parameters: str) -> Mapping[str, Any]:
        return await cors.ACTIONS[action](self._deps, Parameters(parameters))


@pytest.fixture
async def act(bench: Bench) -> Caller:
    await bench.add_space()
    return Caller(bench)


async def test_add_list_delete(act: Caller) -> None:
    assert await act("ListCorsDomains", SpaceId=SPACE_ID) == {"Domains": []}
    added = await act("AddCorsDomain", SpaceId=SPACE_ID, Domain="*.Shop.test")
    assert set(added) == {"DomainId"}
    assert await act("AddCorsDomain", SpaceId=SPACE_ID, Domain="*.shop.test") == added
    assert await act("ListCorsDomains", SpaceId=SPACE_ID) == {
        "Domains": [{"Domain": "*.shop.test", **added}]
    }
    for _ in range(2):
        assert await act("DeleteCorsDomain", SpaceId=SPACE_ID, **added) == {}
    assert await act("ListCorsDomains", SpaceId=SPACE_ID) == {"Domains": []}


@pytest.mark.parametrize(
    ("action", "parameters", "code"),
    [
        ("AddCorsDomain", {}, "MissingSpaceId"),
        ("AddCorsDomain", {"SpaceId": SPACE_ID}, "MissingDomain"),
        ("AddCorsDomain", {"SpaceId": SPACE_ID, "Domain": "a/b"}, "InvalidParameter.Domain"),
        ("DeleteCorsDomain", {"SpaceId": SPACE_ID}, "MissingDomainId"),
        ("ListCorsDomains", {}, "MissingSpaceId"),
    ],
)
async def test_what_is_missing_is_named(
    act: Caller, action: str, parameters: dict[str, str], code: str
) -> None:
    with pytest.raises(InvalidParameterError) as raised:
        await act(action, **parameters)
    assert raised.value.code == code
