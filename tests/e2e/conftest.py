"""One running program for all end-to-end tests of a test process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lacking import lacks
from tests.harness.management import Management
from tests.harness.program import Program, default_node

SDK = Path(__file__).parent / "sdk"

RunSdk = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(
        tmp_path_factory.mktemp("e2e") / "data",
        YUNHAN_SANDBOX=os.environ.get("YUNHAN_TEST_RUNG", "auto"),
        YUNHAN_SLOTS="4",
        YUNHAN_SANDBOXES_MAX="24",
        YUNHAN_CALL_DEPTH_MAX="5",
    )
    program.start()
    yield program
    assert program.stop() == 0, program.log()


@pytest.fixture(scope="session")
def management(program: Program) -> Management:
    return Management(program.endpoint, program.access_key())


@pytest.fixture(scope="session")
def space(management: Management) -> tuple[str, str]:
    """Space id and client secret."""
    return management.space("e2e")


@pytest.fixture(scope="session")
def run_sdk(program: Program) -> RunSdk:
    """Run one of the drivers in `sdk/`; returns its printed array."""
    return sdk_runner(program)


def sdk_runner(program: Program) -> RunSdk:
    """`run_sdk` for another program. The SDKs trust its local authority."""
    if not (SDK / "node_modules").exists():
        lacks("the SDKs are not installed; run the tests by `make test`")
    node = default_node()

    def run(driver: str, **config: Any) -> list[dict[str, Any]]:
        done = subprocess.run(
            [node, SDK / driver],
            input=json.dumps({"endpoint": program.endpoint, **config}),
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(program.ca_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout, f"{driver} printed nothing: {done.stderr[-3000:]}"
        results: list[dict[str, Any]] = json.loads(done.stdout)
        assert len(results) == len(config["steps"])
        return results

    return run
