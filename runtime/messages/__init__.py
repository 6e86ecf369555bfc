"""The messages of the way of a job, and the values of the control plane. Frozen: a change is a copy
(`dataclasses.replace`).

Job -> (queue, worker, sandbox) -> Outcome, and beside it one InvocationRecord; of an asynchronous job one
LedgerEntry.
"""

from runtime.messages.access import (
    AccessConfig,
    CorsDomain,
    FilesConfig,
    PlatformConfig,
    Provider,
    Revocation,
)
from runtime.messages.control import (
    ASYNC_DEFAULTS,
    EGRESS_INHERITED,
    AsyncConfig,
    CollectionPolicy,
    DatabaseConfig,
    Deployment,
    DeploymentStatus,
    EgressConfig,
    EgressMode,
    Function,
    HttpTriggerConfig,
    PolicyName,
    Space,
    SpaceStatus,
)
from runtime.messages.documents import (
    ADMINISTRATION,
    DOCUMENT_BYTES_MAX,
    IN_TRANSACTION,
    READS,
    CommandBounds,
    DocumentAnswer,
    DocumentCommand,
    Verb,
)
from runtime.messages.files import STORED_HEADERS, Blob, FileRecord, Upload, UploadState
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
from runtime.messages.users import UserRecord

__all__ = [
    "ADMINISTRATION",
    "ASYNC_DEFAULTS",
    "DOCUMENT_BYTES_MAX",
    "EGRESS_INHERITED",
    "IN_TRANSACTION",
    "READS",
    "STORED_HEADERS",
    "AccessConfig",
    "AsyncConfig",
    "AsyncTerms",
    "Attempt",
    "Bill",
    "Blob",
    "CallKind",
    "Code",
    "CollectionPolicy",
    "CommandBounds",
    "CorsDomain",
    "DatabaseConfig",
    "Deployment",
    "DeploymentStatus",
    "DocumentAnswer",
    "DocumentCommand",
    "EgressConfig",
    "EgressMode",
    "FileRecord",
    "FilesConfig",
    "Function",
    "FunctionLimits",
    "HttpTriggerConfig",
    "InvocationRecord",
    "Job",
    "JobState",
    "LedgerEntry",
    "Outcome",
    "PlatformConfig",
    "PolicyName",
    "Principal",
    "Provider",
    "Revocation",
    "Source",
    "Space",
    "SpaceStatus",
    "StoredBytes",
    "Upload",
    "UploadState",
    "UserRecord",
    "Verb",
]
