"""Every port of the runtime. Each adapter is one file in `runtime/backends`, large ones with a package
of their parts beside it, chosen in `wiring`.

Conventions: methods are coroutines unless said otherwise; cancellation is never swallowed; a part that
cannot be reached raises `UnavailableError`; a missing thing is `None` where the return type says so.
A port's rules are written as a contract suite in `runtime/testing`, which every adapter must pass.
"""

from runtime.ports.clock import Clock, Sleep, SystemClock
from runtime.ports.control import ControlStore, CustomDomain, Timer, TimerKey, TokenKey
from runtime.ports.documents import DocumentTransaction, SpaceDocuments
from runtime.ports.file_records import FileRecords
from runtime.ports.files import FileStore
from runtime.ports.http import HttpClient, HttpRequest, HttpResponse, HttpTraffic
from runtime.ports.intake import Intake, IntakeDelivery, IntakeMessage
from runtime.ports.ledger import Claim, Ledger, LedgerQuery, NotClaimed, Quota
from runtime.ports.peers import NobodyThereError, PeerHandler, Peers
from runtime.ports.platforms import (
    Platform,
    PlatformKeys,
    PlatformRefusedError,
    PlatformTimeoutError,
    PlatformUnavailableError,
    PlatformUser,
    SignMode,
)
from runtime.ports.queue import AsyncDelivery, Delivery, Queue
from runtime.ports.rates import RateRule, RateStore
from runtime.ports.records import RecordQuery, RecordSink, RecordStore
from runtime.ports.redis import RedisCommands, RedisValue
from runtime.ports.timers import LeaseMark, LeaseStore, TimerState, TimerStore
from runtime.ports.users import UserRecords
from runtime.ports.workers import WorkerFacts, WorkerRoster

__all__ = [
    "AsyncDelivery",
    "Claim",
    "Clock",
    "ControlStore",
    "CustomDomain",
    "Delivery",
    "DocumentTransaction",
    "FileRecords",
    "FileStore",
    "HttpClient",
    "HttpRequest",
    "HttpResponse",
    "HttpTraffic",
    "Intake",
    "IntakeDelivery",
    "IntakeMessage",
    "LeaseMark",
    "LeaseStore",
    "Ledger",
    "LedgerQuery",
    "NobodyThereError",
    "NotClaimed",
    "PeerHandler",
    "Peers",
    "Platform",
    "PlatformKeys",
    "PlatformRefusedError",
    "PlatformTimeoutError",
    "PlatformUnavailableError",
    "PlatformUser",
    "Queue",
    "Quota",
    "RateRule",
    "RateStore",
    "RecordQuery",
    "RecordSink",
    "RecordStore",
    "RedisCommands",
    "RedisValue",
    "SignMode",
    "Sleep",
    "SpaceDocuments",
    "SystemClock",
    "Timer",
    "TimerKey",
    "TimerState",
    "TimerStore",
    "TokenKey",
    "UserRecords",
    "WorkerFacts",
    "WorkerRoster",
]
