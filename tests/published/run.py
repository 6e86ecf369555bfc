"""One case, carried out in one of two ways on a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from runtime.backends.documents_mongodb import Client, connect
from runtime.backends.space_documents_mongodb import database_name
from runtime.services.documents import DocumentService
from tests.published.by_driver import Database, DriverWay
from tests.published.by_service import ServiceWay, has_service, open_service, seen_by_service
from tests.published.case import Case, Expected, Step, read_cases
from tests.published.compare import Failure, check_answer, check_failure, same


class Way(StrEnum):
    """Who is asked."""

    SERVICE = "service"
    DRIVER = "driver"


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and the product before it."""

    client: Client
    service: DocumentService
    prefix: str
    """Of the names of all databases that cases make."""

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, drop: bool) -> AsyncIterator[Target]:
        """`drop`: remove the databases in the end; slow in the embedded server, which goes as a whole."""
        prefix = f"t{uuid.uuid4().hex[:8]}_"
        async with connect(url, timeout_s=20) as client:
            async with open_service(client, prefix) as service:
                yield cls(client, service, prefix)
            if drop:
                for name in await client.list_database_names():
                    if name.startswith(prefix):
                        await client.drop_database(name)


def read_runs() -> Sequence[tuple[Way, Case]]:
    """Every case through the driver, and those that the product has through the service."""
    cases = read_cases()
    through_service = [(Way.SERVICE, case) for case in cases if has_service(case)]
    return [*through_service, *((Way.DRIVER, case) for case in cases)]


async def run_case(way: Way, case: Case, target: Target) -> None:
    """Raises AssertionError when anything is not as expected: as published, or for the service as marked."""
    space_id = f"mp-{uuid.uuid4()}"
    database = target.client[database_name(target.prefix, space_id)]
    driver = DriverWay(database)
    asked = driver if way is Way.DRIVER else ServiceWay(target.service, space_id)
    ours = None if way is Way.DRIVER else case.ours
    try:
        await _prepare(case, database, driver)
        for index, step in enumerate(case.steps):
            if ours is not None and ours.at == index:
                await _check(asked, step, ours.expected)
                break
            await _check(asked, step, step.expected if way is Way.DRIVER else seen_by_service(step))
    finally:
        await driver.close()
    leaves = case.leaves if ours is None else ours.leaves
    for name, docs in (leaves or {}).items():
        found = await database[name].find(sort={"_id": 1}).to_list()
        assert same(found, docs), f"{name} has {found!r} instead of {docs!r}"


async def _prepare(case: Case, database: Database, driver: DriverWay) -> None:
    for name, documents in case.has.items():
        if documents:
            await database[name].insert_many([dict(each) for each in documents])
        else:
            await database.create_collection(name)
    for step in case.first:
        await driver.do(step)


async def _check(asked: DriverWay | ServiceWay, step: Step, expected: Expected) -> None:
    try:
        found = await asked.do(step)
    except Failure as failure:
        check_failure(failure, expected, by_driver=isinstance(asked, DriverWay))
    else:
        check_answer(found, expected)
