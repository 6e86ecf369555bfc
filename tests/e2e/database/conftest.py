"""Every caller of the database: apps, backends and functions."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.e2e.conftest import RunSdk
from tests.harness.database_sdk import PEOPLE, Steps, deploy, set_rule
from tests.harness.management import Management

_numbers = itertools.count()


@pytest.fixture(scope="module")
def space(management: Management) -> tuple[str, str]:
    """All of it is open to clients; what rules refuse is asked in spaces of their own."""
    space_id, secret = management.space("e2e-db")
    set_rule(management, space_id, "*", "EXTENDED", {".read": True, ".write": True})
    deploy(management, space_id)
    return space_id, secret


@pytest.fixture(scope="module", params=["client", "server", "function"])
def sdk(request: pytest.FixtureRequest) -> str:
    """Who asks: an app, a backend or a function."""
    return str(request.param)


@pytest.fixture(scope="module")
def run(
    sdk: str,
    run_sdk: RunSdk,
    management: Management,
    space: tuple[str, str],
) -> Steps:
    """Carries out steps of `sdk/database.cjs` and gives what each came to."""
    config = management.call("DescribeSpaceClientConfig", SpaceId=space[0], Detail=True)
    keys = {"spaceId": space[0], "clientSecret": space[1], "serverSecret": config["PrivateKey"]}

    def outside(*steps: list[Any]) -> list[dict[str, Any]]:
        return run_sdk("database.cjs", sdk=sdk, steps=list(steps), **keys)

    def inside(*steps: list[Any]) -> list[dict[str, Any]]:
        answer = management.invoke(space[0], "database", {"steps": steps})
        assert answer["Outcome"] == "ok", answer
        results: list[dict[str, Any]] = json.loads(answer["Result"])
        assert len(results) == len(steps)
        return results

    return inside if sdk == "function" else outside


@pytest.fixture
def things() -> str:
    """A collection of this test alone."""
    return f"things-{next(_numbers)}"


@pytest.fixture
def people(run: Steps, things: str) -> str:
    [made] = run(["on", things, "insertMany", PEOPLE])
    assert made["value"]["affectedDocs"] == 3
    return things
