"""Which sandboxes of a space may stay when it was read anew."""

from __future__ import annotations

from dataclasses import replace

from runtime.messages import Function, HttpTriggerConfig, SpaceStatus
from runtime.pool_state import Content
from runtime.services.directory import SpaceView
from runtime.services.sealed_env import digest_of
from runtime.wiring.worker import _live


def test_what_may_be_called_is_a_deployment_with_its_environment_of_now() -> None:
    view = SpaceView(
        space_id="mp-space",
        status=SpaceStatus.RUNNING,
        client_secret=b"",
        public_key_pem="",
        functions={
            "plain": Function(name="plain", live_deployment_id="dep-1"),
            "sealed": Function(name="sealed", live_deployment_id="dep-2", env_sealed=b"sealed"),
            "undeployed": Function(name="undeployed", env_sealed=b"sealed"),
        },
        http_triggers=HttpTriggerConfig(),
        trigger_paths={},
        revision=1,
    )
    assert _live(view) == {Content("dep-1"), Content("dep-2", digest_of(b"sealed"))}
    assert _live(replace(view, status=SpaceStatus.PAUSED)) == frozenset()
    assert _live(None) == frozenset()
