"""The messages of the way of a job, and the values of the control plane. Frozen: a change is a copy
(`dataclasses.replace`).

Job -> (queue, worker, sandbox) -> Outcome, and beside it one InvocationRecord; of an asynchronous job one
LedgerEntry.
"""

from runtime.messages.control import (
    ASYNC_DEFAULTS,
    EGRESS_INHERITED,
    AsyncConfig,
    Deployment,
    DeploymentStatus,
    EgressConfig,
    EgressMode,
    Function,
    HttpTriggerConfig,
    Space,
    SpaceStatus,
)
from runtime.messages.jobs import (
    AsyncTerms,
    Bill,
    CallKind,
    Code,
    FunctionLimits,
    Job,
    Outcome,
    Principal,
    Source,
    StoredBytes,
)
from runtime.messages.ledger import Attempt, JobState, LedgerEntry
from runtime.messages.records import InvocationRecord

__all__ = [
    "ASYNC_DEFAULTS",
    "EGRESS_INHERITED",
    "AsyncConfig",
    "AsyncTerms",
    "Attempt",
    "Bill",
    "CallKind",
    "Code",
    "Deployment",
    "DeploymentStatus",
    "EgressConfig",
    "EgressMode",
    "Function",
    "FunctionLimits",
    "HttpTriggerConfig",
    "InvocationRecord",
    "Job",
    "JobState",
    "LedgerEntry",
    "Outcome",
    "Principal",
    "Source",
    "Space",
    "SpaceStatus",
    "StoredBytes",
]
