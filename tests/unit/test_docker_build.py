"""Building the sandbox's image on an engine whose cache others clean."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.api import SandboxError
from sandbox.spawners.docker_engine import DockerEngine

GONE = {"error": "failed to get digest sha256:36fb: no such file or directory"}


class Client:
    """Answers each build with the next of `answers`."""

    def __init__(self, *answers: dict[str, str]) -> None:
        self.answers = list(answers)
        self.caches: list[bool] = []

    def build(self, *, fileobj: Any, nocache: bool, **_: Any) -> Iterator[dict[str, str]]:
        assert fileobj.read() == b"context", "each try reads it from its begin"
        self.caches.append(not nocache)
        return iter([{"stream": "Step 1"}, self.answers.pop(0)])


def build(client: Client) -> None:
    engine: Any = DockerEngine.__new__(DockerEngine)
    engine._client = lambda: client
    engine._build_image(lambda: io.BytesIO(b"context"), "yunhan-sandbox:1", {})


def test_a_layer_that_was_removed_meanwhile_is_built_without_the_cache() -> None:
    client = Client(GONE, {"stream": "Successfully built"})
    build(client)
    assert client.caches == [True, False]


def test_what_cannot_be_built_at_all_says_why() -> None:
    client = Client(GONE, {"error": "no space left on device"})
    with pytest.raises(SandboxError, match="yunhan-sandbox:1 cannot be built: no space left"):
        build(client)
