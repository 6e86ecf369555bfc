"""All groups of settings as one value."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic.fields import FieldInfo

from runtime.settings.addresses import AddressSettings
from runtime.settings.connections import ConnectionSettings
from runtime.settings.docker import DockerSettings
from runtime.settings.documents import DocumentSettings
from runtime.settings.egress import EgressSettings
from runtime.settings.fields import SettingGroup
from runtime.settings.files import FileSettings
from runtime.settings.http_proxy import HttpProxySettings
from runtime.settings.keys import KeySettings
from runtime.settings.product import ProductSettings
from runtime.settings.program import ProgramSettings
from runtime.settings.records import RecordSettings
from runtime.settings.sandbox import SandboxSettings
from runtime.settings.triggers import TriggerSettings
from runtime.settings.worker import WorkerSettings
from sandbox.api import Limits

PREFIX = "YUNHAN_"

RESERVED = frozenset(
    {
        "redis_url",
    }
)
"""Names that the design fixes but this version does not use: accepted, reported by `reserved_in`."""


class Settings(
    ProgramSettings,
    AddressSettings,
    KeySettings,
    ConnectionSettings,
    ProductSettings,
    TriggerSettings,
    DocumentSettings,
    FileSettings,
    WorkerSettings,
    SandboxSettings,
    EgressSettings,
    HttpProxySettings,
    DockerSettings,
    RecordSettings,
):
    """The whole configuration of one program. Frozen. The bases' order is that of `in_order`."""

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
