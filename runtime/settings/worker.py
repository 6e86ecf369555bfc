"""A worker's slots and its pool of sandboxes."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from runtime.settings.fields import SettingGroup, setting


class WorkerSettings(SettingGroup):
    """How many at the same time, and how long each part may take."""

    slots: int = setting(16, "count", "invocations that run at the same time on one worker", ge=1)
    sandboxes_max: int = setting(
        64, "count", "live sandboxes on one worker, idle ones included; must exceed slots", ge=1
    )
    sandboxes_prewarmed: int = setting(
        1, "count", "sandboxes kept ready without code for first calls", ge=0
    )
    sandbox_prewarm_memory_mb: int = setting(
        256, "MB", "memory class of prewarmed sandboxes; a new function's default", ge=128, le=2048
    )
    sandbox_idle_s: float = setting(900.0, "s", "an idle sandbox is stopped after this time", gt=0)
    sandbox_pause_after_s: float = setting(
        0.1, "s", "an idle sandbox is paused after this time until its next call", ge=0
    )
    sandbox_start_timeout_s: float = setting(10.0, "s", "longest start of a sandbox", gt=0)
    sandbox_load_timeout_s: float = setting(10.0, "s", "longest load of a function's modules", gt=0)
    sandbox_stop_grace_s: float = setting(
        2.0, "s", "longest wait for a killed process to be gone", ge=0
    )

    @model_validator(mode="after")
    def _every_slot_has_a_sandbox(self) -> Self:
        if self.sandboxes_max <= self.slots:
            raise ValueError(
                f"YUNHAN_SANDBOXES_MAX={self.sandboxes_max} must be greater than"
                f" YUNHAN_SLOTS={self.slots}: every slot needs a sandbox"
            )
        return self
