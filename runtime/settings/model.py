"""All groups of settings as one value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import model_validator
from pydantic.fields import FieldInfo

from runtime.settings.abuse import AbuseSettings
from runtime.settings.addresses import AddressSettings
from runtime.settings.async_jobs import AsyncJobSettings
from runtime.settings.async_work import AsyncWorkSettings
from runtime.settings.connections import ConnectionSettings
from runtime.settings.database import DatabaseSettings
from runtime.settings.docker import DockerSettings
from runtime.settings.documents import DocumentSettings
from runtime.settings.egress import EgressSettings
from runtime.settings.fields import SettingGroup
from runtime.settings.file_http import FileHttpSettings
from runtime.settings.files import FileSettings
from runtime.settings.http_proxy import HttpProxySettings
from runtime.settings.intake import IntakeSettings
from runtime.settings.keys import KeySettings
from runtime.settings.product import ProductSettings
from runtime.settings.program import ProgramSettings
from runtime.settings.queue import QueueSettings
from runtime.settings.records import RecordSettings
from runtime.settings.redis import RedisSettings
from runtime.settings.sandbox import SandboxSettings
from runtime.settings.timers import TimerSettings
from runtime.settings.triggers import TriggerSettings
from runtime.settings.users import UserSettings
from runtime.settings.worker import WorkerSettings
from sandbox.api import Limits

PREFIX = "YUNHAN_"


class Settings(
    ProgramSettings,
    AddressSettings,
    KeySettings,
    ConnectionSettings,
    ProductSettings,
    TriggerSettings,
    TimerSettings,
    DocumentSettings,
    DatabaseSettings,
    FileSettings,
    FileHttpSettings,
    UserSettings,
    AbuseSettings,
    RedisSettings,
    QueueSettings,
    IntakeSettings,
    AsyncJobSettings,
    AsyncWorkSettings,
    WorkerSettings,
    SandboxSettings,
    EgressSettings,
    HttpProxySettings,
    DockerSettings,
    RecordSettings,
):
    """The whole configuration of one program. Frozen. The bases' order is that of `in_order`."""

    @model_validator(mode="after")
    def _broker_waits_for_the_longest_call(self) -> Self:
        longest_s = self.timeout_sync_max_s + self.queue_wait_s + self.queue_outcome_grace_s
        if self.queue_consumer_timeout_s <= longest_s:
            raise ValueError(
                f"YUNHAN_QUEUE_CONSUMER_TIMEOUT_S={self.queue_consumer_timeout_s} must be greater than"
                f" {longest_s:g}, the longest call: YUNHAN_TIMEOUT_SYNC_MAX_S + YUNHAN_QUEUE_WAIT_S +"
                " YUNHAN_QUEUE_OUTCOME_GRACE_S; set consumer_timeout in rabbitmq.conf as well"
            )
        return self

    @model_validator(mode="after")
    def _asynchronous_jobs_fit_into_the_slots(self) -> Self:
        if self.async_slots > self.slots:
            raise ValueError(
                f"YUNHAN_ASYNC_SLOTS={self.async_slots} must not be greater than"
                f" YUNHAN_SLOTS={self.slots}"
            )
        return self

    @property
    def slots_for_async(self) -> int:
        """How many asynchronous jobs may run at once on this worker."""
        return self.async_slots or max(1, self.slots // 2)

    def sandbox_limits(self) -> Limits:
        """The bounds that every sandbox is started with."""
        return Limits(
            result_max_bytes=self.result_max_bytes,
            call_max_bytes=self.call_max_bytes,
            calls_in_flight_max=self.calls_in_flight_max,
            calls_max_bytes=self.calls_max_bytes,
            calls_worker_max_bytes=self.calls_worker_max_bytes,
            log_line_max_bytes=self.log_line_max_bytes,
            log_lines_max=self.log_lines_max,
            log_max_bytes=self.log_max_bytes,
            load_timeout_s=self.sandbox_load_timeout_s,
            start_timeout_s=self.sandbox_start_timeout_s,
            stop_grace_s=self.sandbox_stop_grace_s,
            pause_after_s=self.sandbox_pause_after_s,
        )


def in_order() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting's name and declaration, group by group (pydantic collects the last base first)."""
    for group in Settings.__bases__:
        if issubclass(group, SettingGroup):
            yield from group.model_fields.items()
